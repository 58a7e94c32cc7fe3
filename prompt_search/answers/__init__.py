"""How a response is read."""

from prompt_search.answers.forms import Answer, Json, Label, Number, Regex, Text, Unparsed, default_answer, from_dict

__all__ = ["Answer", "Json", "Label", "Number", "Regex", "Text", "Unparsed", "default_answer", "from_dict"]
