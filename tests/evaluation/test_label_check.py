"""Labels and targets that do not fit, refused before the first request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.data.rows import Row
from prompt_search.evaluation.label_check import check_labels
from prompt_search.metrics.row import Exact
from tests.conftest import InProcessExecutor
from tests.study.examples import DATA, study

MISSED = (
    "the targets 'negative', 'positive' are no label of the answer form, so that their rows can never be right, and "
    "the labels 'pos', 'neg' are no target; write labels as the targets are, or correct the targets"
)


def test_targets_that_are_no_label_are_refused(fake: InProcessExecutor) -> None:
    """A study and an evaluation name both sides before anything is sent; labels that no row has are fine."""
    with pytest.raises(ps.InputError, match=f"^{re.escape(MISSED)}$"):
        study(fake, answer=ps.Label(["pos", "neg"]))
    with pytest.raises(ps.InputError, match=f"^{re.escape(MISSED)}$"):
        ps.evaluate(
            ps.Prompt(source="{{ row.text }}"), DATA, model=fake.model(), answer=ps.Label(["pos", "neg"]), executor=fake
        )
    with pytest.raises(ps.InputError, match=r"^the targets 'positive' are no label of the answer form"):
        study(fake, answer=ps.Label(["negative", "mixed"]))
    study(fake, answer=ps.Label(["negative", "positive", "mixed"]))
    study(fake, answer=ps.Label(["pos", "neg"]), metric=lambda answer, row: row.target.startswith(answer))
    assert fake.count == 0


@dataclass(frozen=True)
class Counted(Exact):
    """Counts how often it compares."""

    times: ClassVar[int] = 0

    def __call__(self, answer: Any, row: Row) -> float:
        Counted.times += 1
        return Exact.__call__(self, answer, row)


def test_number_of_comparisons_grows_with_the_labels_alone() -> None:
    """Each target is first compared with the label that is written like it, in whatever case."""
    texts = [f"kind {number}" for number in range(500)]
    data = ps.Dataset(pd.DataFrame({"text": texts, "label": [text.upper() for text in texts]}), target="label")
    check_labels([ps.Label(texts)], Counted(), data)
    assert Counted.times == len(texts)
