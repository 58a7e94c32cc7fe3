"""Data and studies that tests of this room share."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from typing import Any

import pandas as pd

import prompt_search as ps
from tests.conftest import Body, FakeServer, InProcessExecutor, completion, prompt_of

SOURCE = """{{ choice("instruction", ["Classify.", "Read.", "Decide with care.", "Which?"]) }}
{% if flag("listed") %}Labels: {{ labels | join(", ") }}{% endif %}

Text: {{ row.text }}
{{ choice("cue", ["Label:", "Answer:", ""]) }}"""


MEASURED = ["latency_s", "cached"]
"""The columns in which a resumed study may differ."""


def data(rows: int = 60) -> ps.Dataset:
    kinds = [("bad", "negative"), ("good", "positive")]
    records = [{"text": f"{kinds[i % 2][0]} thing number {i}", "label": kinds[i % 2][1]} for i in range(rows)]
    return ps.Dataset(pd.DataFrame(records), target="label")


DATA = data()


def truth(body: Body) -> str:
    """Always right with the careful instruction, otherwise for six prompts in ten."""
    prompt = prompt_of(body)
    right, wrong = ("positive", "negative") if "good thing" in prompt else ("negative", "positive")
    return right if "care" in prompt or zlib.crc32(prompt.encode()) % 10 < 6 else wrong


def sent(bodies: list[Any]) -> Counter[str]:
    """How often each request was sent."""
    return Counter(json.dumps(body, sort_keys=True) for body in bodies)


def study(fake: InProcessExecutor | FakeServer, storage: str | None = None, **settings: Any) -> ps.Study:
    given: dict[str, Any] = {"template": ps.Template(SOURCE), "data": DATA, "model": fake.model(), "storage": storage}
    if isinstance(fake, InProcessExecutor):
        given["executor"] = fake
    return ps.Study(**{**given, **settings})


def assert_equal_results(first: ps.Result, second: ps.Result) -> None:
    """Same trials, samples, winner, verdict and spent calls; what was lost in between is counted besides."""
    for table in ("trials_df", "samples_df"):
        one, other = (getattr(result, table)() for result in (first, second))
        pd.testing.assert_frame_equal(*(frame.drop(columns=MEASURED, errors="ignore") for frame in (one, other)))
    changing = ("seconds", "lost_calls", "lost_tokens", "lost_usd")
    assert {k: v for k, v in first.summary.items() if k not in changing} == {
        k: v for k, v in second.summary.items() if k not in changing
    }
    assert first.best.text == second.best.text
    assert first.verdict == second.verdict


def leaning(body: Body) -> dict[str, Any]:
    """Always positive, but more so where it is right; with the careful instruction most of all."""
    prompt = prompt_of(body)
    good, careful = "good thing" in prompt, "care" in prompt
    likely = (0.95 if good else 0.6) if careful else 0.8 + 0.1 * (zlib.crc32(prompt.encode()) % 10 / 10)
    return completion("positive", prompt, {"positive": math.log(likely), "negative": math.log(1 - likely)})
