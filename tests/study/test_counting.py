"""How failed requests count in a study: those that are the prompt's fault as wrong answers, others as missing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.evaluation.outcome import Outcome
from prompt_search.llm.failures import FAULTS
from prompt_search.testing import FakeResponse, completion, failure
from tests.conftest import Body, InProcessExecutor, prompt_of

BUSY = failure(500, "busy", Retry_After="0")
WITHHELD = completion("", finish_reason="content_filter")
REFUSED = {
    "bad_request": failure(400, "no"),
    "content_filter": WITHHELD,
    "context_length": failure(400, "This model's maximum context length is 4096 tokens"),
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


@pytest.mark.parametrize(
    "reply", [completion(""), completion("y", finish_reason="length"), completion("<think>yes", finish_reason="length")]
)
def test_empty_and_cut_answers_do_not_flip_the_verdict(fake: InProcessExecutor, reply: dict[str, Any]) -> None:
    """A prompt whose answers are empty or cut off on half of the rows is wrong on them, and its share is told."""

    def answer(body: Body) -> Any:
        if "plain" in prompt_of(body):
            return reply if number(body) % 4 >= 2 else right(body)
        return right(body) if number(body) % 5 < 3 else wrong(body)

    fake.answer = answer
    result = study(fake, test=list(range(20, 60))).run(600)
    default = result.samples_df().query("trial == 0 and split == 'test'")
    assert (len(default), default["score"].mean(), default["score"].isna().sum()) == (40, 0.5, 0)
    assert default["answer"].isna().sum() == 20
    assert result.verdict == "not shown"
    assert "50% of the default prompt's test answers could not be read." in result.headline.splitlines()[0]


@pytest.mark.parametrize("details", [{}, {"completion_tokens_details": {"reasoning_tokens": 1000}}])
def test_tokens_outside_of_the_completion_are_paid(fake: InProcessExecutor, details: dict[str, Any]) -> None:
    """Reasoning that stands in the total alone counts against a budget in tokens, which is not exceeded."""
    usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 1055, **details}
    fake.answer = lambda body: completion(right(body), usage=usage)
    result = study(fake).run(ps.Budget(calls=1000, tokens=20_000))
    calls = result.calls_df()
    paid = calls[calls["attempts"] > 0]
    assert set(paid["prompt_tokens"].dropna()) == {50}
    assert set(paid["completion_tokens"].dropna()) == {1005}
    assert result.summary["tokens"] == fake.count * 1055 <= 20_000


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
    assert f"; {busy} test row{'s' if busy > 1 else ''} without an answer left out. Always answering “" in first
    assert first.endswith(
        f". {busy / asked:.0%} of the default prompt's test requests failed (server) and are missing. "
        f"{withheld / asked:.0%} of the winner's test requests failed (content_filter) and count as wrong."
    )
    assert [line[-1] for line in _table(result)] == [verdict.rows] * 2


def _table(result: ps.Result) -> list[tuple[Any, ...]]:
    from prompt_search.results.views import tested_view

    return [tuple(row) for row in tested_view(result).rows]


def test_missing_rows_cannot_make_a_prompt_better(fake: InProcessExecutor) -> None:
    """A winner that is right where it is answered, and not answered where it is hard, is not shown to be better."""

    def answer(body: Body) -> Any:
        case = number(body)
        if "fancy" in prompt_of(body):
            return BUSY if case >= 40 and case % 3 == 0 else right(body)
        return right(body) if case % 3 == 0 or case % 2 else wrong(body)

    fake.answer = answer
    result = study(fake, 100, test=list(range(40, 100))).run(3000)
    verdict = result.verdict
    assert result.best.choices == {"style": "fancy"}
    assert (verdict, verdict.guarded, verdict.missing, verdict.rows) == ("not shown", True, 20, 40)
    assert (verdict.won, verdict.lost, verdict.p < 0.001) == (20, 0, True)
    assert (
        "; 20 test rows without an answer left out: counted as wrong, they would leave no such difference"
        in (result.headline.splitlines()[0])
    )


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


@pytest.mark.parametrize(("kind", "fault"), FAULTS.items())
def test_each_kind_counts_by_its_fault(kind: str, fault: str) -> None:
    """A failure that is the prompt's fault or a judge's scores 0, any other has no score, and only the road is worth
    another try."""
    outcome = Outcome.failed(3, "key", f"{kind}: it happened", cached=False)
    assert outcome.score == (0.0 if fault in ("prompt", "judge") else None)
    assert outcome.is_lost == (fault == "road")
    assert (outcome.error, outcome.answer, outcome.unparsed) == (f"{kind}: it happened", None, False)


REFUSALS: dict[str, Any] = {
    "status 400": failure(400, "no"),
    "status 413": failure(413, "too large"),
    "status 422": failure(422, "unprocessable"),
    "too long": failure(400, "This model's maximum context length is 4096 tokens"),
    "withheld": WITHHELD,
    "withheld in part": completion("yes", finish_reason="content_filter"),
    "refusal": {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": None, "refusal": "I will not"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    },
    "Azure's filter": FakeResponse(
        status=400, body={"error": {"code": "content_filter", "message": "The prompt triggered the filter"}}
    ),
    "plain text": FakeResponse(status=400, body="bad request"),
    "no message": FakeResponse(status=400, body={}),
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
def test_whatever_refuses_a_row_counts_as_wrong(fake: InProcessExecutor, reply: Any) -> None:
    """However a server refuses a request, the row is wrong in the score and in the count of rows."""
    fake.answer = lambda body: reply if number(body) % 4 == 0 else right(body)
    found = ps.evaluate(ps.Prompt(source="{{ row.text }}"), data(20), model=fake.model(), executor=fake)
    assert (found.score, len(found.scores), found.errors) == (0.75, 20, 5)
    assert fake.count == 20


def test_a_handwritten_prompt_on_other_rows_is_told_with_them(fake: InProcessExecutor) -> None:
    """Where the prompt written by hand is missing rows, its score stands with the winner's on the same rows."""

    def answer(body: Body) -> Any:
        text, case = prompt_of(body), number(body)
        if "mine" in text:
            return BUSY if case == 70 else right(body) if case % 3 else wrong(body)
        return right(body) if "fancy" in text and case % 20 else right(body) if case % 2 else wrong(body)

    fake.answer = answer
    template = ps.Template('{{ choice("style", ["plain", "mine", "fancy"]) }}: {{ row.text }}')
    made = study(fake, 100, template=template, test=list(range(60, 100)))
    made.enqueue({"style": "mine"})
    result = made.run(700)
    names = [line[0] for line in _table(result)]
    rows = [line[-1] for line in _table(result)]
    assert rows == [40, 39, 40]
    assert names == ["default (all first options)", names[1], "winner"]
    assert names[1].startswith("best written by hand (on other rows; there the winner has 0.9")
    assert "on the 39 test rows that both answered, " in result.headline.splitlines()[0]
    assert "; 1 test row without an answer left out" in result.headline.splitlines()[0]


