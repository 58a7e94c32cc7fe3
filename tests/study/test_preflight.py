"""What a few dozen calls tell before a search: the advice, what it rests on, and that nothing is wasted."""

from __future__ import annotations

import math
import re
import zlib
from hashlib import sha256
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused
from prompt_search.evaluation.evidence import SIGNIFICANCE_LEVEL
from prompt_search.report.row_answers import ANSWER_WIDTH
from prompt_search.storage.store import Store
from prompt_search.study.preflight import Preflight
from prompt_search.study.probe import MAX_CALLS, Layout, preflight_budget
from tests.conftest import Body, InProcessExecutor, completion, failure, prompt_of

KINDS = [("bad", "negative"), ("good", "positive")]
SOURCE = """{{ choice("instruction", ["Classify.", "Read <b>this</b>.", "Decide with care.", "Which?"]) }}
{{ row.text }} {{ choice("cue", ["Label:", "Answer:", ""]) }}"""


def data(rows: int = 200) -> ps.Dataset:
    records = [
        {"text": f"{KINDS[i % 2][0]} thing number {i}: {sha256(str(i).encode()).hexdigest()}", "label": KINDS[i % 2][1]}
        for i in range(rows)
    ]
    return ps.Dataset(pd.DataFrame(records), target="label")


def shuffled() -> ps.Dataset:
    frame = data().frame()
    return ps.Dataset(frame.assign(label=frame["label"].sample(frac=1, random_state=0).to_list()), target="label")


def right_in(tenths: int) -> Any:
    """Answers that are right for so many prompts in ten."""

    def answer(body: Body) -> str:
        right, wrong = ("positive", "negative") if "good thing" in prompt_of(body) else ("negative", "positive")
        return right if zlib.crc32(prompt_of(body).encode()) % 10 < tenths else wrong

    return answer


def study(fake: InProcessExecutor, **settings: Any) -> ps.Study:
    given: dict[str, Any] = {"template": ps.Template(SOURCE), "data": data(), "model": fake.model(), "executor": fake}
    return ps.Study(**{**given, **settings})


def test_no_search_where_nothing_is_right(fake: InProcessExecutor) -> None:
    """Where no answer fits any row there is nothing to compare with, and that is no reason to go."""
    fake.answer = lambda body: "positive"
    frame = data().frame().assign(label=[f"label {number}" for number in range(200)])
    found = study(fake, data=ps.Dataset(frame, target="label")).preflight()
    assert not found.worthwhile
    assert math.isnan(found.p)
    assert found.advice[0] == (
        "Don't search yet: all 54 answers are 'positive', whatever the row is. Read a whole prompt: either it does not "
        "ask what the labels say, or this model cannot do the task."
    )
    fake.answer = lambda body: prompt_of(body)[:7]
    assert study(fake, data=ps.Dataset(frame, target="label")).preflight().advice[0] == (
        "Don't search yet: none of 54 answers to 4 prompts is correct. Read the rows above: either the labels do not "
        "match the rows, or the answers are not read correctly, or this model cannot do the task."
    )
    fake.answer = "I cannot say"
    assert study(fake).preflight().advice[0] == (
        "Don't search yet: none of 54 answers to 4 prompts could be read. State the expected form in the prompt, or "
        "use another answer form."
    )


def careful(body: Body) -> str:
    """Answers that are always right with the careful instruction, otherwise for five prompts in ten."""
    return str(right_in(10 if "care" in prompt_of(body) else 5)(body))


def test_search_is_advised_where_it_can_pay(fake: InProcessExecutor) -> None:
    """A default with room above, another prompt that is better, and enough test rows: go, with what was measured."""
    fake.answer, fake.latency = careful, 0.001
    found = study(fake).preflight()
    assert (found.worthwhile, found.decision) == (True, "go")
    assert found.advice[0] == (
        "Go: the best other prompt scores 1.00 on 18 rows, the default 0.62 on 24, 18 of them the same, p = 0.0047; "
        "the default prompt leaves room for 0.38, and there are 60 test rows: a true difference of "
        f"{found.detectable:.2f} is detectable with 80% power."
    )
    assert (found.calls, fake.count) == (57, 57)
    assert (found.rows, found.prompts, found.repeated) == (24, 4, 3)
    assert found.low < found.score < found.high
    assert found.variance == pytest.approx(found.score * (1 - found.score))
    assert found.p < SIGNIFICANCE_LEVEL
    assert 0.1 < found.differs < 0.6
    assert (found.test_rows, found.budget) == (60, None)
    assert 0.1 < found.detectable < 0.4
    assert found.latency_s == pytest.approx(0.001)
    assert found.completion_tokens == 1
    assert math.isnan(found.cost_usd)


