"""A small task on which proposed options win, for tests of all rooms: its rows, its two models, and a study."""

from __future__ import annotations

import re
import zlib
from typing import Any

import pandas as pd

import prompt_search as ps
from tests.conftest import Body, FakeServer, InProcessExecutor, prompt_of

PROPOSER = "proposer"
"""The name of the model that proposes."""

SOURCE = """{{ choice("instruction", ["Classify the text.", "Read the text, then decide."], grow="says how") }}
Labels: {{ labels | join(", ") }}

Text: {{ row.text }}
{{ choice("cue", ["Label:", "Answer:", ""]) }}"""

RULES = ("Mind the mood.", "Mind the tense.", "Mind the names.", "Mind irony.")
"""Each that stands in a prompt makes it right on more rows."""


def data(rows: int = 120) -> ps.Dataset:
    kinds = [("bad", "negative"), ("good", "positive")]
    records = [
        {"text": f"{kinds[i % 2][0]} <b>thing</b> number {i} [x] $5", "label": kinds[i % 2][1]} for i in range(rows)
    ]
    return ps.Dataset(pd.DataFrame(records), target="label")


DATA = data()


def right_share(prompt: str) -> float:
    """The share of rows that a prompt is right on."""
    return 0.5 + 0.12 * sum(rule in prompt for rule in RULES)


def truth(body: Body) -> str:
    """Right on more rows the more rules the prompt has."""
    prompt = prompt_of(body)
    right, wrong = ("positive", "negative") if "good <b>" in prompt.rpartition("Text:")[2] else ("negative", "positive")
    return right if zlib.crc32(prompt.encode()) % 100 < 100 * right_share(prompt) else wrong


def proposed(body: Body, decoration: str = "") -> str:
    """The option that is shown, with one more rule, in two versions; the request decides which."""
    prompt = prompt_of(body)
    shown = re.findall(r"<option>\n(.*?)\n</option>", prompt, re.DOTALL) or ["Classify the text."]
    missing = [rule for rule in RULES if rule not in shown[0]] or ["Be quick."]
    start = zlib.crc32(prompt.encode()) % len(missing)
    texts = [f"{shown[0]} {missing[(start + place) % len(missing)]}{decoration}" for place in range(2)]
    return "\n".join(f"<option>{text}</option>" for text in texts)


def answering(body: Body) -> Any:
    """The answer of the model that the request asks."""
    return proposed(body) if body["model"] == PROPOSER else truth(body)


def grown_study(models: InProcessExecutor | FakeServer, storage: str | None = None, **settings: Any) -> ps.Study:
    """A study whose instruction grows; its models answer as `answering` does unless they have another answer."""
    if models.answer == "positive":
        models.answer = answering
    given: dict[str, Any] = {
        "template": ps.Template(SOURCE),
        "data": DATA,
        "model": models.model(),
        "proposer": models.model(PROPOSER),
        "storage": storage,
    }
    if isinstance(models, InProcessExecutor):
        given["executor"] = models
    return ps.Study(**{**given, **settings})


def to_proposer(bodies: list[Any]) -> list[Any]:
    """The requests that a proposer got."""
    return [body for body in bodies if body["model"] == PROPOSER]
