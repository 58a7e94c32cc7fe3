"""Labels and targets that do not fit, refused before the first request."""

from __future__ import annotations

import re

import pytest

import prompt_search as ps
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