def test_too_few_answers_to_compare(fake: InProcessExecutor) -> None:
    """Where no prompt is shown to be better, the advice says so, and with how many calls the search can tell."""
    fake.answer = right_in(7)
    found = study(fake).preflight()
    assert (found.worthwhile, found.decision) == (False, "too few answers")
    scores = "the best other prompt scores 0.78 on 18 rows, the default 0.79 on 24, 18 of them the same, p = 0.71"
    assert found.advice[0] == (
        f"Too few answers to tell whether another prompt is better ({scores}). Only the search can tell: on 60 test "
        f"rows a true difference of {found.detectable:.2f} is detectable with 80% power."
    )
    planned = study(fake, data=data(600)).preflight(560).advice[0]
    assert re.search(
        r"default \d\.\d\d on \d+, \d+ of them the same, p = \S+\)\. Give the search \d{3} calls: on \d+ test rows a "
        r"true difference of 0\.2\d is detectable with 80% power\.$",
        planned,
    ), planned


def test_prompts_that_answer_alike_are_told(fake: InProcessExecutor) -> None:
    """Where other prompts get the same answers to the same rows, no search finds a better one among such."""
    frame = data().frame()
    wrong = {f"number {row}:" for row in range(0, 200, 3)}
    right = right_in(10)

    def answer(body: Body) -> str:
        prompt = prompt_of(body)
        return "positive" if any(name in prompt for name in wrong) else str(right(body))

    fake.answer = answer
    found = study(fake, data=ps.Dataset(frame, target="label")).preflight()
    assert found.decision == "no"
    assert found.advice[0] == (
        "Don't search yet: the 3 other prompts that were tried score as the default does, with another score on 0 of "
        "24 rows. Give the template options that differ more."
    )


@pytest.mark.parametrize(
    ("calls", "answers", "p"), [(100, 4, ", p = 0.16 of the test that they match their rows"), (40, 2, "")]
)
def test_too_few_answers_to_tell_anything(fake: InProcessExecutor, calls: int, answers: int, p: str) -> None:
    """With a handful of answers nothing is claimed, and a preflight of the calls that it asks for tells more."""
    fake.answer = careful
    found = study(fake).preflight(calls)
    assert found.decision == "too few answers"
    assert found.advice[0] == (
        f"Too few answers to tell whether a search can pay ({answers} answers{p}): give 1,200 calls, of which a "
        "preflight uses at most 5%."
    )
    assert study(fake).preflight(1200).decision == "go"


def test_rows_are_shown_with_their_answers(fake: InProcessExecutor) -> None:
    """The ten most suspicious rows stand above the advice: those whose answers agree on something else than the
    target first; the data frame has them all. The table fits its width."""
    fake.answer = lambda body: "hm" if "number 7:" in prompt_of(body) else right_in(10)(body)
    frame = data().frame()
    frame.loc[[4, 9], "label"] = ["positive", "negative"]
    found = study(fake, data=ps.Dataset(frame, target="label")).preflight()
    table = found.rows_df()
    assert list(table.columns) == ["row", "text", "target", "answers", "score"]
    assert table["score"].is_monotonic_increasing
    whole = repr(found).splitlines()
    assert max(map(len, whole[: len(whole) - len(found.advice)])) <= 80
    lines = found.text(120).splitlines()
    start = lines.index("rows and the answers that they got, the most suspicious first:")
    assert lines[start + 1].split() == ["row", "text", "target", "answers"]
    assert len(lines) == start + 2 + 10 + len(found.advice)
    first = table.iloc[0]
    said = f"{first['row']:>5}  {first['text'][:47]}…  {first['target']:<8}  {first['answers']}"
    assert lines[start + 2] == said
    assert first["row"] in (4, 7, 9)
    assert "<th" in found._repr_html_()
    assert str(first["answers"]) in found._repr_html_()


