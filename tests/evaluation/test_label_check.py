"""Labels and targets that do not fit, refused before the first request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.data.rows import Row
from prompt_search.evaluation.label_check import MOST_COMPARISONS, SHOWN, check_labels
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
    before = Counted.times
    check_labels([ps.Label(texts)], Counted(), data)
    assert Counted.times - before == len(texts)


def test_labels_of_which_none_is_a_target_are_not_compared_in_all_pairs() -> None:
    """Of thousands that do not fit the error names some, after comparisons that grow with the labels alone."""
    texts = [f"kind {number}" for number in range(2_000)]
    data = ps.Dataset(
        pd.DataFrame({"text": texts, "label": [f"type {number}" for number in range(2_000)]}), target="label"
    )
    before = Counted.times

    with pytest.raises(
        ps.InputError,
        match=r"^the targets 'type 0', 'type 1', 'type 2', 'type 3', 'type 4' and more are no label .*, and the labels "
        r"'kind 0', 'kind 1', 'kind 2', 'kind 3', 'kind 4' and more are no target; write labels",
    ):
        check_labels([ps.Label(texts)], Counted(), data)
    assert Counted.times - before < 2 * (MOST_COMPARISONS + (SHOWN + 2) * 2 * len(texts))


def test_a_label_that_fits_is_found_at_once_where_others_do_not() -> None:
    """One target among thousands that no label is, is named with the one label that is no target."""
    texts = [f"kind {number}" for number in range(2_000)]
    data = ps.Dataset(pd.DataFrame({"text": texts, "label": ["other", *texts[1:]]}), target="label")
    before = Counted.times

    with pytest.raises(
        ps.InputError, match=r"^the targets 'other' are no label .* and the labels 'kind 0' are no target; write"
    ):
        check_labels([ps.Label(texts)], Counted(), data)
    assert Counted.times - before < 5 * len(texts)


def test_where_not_all_were_compared_more_may_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error does not claim to name all where the comparisons ended before the last target."""
    monkeypatch.setattr("prompt_search.evaluation.label_check.MOST_COMPARISONS", 0)
    names = [f"kind {number:02}" for number in range(40)]
    data = ps.Dataset(
        pd.DataFrame({"text": names, "label": ["other", *(name.removeprefix("kind ") for name in names[1:])]}),
        target="label",
    )

    with pytest.raises(ps.InputError, match=r"^the targets 'other' and perhaps more are no label .* 'kind 00' and per"):
        check_labels([ps.Label(names)], ps.metrics.Includes(), data)
