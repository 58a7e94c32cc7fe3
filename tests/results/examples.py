"""Data and studies that tests of this room share."""

from __future__ import annotations

import zlib
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from tests.conftest import Body, InProcessExecutor, prompt_of

HOSTILE = ["plain", "[brackets] <script>alert(1)</script> {{ x }} \N{GRINNING FACE}\r\n\"quoted\" & 'care'"]


def data(rows: int = 80) -> ps.Dataset:
    kinds = [("bad", "negative"), ("good", "positive")]
    records = [{"text": f"{kinds[i % 2][0]} thing number {i}", "label": kinds[i % 2][1]} for i in range(rows)]
    return ps.Dataset(pd.DataFrame(records), target="label")


def truth(body: Body) -> str:
    prompt = prompt_of(body)
    right, wrong = ("positive", "negative") if "good thing" in prompt else ("negative", "positive")
    return right if "care" in prompt or zlib.crc32(prompt.encode()) % 10 < 4 else wrong


def study(fake: InProcessExecutor, storage: str | None = None, **settings: Any) -> ps.Study:
    source = '{{ choice("instruction", options) }} {{ choice("cue", ["", "Label:"]) }} {{ row.text }}'
    given: dict[str, Any] = {
        "template": ps.Template(source, context={"options": HOSTILE}),
        "data": data(),
        "model": fake.model(),
        "executor": fake,
        "storage": storage,
        "name": "<b>my study</b>",
    }
    return ps.Study(**{**given, **settings})


@pytest.fixture(scope="module")
def result() -> ps.Result:
    """A finished study in memory, whose hostile option is the better one."""
    fake = InProcessExecutor()
    fake.answer = truth
    return study(fake).run(200)