def test_a_server_that_counts_words_cuts_nothing_off(fake: InProcessExecutor) -> None:
    """Rows of two words, however long these are, have the same count of words, which is no sign of a cut."""
    fake.answer = right_in(7)
    frame = data().frame()
    frame["text"] = [f"{text[:4]} thing{'x' * (3 * row)}" for row, text in enumerate(frame["text"])]
    found = study(fake, data=ps.Dataset(frame, target="label")).preflight()
    assert not [line for line in found.advice if "cut prompts off" in line]


def test_objects_are_shown_as_json(fake: InProcessExecutor) -> None:
    """Targets are written as the prompt writes them; of answers that are compared by field, what is not right."""
    fake.answer = '{"size": null}'
    rows = [{"text": f"thing {number}", "found": {"size": number % 3 or None}} for number in range(40)]
    found = study(fake, data=rows, target="found", answer=ps.Json({"type": "object"}), metric="fields").preflight(400)
    first = found.rows_df().iloc[0]
    assert first["target"] in ('{"size": 1}', '{"size": 2}')
    assert first["answers"].startswith("size: nothing instead of ")


def test_an_empty_answer_is_called_empty(fake: InProcessExecutor) -> None:
    """What could not be read is shown, also where it is nothing."""
    fake.answer = ""
    assert set(study(fake).preflight(60).rows_df()["answers"]) == {"unread: (empty) (2 times)"}


def test_answers_that_begin_alike_are_counted_apart(fake: InProcessExecutor) -> None:
    """Only equal answers are counted together, also where the table shows the beginnings alone."""
    fake.answer = lambda body: f"{'the same beginning ' * 4}{zlib.crc32(prompt_of(body).encode())}"
    found = study(fake, answer=ps.Text()).preflight(400)
    assert "times" not in repr(found)
    assert max(map(len, found.rows_df()["answers"])) > 2 * ANSWER_WIDTH


def without_logprobs(body: Body) -> Any:
    return failure(400, "logprobs is not supported with this model") if "logprobs" in body else right_in(7)(body)


FORMS = {top: ps.Label(["negative", "positive"], mode="logprobs", top_logprobs=top) for top in (5, 9)}
READ_TWO_WAYS = ps.choice({"text": ps.Label(["negative", "positive"]), **{f"top {top}": FORMS[top] for top in FORMS}})


@pytest.mark.parametrize("calls", [600, 1200])
def test_prompts_that_the_server_refuses_give_their_rows_to_others(fake: InProcessExecutor, calls: int) -> None:
    """A server that refuses log-probabilities costs one call; the advice rests on as many answers as elsewhere."""
    fake.answer = without_logprobs
    found = study(fake, answer=READ_TWO_WAYS).preflight(calls)
    assert sum("logprobs" in body for body in fake.bodies) == 1
    assert found.calls > 0.9 * calls / 20
    assert (found.errors, found.prompts > 1, found.rows > calls / 60) == (0, True, True)
    assert not found.advice[0].startswith("Don't")
    assert "The server of fake differs: the parameter logprobs is refused." in found.advice


def test_too_few_test_rows_is_said_only_where_that_is_known(fake: InProcessExecutor) -> None:
    """Where every other prompt is refused nothing is known of what the test rows can show, and they are not blamed."""
    fake.answer = without_logprobs
    found = study(fake, template=ps.Template("Classify. {{ row.text }}"), answer=READ_TWO_WAYS).preflight(1200)
    assert math.isnan(found.detectable)
    assert found.decision == "too few answers"
    assert found.advice[0] == (
        "Too few answers to tell whether another prompt is better: the server refuses all those that were tried. "
        "Offer choices that it takes."
    )


def test_what_is_not_known_is_left_out(fake: InProcessExecutor) -> None:
    """Where a metric gives no score, or a server counts no tokens, no number is made up and none is called nan."""
    fake.answer = lambda body: completion(right_in(7)(body), usage={})
    found = study(fake, metric=lambda answer, row: 1.0 if answer == row.target else 0.5).preflight(100)
    assert "nan" not in repr(found)
    assert "unknown" not in repr(found)
    assert "  per request             0.00 s" in repr(found).splitlines()


