"""Data and studies that tests of this room share."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from tests.conftest import InProcessExecutor
from tests.html_examples import HOSTILE
from tests.results.examples import data, study, truth

LONG = "word " * 2000 + HOSTILE


OPTIONS = ["plain", f"care: {HOSTILE}", f"{LONG}"]


def hostile_study(fake: InProcessExecutor, storage: str | None = None, **settings: Any) -> ps.Study:
    """Choices, rows and answers are hostile; the best option is."""
    source = (
        '{% chat role="system" %}\n\n{{ choice("instruction", options) }}{% endchat %}'
        '{% chat role="user" %}{{ row.text }}\n{{ choice("cue", ["", "Label:"]) }}{% endchat %}'
    )
    records = [{"text": f"{row.text} {HOSTILE}", "label": row.target} for row in data().rows]
    given: dict[str, Any] = {
        "template": ps.Template(source, context={"options": OPTIONS}),
        "data": ps.Dataset(pd.DataFrame(records), target="label"),
        **settings,
    }
    return study(fake, storage, **given)


def hostile_truth(body: Any) -> str:
    return truth(body) if "plain" in str(body) or "care" in str(body) else HOSTILE


@pytest.fixture(scope="module")
def finished() -> tuple[ps.Result, InProcessExecutor]:
    """A finished study in memory, and the model that answered."""
    fake = InProcessExecutor()
    fake.answer = hostile_truth
    return hostile_study(fake).run(200), fake


@pytest.fixture(scope="module")
def result(finished: tuple[ps.Result, InProcessExecutor]) -> ps.Result:
    return finished[0]
