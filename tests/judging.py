"""A judged study: its rows, its model and its judge, which tests of several rooms share."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

import prompt_search as ps
from tests.conftest import Body, FakeServer, InProcessExecutor, prompt_of

JUDGE = "judge-model"

SOURCE = """{{ choice("instruction", ["Rewrite.", "Rewrite it kindly.", "Say it again.", "Change it."]) }}
{{ choice("cue", ["Text:", "Input:", ""]) }} {{ row.text }}"""

DATA = ps.Dataset(
    pd.DataFrame([{"text": f"gimme <b>{i}</b>", "polite": f"Please give me {i}."} for i in range(40)]), target="polite"
)


def judged_part(body: Body) -> str:
    """What a judge is shown between the marks of the answer, whatever stands there."""
    found = re.search(r"<answer (\w{8})>\n(.*?)\n</answer \1>", prompt_of(body), re.DOTALL)
    assert found, prompt_of(body)
    return found[2]


def quality(answer: str) -> int:
    """How good an answer is, from 1 to 5."""
    return (4 if "kindly" in answer else 2) + zlib.crc32(answer.encode()) % 2


def answering(body: Body) -> Any:
    """A model that is kind where it was asked to be, and a judge that sees it, with a reason."""
    if body["model"] == JUDGE:
        rating = quality(judged_part(body))
        return f"{rating}: {'kind' if rating > 3 else 'not kind'} enough"
    prompt = prompt_of(body)
    number = re.findall(r"<b>(\d+)</b>", prompt)[-1]
    kind = "kindly" in prompt and zlib.crc32(prompt.encode()) % 5
    return f"{'kindly give' if kind else 'give'} {number} in {zlib.crc32(prompt.encode()) % 1000} words"


def judged_study(fake: InProcessExecutor | FakeServer, storage: str | None = None, **settings: Any) -> ps.Study:
    given: Mapping[str, Any] = {
        "template": ps.Template(SOURCE),
        "data": DATA,
        "model": fake.model(),
        "answer": "text",
        "metric": ps.Judge("quality", model=fake.model(JUDGE), weighted=False),
        "storage": storage,
        **({"executor": fake} if isinstance(fake, InProcessExecutor) else {}),
    }
    return ps.Study(**{**given, **settings})


def to_judge(bodies: list[Any]) -> list[Any]:
    return [body for body in bodies if body["model"] == JUDGE]
