"""What the arguments of a study may be written as, and what they stand for."""

from prompt_search.study.arguments.forms import AnswerName, AnyAnswer, answer_of
from prompt_search.study.arguments.inputs import AnyData, budget_of, check_others, data_of, model_of, template_of

__all__ = [
    "AnswerName",
    "AnyAnswer",
    "AnyData",
    "answer_of",
    "budget_of",
    "check_others",
    "data_of",
    "model_of",
    "template_of",
]
