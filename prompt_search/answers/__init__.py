"""How a response is read."""

from prompt_search.answers.forms import Answer, Json, Label, Number, Regex, Text, Unparsed

__all__ = ["Answer", "Json", "Label", "Number", "Regex", "Text", "Unparsed"]
