"""How failed requests count in a study: those that are the prompt's fault as wrong answers, others as missing."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.llm.failures import FAULTS
from prompt_search.testing import FakeResponse, completion, failure
from tests.conftest import Body, InProcessExecutor, prompt_of

BUSY = failure(500, "busy", Retry_After="0")
WITHHELD = completion("", finish_reason="content_filter")
REFUSED = {
    "bad_request": failure(400, "no"),
    "content_filter": WITHHELD,
}
"""Replies that are the prompt's fault, by the kind of error that they give."""

LOST = [BUSY, failure(429, "slow down", Retry_After="0"), failure(408, "too late", Retry_After="0")]
"""Replies that are the road's fault."""


def data(rows: int) -> ps.Dataset:
    records = [{"text": f"case {i:03d}.", "label": ("yes", "no")[i % 2]} for i in range(rows)]
    return ps.Dataset(pd.DataFrame(records), target="label")


def right(body: Body) -> str:
    return ("yes", "no")[number(body) % 2]


def wrong(body: Body) -> str:
    return ("no", "yes")[number(body) % 2]


def number(body: Body) -> int:
    return int(prompt_of(body).split("case ")[1][:3])


def luck(body: Body) -> float:
    """A number from 0 to 1 that depends on the prompt and the row."""
    return zlib.crc32(prompt_of(body).encode()) / 2**32


def study(fake: InProcessExecutor, rows: int = 60, storage: str | None = None, **settings: Any) -> ps.Study:
    template = ps.Template('{{ choice("style", ["plain", "fancy"]) }}: {{ row.text }}')
    given: dict[str, Any] = {"template": template, "data": data(rows), "model": fake.model(), "executor": fake}
    return ps.Study(**{**given, "storage": storage, "name": "s", **settings})


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_rows_do_not_flip_the_verdict(fake: InProcessExecutor, kind: str) -> None:
    """A prompt that is refused on half of the rows and right on the others is not better than one right on 3 of 5."""

    def answer(body: Body) -> Any:
        if "fancy" in prompt_of(body):
            return right(body) if number(body) % 4 < 2 else REFUSED[kind]
        return right(body) if number(body) % 5 < 3 else wrong(body)

    fake.answer = answer
    result = study(fake).run(240)
    assert result.verdict != "better"
    assert result.best.choices == {"style": "plain"}
    scores = result.trials_df().set_index("style")
    assert scores["score"].to_dict() == pytest.approx({"plain": 0.6, "fancy": 0.5}, abs=0.15)
    samples = result.samples_df()
    failed = samples[samples["error"].notna()]
    assert set(failed["score"]) == {0.0}
    assert set(failed["error"].str.partition(":")[0]) == {kind}


def test_rates_beside_each_other_are_over_the_same_rows(fake: InProcessExecutor) -> None:
    """Rows that one prompt is missing are left out of both scores, and told; refused ones count as wrong, and are."""

    def answer(body: Body) -> Any:
        case = number(body)
        if "fancy" in prompt_of(body):
            return WITHHELD if case % 20 == 3 else right(body) if case % 10 else wrong(body)
        return BUSY if case % 20 == 7 else right(body) if case % 10 < 3 else wrong(body)

    fake.answer = answer
    result = study(fake, 120).run(900)
    verdict = result.verdict
    default, winner = result.test_score(0), result.test_score(result.best_trial)
    assert (verdict, result.best.choices) == ("better", {"style": "fancy"})
    assert verdict.rows == default.rows == winner.rows
    assert verdict.difference == pytest.approx(winner.mean - default.mean)
    errors = result.samples_df().query("split == 'test'")["error"].dropna()
    withheld, busy = (int(errors.str.startswith(kind).sum()) for kind in ("content_filter", "server"))
    assert verdict.missing == busy > 0 < withheld
    asked = verdict.rows + busy
    first = result.headline.splitlines()[0]
    assert f"; {busy} test row{'s' if busy > 1 else ''} without an answer left out. " in first
    assert first.endswith(
        f". {busy / asked:.0%} of the default prompt's test requests failed (server) and are missing. "
        f"{withheld / asked:.0%} of the winner's test requests failed (content_filter) and count as wrong."
    )
    assert [line[-1] for line in _table(result)] == [verdict.rows] * 2


def _table(result: ps.Result) -> list[tuple[Any, ...]]:
    from prompt_search.results.views import tested_view

    return [tuple(row) for row in tested_view(result).rows]


