"""What is called when a run has ended."""

from __future__ import annotations

import pytest

import prompt_search as ps
from tests.conftest import InProcessExecutor
from tests.study.examples import study, truth


def test_result_is_handed_over_once_it_is_stored(fake: InProcessExecutor, storage: str) -> None:
    """`on_finish` gets the result once, and finds it in the storage."""
    fake.answer = truth
    seen: list[tuple[ps.Result, str]] = []

    def tracked(result: ps.Result) -> None:
        seen.append((result, ps.open_result(storage, result.name).headline))

    made = study(fake, storage)
    result = made.run(60, on_finish=tracked)
    assert seen == [(result, result.headline)]
    made.run(60, on_finish=tracked)
    assert len(seen) == 2


def test_error_of_a_tracker_loses_nothing(fake: InProcessExecutor, storage: str) -> None:
    """An exception there is one line and holds the stored result; the same run then sends nothing."""
    fake.answer = truth

    def broken(result: ps.Result) -> None:
        raise ConnectionError("the tracker\nis away")

    made = study(fake, storage)
    with pytest.raises(
        ps.RunError, match=r"^on_finish raised ConnectionError: the tracker is away; study 'study' is finished: "
    ):
        made.run(60, on_finish=broken)
    sent = fake.count
    assert ps.open_result(storage, made.name).finished
    assert made.run(60).finished
    assert fake.count == sent