def test_search_is_advised_against_where_answers_do_not_fit_the_labels(fake: InProcessExecutor) -> None:
    """With labels that are not what the rows say no prompt helps, and the advice says why."""
    fake.answer = right_in(8)
    found = study(fake, data=shuffled()).preflight()
    assert not found.worthwhile
    assert found.p > 0.02
    assert found.advice[0] == (
        f"Don't search yet: answers match their own rows hardly better than other rows (p = {found.p:.2g}, 54 answers "
        "to 4 prompts). Either the labels do not match the rows, or this model can hardly do the task. Read the rows "
        "above, then correct the labels or use a stronger model."
    )


def test_search_is_advised_against_where_nothing_is_to_gain(fake: InProcessExecutor) -> None:
    """A default that is always right is to be shipped."""
    fake.answer = right_in(10)
    found = study(fake).preflight()
    assert not found.worthwhile
    (advice,) = found.advice
    assert advice == (
        "Don't search for a higher score: the default prompt already scores 1.00. Ship it, or collect rows on "
        "which it fails."
    )


def test_search_is_advised_against_where_nothing_could_be_shown(fake: InProcessExecutor) -> None:
    """With six test rows, or calls for no more, no verdict can be reached."""
    fake.answer = right_in(8)
    small = study(fake, data=data(20)).preflight()
    assert small.advice[0] == (
        "Don't search yet: 6 test rows cannot show that a prompt is better (80% power for only a true difference of "
        f"{small.detectable:.2f}, and the default prompt leaves room for at most {1 - small.low:.2f}). Label more "
        "rows, or use cross_fit, which tests on all rows."
    )
    assert study(fake).preflight(40).test_rows == 6


def test_unsteady_and_unread_answers_are_told(fake: InProcessExecutor) -> None:
    """A model that says something else when asked again, and answers that cannot be read, are counted and named."""
    asked: set[str] = set()

    def answer(body: Body) -> str:
        again = prompt_of(body) in asked
        asked.add(prompt_of(body))
        return "hm" if again or zlib.crc32(prompt_of(body).encode()) % 3 == 0 else right_in(9)(body)

    fake.answer = answer
    found = study(fake).preflight()
    assert 0 < found.changed <= found.repeated
    assert found.unparsed > 10
    assert (
        f"{found.unparsed} of {found.calls} answers could not be parsed, such as 'hm'. State the expected "
        "form in the prompt, give answers more room (max_tokens), or use another answer form."
    ) in found.advice
    assert (
        f"{found.changed} of {found.repeated} answers were different when the request was sent again: scores "
        "contain this noise, too."
    ) in found.advice


def test_refused_requests_are_wrong_answers(fake: InProcessExecutor) -> None:
    """A request that is refused scores 0; where all fail, the run ends with the reason, as a search does."""
    fake.answer = lambda body: failure(400, "too long") if "number 1" in prompt_of(body) else right_in(10)(body)
    found = study(fake).preflight()
    assert found.errors > 0
    assert (found.rows, found.score < 1.0) == (24, True)
    fake.answer = failure(400, "no such parameter")
    with pytest.raises(RequestRefused, match=r"bad_request: http://\S+ answered 400 for fake: no such parameter"):
        study(fake).preflight()


def test_a_run_that_follows_pays_nothing_twice(fake: InProcessExecutor, storage: str) -> None:
    """The answers are stored: a second preflight sends nothing, and a run finds most of what it asks first."""
    fake.answer = right_in(8)
    first = study(fake, storage=storage).preflight()
    sent = fake.count
    assert repr(study(fake, storage=storage).preflight()) == repr(first)
    assert fake.count == sent
    result = study(fake, storage=storage).run(200)
    asked = [prompt_of(body) for body in fake.bodies]
    assert len(asked) - len(set(asked)) == first.repeated
    assert result.samples_df()["cached"].sum() >= 20
    store = Store(storage)
    assert [record.study for record in store.studies()] == ["study"]
    store.close()


@pytest.mark.parametrize("calls", [20, 100, 400, 5000])
def test_never_more_than_its_share_is_spent(fake: InProcessExecutor, calls: int) -> None:
    """At most 5% of the budget and 60 calls are sent, whatever the answer form asks for besides."""
    forms = ps.choice({"plain": ps.Label(["negative", "positive"]), "calibrated": _calibrated()})
    study(fake, answer=forms).preflight(calls)
    assert 0 < fake.count <= min(60, max(1, calls * 0.05))