def test_missing_rows_cannot_make_a_prompt_better(fake: InProcessExecutor) -> None:
    """A winner that is right wherever it is answered, and not answered where it is hard, is not shown to be better."""

    def answer(body: Body) -> Any:
        case = number(body)
        if "fancy" in prompt_of(body):
            return BUSY if case % 3 == 0 and luck(body) < 0.9 else right(body)
        return right(body) if case % 3 else wrong(body) if case % 2 else right(body)

    fake.answer = answer
    result = study(fake, 100, test=list(range(40, 100))).run(3000)
    verdict = result.verdict
    if result.best_trial:
        assert verdict != "better"
        assert verdict.missing > 10


@pytest.mark.parametrize("reply", LOST)
def test_what_is_lost_on_the_road_is_sent_again_before_the_verdict(
    fake: InProcessExecutor, storage: str, reply: FakeResponse
) -> None:
    """Each test row that was lost is sent once more, whatever kills and resumes the run, and counts its attempts."""
    seen: Counter[str] = Counter()
    lost = {f"case {case:03d}." for case in (41, 47, 55)}

    def answer(body: Body) -> Any:
        text = prompt_of(body)
        seen[text] += 1
        failing = any(each in text for each in lost) and seen[text] <= 6
        return reply if failing else right(body)

    fake.answer = answer
    made = study(fake, 60, storage, test=list(range(40, 60)))
    result = made.run(400)
    tested = result.samples_df().query("split == 'test'")
    assert tested["error"].isna().all()
    calls = result.calls_df()
    resent = calls[calls["attempts"] > 1]
    assert resent["attempts"].tolist() == [7] * len(resent)
    assert len(resent) >= len(lost)
    count = fake.count
    again = study(fake, 60, storage, test=list(range(40, 60))).run(400)
    assert fake.count == count
    assert again.headline.splitlines()[:2] == result.headline.splitlines()[:2]
    assert again.summary["calls"] == result.summary["calls"] == calls["attempts"].sum()
    assert again.calls_df().equals(calls)


def test_what_stays_lost_is_sent_again_once(fake: InProcessExecutor, storage: str) -> None:
    """A row that never comes is missing after two times, and a resumed run does not send it a third time."""
    fake.answer = lambda body: BUSY if number(body) == 45 else right(body)
    settings: dict[str, Any] = {"rows": 60, "storage": storage, "test": list(range(40, 60))}
    result = study(fake, **settings).run(400)
    calls = result.calls_df()
    assert set(calls["attempts"][calls["error"].notna()]) == {12}
    assert result.samples_df().query("row == 45")["score"].isna().all()
    count = fake.count
    again = study(fake, **settings).run(400)
    assert again.summary["calls"] == result.summary["calls"] == calls["attempts"].sum()
    assert fake.count == count


def test_evaluate_sends_again_what_was_lost(fake: InProcessExecutor) -> None:
    """`evaluate` sends lost rows once more at its end; refused ones count as wrong and are told by their kind."""
    seen: Counter[str] = Counter()

    def answer(body: Body) -> Any:
        text = prompt_of(body)
        seen[text] += 1
        if number(body) == 3:
            return failure(400, "no")
        if number(body) == 5:
            return BUSY
        return BUSY if number(body) == 4 and seen[text] <= 6 else right(body)

    fake.answer = answer
    found = ps.evaluate(ps.Prompt(source="{{ row.text }}"), data(20), model=fake.model(), executor=fake)
    assert repr(found) == (
        "Evaluation: 0.947 (0.754 to 0.991) on 19 rows, 0 unparsed, 2 errors (1 bad_request wrong, 1 server missing)"
    )
    frame = found.samples_df().set_index("row")
    assert (frame["score"][3], frame["score"][4], frame["error"][4]) == (0.0, 1.0, None)
    assert frame["score"].isna().sum() == 1


def test_corpus_metrics_count_refused_rows(fake: InProcessExecutor) -> None:
    """A refused row is for a corpus metric what an answer is that could not be read."""
    prompt = ps.Prompt(source="{{ row.text }}")
    scores = []
    for reply in (WITHHELD, "hm"):
        fake.answer = lambda body, reply=reply: reply if number(body) % 4 == 1 else right(body)
        found = ps.evaluate(prompt, data(20), model=fake.model(), executor=fake, metric=ps.metrics.macro_f1)
        scores.append((found.score, len(found.scores)))
    assert scores[0] == scores[1]
    assert scores[0][0] < 0.9


def test_every_kind_of_error_has_a_line_in_the_docs() -> None:
    """The table of failures in the docs says of each kind what the code does with it."""
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    told = {cells[1].strip(" `"): cells[3].strip() for cells in (line.split("|") for line in lines) if len(cells) == 6}
    assert {kind: told[kind] for kind in FAULTS} == {kind: f"the {fault}" for kind, fault in FAULTS.items()}
