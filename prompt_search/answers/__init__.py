"""Answer forms: how a response is read."""

from prompt_search.answers.base import Answer, Unparsed
from prompt_search.answers.forms import default_answer, from_dict
from prompt_search.answers.json_form import Json
from prompt_search.answers.label import Label
from prompt_search.answers.number import Number
from prompt_search.answers.regex import Regex
from prompt_search.answers.text import Text

__all__ = ["Answer", "Json", "Label", "Number", "Regex", "Text", "Unparsed", "default_answer", "from_dict"]
