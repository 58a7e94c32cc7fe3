"""What the arguments of a study may be written as, and what they stand for."""

from prompt_search.study.arguments.forms import AnswerName, AnyAnswer, answer_of
from prompt_search.study.arguments.inputs import (
    OF_OTHERS,
    budget_of,
    check_callable,
    check_others,
    model_of,
    template_of,
)
from prompt_search.study.arguments.prior import prior_of

__all__ = [
    "OF_OTHERS",
    "AnswerName",
    "AnyAnswer",
    "answer_of",
    "budget_of",
    "check_callable",
    "check_others",
    "model_of",
    "prior_of",
    "template_of",
]
