"""One search without each fold, and one over all rows."""

from __future__ import annotations

import pandas as pd
import pytest

from prompt_search.errors import InputError
from tests.conftest import InProcessExecutor
from tests.study.examples import study, truth


def test_cross_fitting_tests_every_row_once(fake: InProcessExecutor, storage: str) -> None:
    """Each row is tested by the one search that did not see it; the prompt to ship comes from a search over all rows;
    the budget covers all, and the same line again sends nothing."""
    fake.answer = truth
    made = study(fake, storage)
    found = made.cross_fit(600)
    tested = [fold.samples_df().query("split == 'test' and trial == 0")["row"].tolist() for fold in found.folds]
    assert sorted(row for rows in tested for row in rows) == list(range(60))
    for fold in found.folds:
        samples = fold.samples_df()
        searched, sealed = (set(samples.loc[samples["split"] == split, "row"]) for split in ("search", "test"))
        assert not searched & sealed
    assert set(found.result.samples_df()["split"]) == {"search"}
    assert found.verdict == "better"
    assert found.verdict.rows == 60
    assert found.best == found.result.best
    assert "Decide with care." in found.best.text
    assert fake.count <= 600
    assert "on 60 rows, each scored by one of 3 searches that did not use it" in repr(found)
    assert "on 60 rows, each scored by one of 3 searches that did not use it" in found._repr_html_()
    assert all(f">{name}</td>" in found._repr_html_() for name in found.folds_df()["study"])
    frame = found.folds_df()
    assert frame["study"].tolist() == ["study fold 1", "study fold 2", "study fold 3"]
    shares = frame["rows"] / 60
    assert (shares * (frame["winner_score"] - frame["default_score"])).sum() == pytest.approx(found.verdict.difference)

    sent = fake.count
    again = study(fake, storage).cross_fit(600)
    assert fake.count == sent
    pd.testing.assert_frame_equal(again.folds_df(), frame)


def test_cross_fitting_with_few_calls(fake: InProcessExecutor) -> None:
    """Too few calls for a test are told, and fewer than there are searches are refused."""
    fake.answer = truth
    reason = "the budget left too few calls for the test rows; give more calls"
    assert repr(study(fake).cross_fit(8)).splitlines()[0] == f"study all rows: There is no verdict, because {reason}."
    assert fake.count <= 8
    with pytest.raises(InputError, match=r"4 searches share Budget\(calls=3\), which is less than 1 for each"):
        study(fake).cross_fit(3)