def test_default_that_misses_a_row_leaves_the_winner_its_name(fake: InProcessExecutor) -> None:
    """Winner and default are compared on the rows that both have, so neither is said to be on other rows."""

    def answer(body: Body) -> Any:
        text, case = prompt_of(body), number(body)
        if "plain" in text and case in (3, 70):
            return BUSY
        return right(body) if "fancy" in text or case % 3 else wrong(body)

    fake.answer = answer
    result = study(fake, 100, test=list(range(60, 100))).run(400)
    assert result.tested == {"default (all first options)": 0, "winner": result.best_trial}
    assert [line[-1] for line in _table(result)] == [39, 39]
    counts = result.trials_df()[["search_rows", "rows"]].to_numpy()[0].tolist()
    samples = result.samples_df()
    scored = samples[(samples["trial"] == 0) & (samples["split"] == "search")]["score"].notna().sum()
    assert counts == [scored, scored + 40 + 1]


def test_a_cut_prompt_is_told(fake: InProcessExecutor) -> None:
    """Where the server's count of prompt tokens stops growing, the headline names the count."""

    def answer(body: Body) -> Any:
        tokens = min(300, len(prompt_of(body)) // 4)
        return completion(right(body), usage={"prompt_tokens": tokens, "completion_tokens": 1})

    fake.answer = answer
    records = [{"text": f"case {i:03d}. " + "word " * (i * 8), "label": ("yes", "no")[i % 2]} for i in range(60)]
    result = study(fake, data=ps.Dataset(pd.DataFrame(records), target="label")).run(240)
    assert result.suspected_cut == 300
    assert result.headline.splitlines()[0].endswith(
        ". The server may cut prompts off at 300 tokens: the longest prompts differ much in length and all count as "
        "that many; raise the context length of the server."
    )


def test_cross_fitting_counts_and_tells_failures(fake: InProcessExecutor) -> None:
    """The rates of a cross-fitted study are over the rows that both have, and its headline names what failed."""

    def answer(body: Body) -> Any:
        case = number(body)
        if "fancy" in prompt_of(body):
            return WITHHELD if case in (3, 33) else right(body)
        return BUSY if case == 7 else right(body) if case % 2 else wrong(body)

    fake.answer = answer
    found = study(fake, 60).cross_fit(1200, folds=3)
    before, after = found.test_scores
    assert found.verdict.rows == before.rows == after.rows == 59
    assert found.verdict.missing == 1
    assert found.headline.splitlines()[0].endswith(
        "; 1 row without an answer left out. Always answering “yes”, the most frequent label, scores 0.508 on these "
        "rows, and the default prompt is not above that. The default prompt answers “no” on 100% of test rows, "
        "whatever they say, so any prompt that tells rows apart is better. 2% of the default prompt's test requests "
        "failed (server) and are missing. "
        "3% of the winners' test requests failed (content_filter) and count as wrong."
    )
