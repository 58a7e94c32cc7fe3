"""A fake model that knows the correct answers and gives them with a given probability."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from prompt_search.errors import InputError
from prompt_search.testing.faults import chance
from prompt_search.testing.responses import Body, FakeAnswer, completion, prompt_of, text_of


def _property(body: Body) -> str:
    """The name under which a request wants the answer."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
    return next(iter(schema.get("properties", {})), "label")


def truth_model(
    targets: Mapping[str, str | bool | int | float],
    accuracy: float | Callable[[str], float] = 0.8,
    *,
    seed: int = 0,
) -> Callable[[Body], FakeAnswer]:
    """A model that knows the correct answers and gives them with a given probability.

    It finds the row in the last message: the last line that is one of the texts in ``targets``, else the text that
    ends last in it. The same prompt with the same row always gets the same answer. A request for log-probabilities
    gets those of all labels. One for JSON, in its response format or in its wording, gets an object with the answer
    under the first property of the schema, or under "label".

    Args:
        targets: the correct answer by the row's text; a number is written as in `Dataset.labels`.
        accuracy: the share of correct answers, from 0 to 1, or a function from a prompt's wording (its messages without
            the row's text, as one text) to that share.
        seed: decides on which rows each prompt is right.

    >>> model = truth_model({"It was great": "positive", "It was dull": "negative"}, accuracy=1.0)
    >>> model({"messages": [{"role": "user", "content": "Judge the text.\\nText: It was dull"}]})
    'negative'
    """
    known = {row: text_of(target) for row, target in targets.items()}
    labels = sorted(set(known.values()))

    def row_of(text: str) -> str:
        for line in reversed(text.splitlines()):
            if line in known:
                return line
        found = [row for row in known if row in text]
        if not found:
            raise InputError(f"the request contains no text that the truth model knows: {text[-200:]}")
        return max(found, key=lambda row: (text.rfind(row) + len(row), len(row)))

    def answer(body: Body) -> FakeAnswer:
        prompt = prompt_of(body)
        row = row_of(str(body["messages"][-1]["content"]))
        wording = prompt.replace(row, "")
        right = accuracy(wording) if callable(accuracy) else accuracy
        others = [label for label in labels if label != known[row]]
        text = known[row]
        if others and chance(seed, wording, row) >= right:
            text = others[int(chance("which", seed, wording, row) * len(others))]
        if not body.get("logprobs"):
            asks_for_json = body.get("response_format") is not None or "JSON" in wording
            return json.dumps({_property(body): text}, ensure_ascii=False) if asks_for_json else text
        rest = math.log(0.1 / max(len(labels) - 1, 1))
        logprobs = {text: math.log(0.9), **{label: rest for label in labels if label != text}}
        return completion(text, prompt, logprobs)

    return answer