def _calibrated() -> ps.Label:
    return ps.Label(["negative", "positive"], mode="logprobs", calibrate="content-free")


def test_parts_of_other_limits() -> None:
    """A budget in tokens, dollars or seconds is shared out alike."""
    assert preflight_budget(ps.Budget(tokens=1000, usd=1.0, seconds=60)) == ps.Budget(
        calls=MAX_CALLS, tokens=50, usd=0.05, seconds=3.0
    )
    assert preflight_budget(ps.Budget(calls=10)) == ps.Budget(calls=1)
    assert Layout.of(1).blocks_of(range(100)) == [range(1)]
    whole = Layout.of(60)
    assert whole.blocks_of(range(14)) == [range(6), range(6, 12), range(12, 14)]
    assert (whole.further_of(range(14)), whole.further_of(range(100))) == (range(0), range(18, 30))
    assert (whole.answers, Layout.of(20).further) == (54, 0)


def test_refused_prompt_leaves_its_calls_to_another(fake: InProcessExecutor) -> None:
    """A server that ignores log-probabilities costs a preflight one call, not those of every prompt that wants them."""
    fake.answer = careful
    labels = ["negative", "positive"]
    forms = {"words": ps.Label(labels), "tokens": ps.Label(labels, mode="logprobs")}
    found = study(fake, answer=ps.choice(forms)).preflight(400)
    assert (found.calls, found.prompts, found.errors) == (20, 3, 0)
    assert " tokens; more, if longer prompts win\n" in repr(found)
    assert "The server of fake differs: the parameter logprobs is ignored." in found.advice


def test_metric_of_ones_own_is_called_once_a_row(fake: InProcessExecutor) -> None:
    """Such a metric may cost money, so it is not asked how answers fit other rows, and that is said."""
    fake.answer = careful
    called = []

    def metric(answer: Any, row: Any) -> bool:
        called.append(row)
        return bool(answer == row.target)

    found = study(fake, metric=metric).preflight()
    assert len(called) == found.calls
    assert math.isnan(found.p)
    assert (
        "  answers match rows      not tested: that needs more answers, or another metric" in repr(found).splitlines()
    )
    assert found.worthwhile


def test_scores_without_limit_are_not_called_nearly_perfect(fake: InProcessExecutor) -> None:
    """A metric that may go beyond 1 is judged by what the test rows can show alone."""
    fake.answer = right_in(8)
    found = study(fake, metric=lambda answer, row: len(prompt_text(row)) / 3).preflight()
    assert found.advice[0].startswith("Don't search yet: the 3 other prompts that were tried score as the default does")
    fake.answer = careful
    found = study(fake, metric=lambda answer, row: 3.0 * (answer == row.target)).preflight()
    assert "; scores have no known limit, and there are 60 test rows: a true difference of " in found.advice[0]


def prompt_text(row: Any) -> str:
    return str(row.text)


def test_sealed_rows_that_repeat_search_rows_are_told(fake: InProcessExecutor) -> None:
    """Rows that differ by a word or two are on both sides: how many, and which repeats which most."""
    fake.answer = right_in(8)
    frame = data(60).frame()
    long = "The parcel that I ordered two weeks ago has not arrived, and nobody answers my letters"
    frame["text"] = [f"{text[:20]} {long}" if i < 12 else text for i, text in enumerate(frame["text"])]
    made = study(fake, data=ps.Dataset(frame, target="label"))
    found = made.preflight()
    repeated = [row for row in made.test_rows if row < 12]
    assert found.repeating == len(repeated) > 0
    assert f"{len(repeated)} of the test rows nearly repeat search rows: row " in " ".join(found.advice)
    assert study(fake).preflight().repeating == 0


def test_representations_hold_hostile_names(fake: InProcessExecutor) -> None:
    """The notebook shows a name as it is and runs none of it."""
    fake.answer = right_in(8)
    found = study(fake, name="<script>alert(1)</script>").preflight(600)
    assert isinstance(found, Preflight)
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "600 calls" in repr(found)
    assert len(found.advice) > 0
    assert all(line in repr(found) for line in found.advice)
