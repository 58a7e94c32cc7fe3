"""Studies whose choices grow: what is paid and resumed, what is never scored, and what bad proposers do."""

from __future__ import annotations

import functools
import re
import zlib
from typing import Any

import optuna
import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused, RunError
from prompt_search.evaluation import session
from prompt_search.llm.client import Client
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.report.growth import GrowthSection
from prompt_search.storage.store import Store
from tests.conftest import Body, FakeServer, InProcessExecutor, failure, prompt_of
from tests.growing import DATA, PROPOSER, RULES, SOURCE, answering, grown_study, proposed, to_proposer, truth
from tests.study.examples import assert_equal_results, sent

BUDGET = 200


def assert_same_growth(first: ps.Result, second: ps.Result) -> None:
    for table in ("proposals_df", "lineage"):
        one, other = (getattr(result, table)() for result in (first, second))
        pd.testing.assert_frame_equal(one, other)


@pytest.fixture(scope="module")
def whole() -> tuple[ps.Result, list[Any]]:
    """A study that ran through against a server, and the requests that it sent."""
    with FakeServer(answering) as server:
        return grown_study(server).run(BUDGET), list(server.bodies)


@pytest.mark.system
def test_small_budgets_propose_nothing(fake: InProcessExecutor) -> None:
    """Where no calls are left to look at what comes, no proposer is asked, and the study works as any other."""
    for calls in (60, 120):
        result = grown_study(fake).run(calls)
        assert result.proposals_df().empty
        assert result.verdict.rows >= 2
        assert "Nothing was proposed; that takes a larger budget." in result.headline
    assert to_proposer(fake.bodies) == []


def knowing(body: Body) -> Any:
    """A model that is always right, and a proposer."""
    return proposed(body) if body["model"] == PROPOSER else "positive" if "good <b>" in last_row(body) else "negative"


def last_row(body: Body) -> str:
    return prompt_of(body).rpartition("Text:")[2]


@pytest.mark.parametrize(
    ("answer", "options", "operators", "reason"),
    [
        (knowing, 2, ["reflect"], "reflect needs wrong answers that it may show"),
        (answering, 1, ["combine"], "combine needs two options with a score"),
        (
            knowing,
            1,
            ["combine", "reflect"],
            "combine needs two options with a score, and reflect needs wrong answers that it may show",
        ),
    ],
)
def test_operators_without_anything_to_work_with_are_told(
    fake: InProcessExecutor, answer: Any, options: int, operators: list[str], reason: str
) -> None:
    """A budget that has room for proposals is not said to be too small: the result says what the operators lacked."""
    fake.answer = answer
    template = ps.Template(SOURCE if options == 2 else SOURCE.replace(', "Read the text, then decide."', ""))
    study = grown_study(fake, template=template, proposer=Proposer(fake.model(PROPOSER), operators))
    assert study.run(BUDGET).headline.endswith(f" Nothing was proposed: {reason}.")
    assert to_proposer(fake.bodies) == []
    assert study.replace(name="small").run(60).headline.endswith(" Nothing was proposed; that takes a larger budget.")
    rescored = study.replace(metric=ps.metrics.exact).rescore()
    assert f"Nothing was proposed: {reason}." in report_of(rescored)


def report_of(result: ps.Result) -> str:
    section = GrowthSection.of(result)
    assert section is not None
    return section.sentence


def test_a_proposed_text_is_enqueued_once_it_is_an_option(whole: tuple[ps.Result, list[Any]]) -> None:
    """It belongs to the result that it was proposed in: another study takes it where its template has it, or takes the
    whole prompt, and says so."""
    result, _ = whole
    text = result.choices(result.best_trial)["instruction"]
    later = grown_study(InProcessExecutor(), name="later")
    with pytest.raises(ps.InputError) as raised:
        later.enqueue({"instruction": text})
    assert str(raised.value) == (
        f"'instruction' has no option {text!r}; its options are 'Classify the text.', 'Read the text, then decide.': "
        "give one of them, or write yours into the choice, as for a text that a model proposed"
    )
    kept = later.replace(template=ps.Template(SOURCE.replace('"Read the', f'"{text}", "Read the')))
    kept.enqueue({"instruction": text})
    later.enqueue(prompt=result.best)
    assert [each.to_dict()["instruction"] for each in kept.plan.enqueued_candidates] == [1]
    assert [later.prepared(each).prompt.text for each in later.plan.enqueued_candidates] == [result.best.text]


def test_proposals_are_paid_from_the_budget(whole: tuple[ps.Result, list[Any]]) -> None:
    """The ledger has the proposer's calls in a line of its own, and all calls together keep to the budget."""
    result, bodies = whole
    ledger = result.ledger_df().set_index("role")["calls"]
    assert ledger[PROPOSER] == len(to_proposer(bodies)) == result.proposals_df()["calls"].sum() > 0
    assert ledger.sum() == len(bodies) <= BUDGET
    assert max(sent(bodies).values()) == 1


@pytest.mark.system
def test_interrupted_study_takes_the_same_course(whole: tuple[ps.Result, list[Any]], storage: str) -> None:
    """Interrupted again and again, right after a request to the proposer too, a study sends nothing twice but what was
    refused, and ends in the same tables."""
    expected, bodies = whole
    requests = [body["model"] for body in bodies]
    firsts = [place for place, model in enumerate(requests) if model == PROPOSER]
    with FakeServer(answering) as server:
        answered: list[Any] = []
        for stop in (firsts[0], firsts[0] + 1, firsts[2] + 1, firsts[-1] + 1, len(bodies) - 5):
            server.bodies, server.fail_after = [], stop - len(answered)
            with pytest.raises(RequestRefused):
                grown_study(server, storage, max_concurrency=1).run(BUDGET)
            answered += server.bodies[: server.fail_after]
        server.bodies, server.fail_after = [], None
        result = grown_study(server, storage, max_concurrency=1).run(BUDGET)
        answered += server.bodies
    assert sent(answered) == sent(bodies)
    assert_equal_results(result, expected)
    assert_same_growth(result, expected)


@pytest.mark.system
def test_larger_budget_keeps_what_was_proposed(fake: InProcessExecutor, storage: str) -> None:
    """A second run goes on with the options of the first one, pays nothing again, and the first result stays as it
    was; fresh=True forgets the options and pays nothing for the same ones."""
    first = grown_study(fake, storage).run(200)
    before = first.proposals_df()
    second = grown_study(fake, storage).run(350)
    after = second.proposals_df()
    shared = ["choice", "option", "text", "operator", "parents", "rows", "accepted", "reason", "calls"]
    pd.testing.assert_frame_equal(after[shared].head(len(before)), before[shared])
    earlier = Store(storage).versions.proposals(second._study.version)[: len(before)]
    assert {each.trial for each in earlier} == {-1}
    assert max(sent(fake.bodies).values()) == 1
    assert fake.count == second.ledger_df()["calls"].sum() <= 350
    pd.testing.assert_frame_equal(ps.open_result(storage, "study@1").proposals_df(), before)
    assert len(second.lineage()) > 0
    asked = fake.count
    again = grown_study(fake, storage).run(200, fresh=True)
    pd.testing.assert_frame_equal(again.proposals_df().drop(columns="calls"), before.drop(columns="calls"))
    assert again.proposals_df()["calls"].sum() == 0
    assert fake.count == asked


def test_finished_study_is_read(fake: InProcessExecutor, storage: str) -> None:
    """The same line again gives the same tables and asks nobody."""
    first = grown_study(fake, storage).run(BUDGET)
    asked = fake.count
    again = grown_study(fake, storage).run(BUDGET)
    assert fake.count == asked
    assert_equal_results(again, first)
    assert_same_growth(again, first)


@pytest.mark.system
def test_grown_study_is_scored_by_another_metric(fake: InProcessExecutor, storage: str) -> None:
    """Rescoring sends nothing, keeps proposals and their texts, and the winner that was tested."""
    first = grown_study(fake, storage).run(BUDGET)
    asked = fake.count

    @ps.metrics.metric(low=0, high=1)
    def lenient(answer: Any, row: Any) -> float:
        return 1.0 if answer == row.target else 0.5

    again = grown_study(fake, storage, metric=lenient, proposer=None).rescore()
    assert fake.count == asked
    assert again.best.text == first.best.text
    columns = ["choice", "option", "text", "operator", "parents", "rows", "accepted", "reason", "trials"]
    pd.testing.assert_frame_equal(again.proposals_df()[columns], first.proposals_df()[columns])
    pd.testing.assert_frame_equal(again.lineage(), first.lineage())
    assert again.trials_df()["score"].dropna().min() >= 0.5
    assert "of the proposer" not in again.headline
    in_memory = grown_study(fake)
    in_memory.run(BUDGET)
    assert len(in_memory.replace(metric=lenient).rescore().proposals_df()) > 0


def failing(body: Body) -> Any:
    return failure(500, "out of order") if body["model"] == PROPOSER else truth(body)


@pytest.mark.usefixtures("impatient")
def test_a_proposer_that_fails_costs_little(fake: InProcessExecutor) -> None:
    """A study whose proposer never answers ends with a verdict, has each failure in its table, and keeps most of its
    calls for the search."""
    fake.answer = failing
    result = grown_study(fake).run(BUDGET)
    found = result.proposals_df()
    assert found["reason"].str.startswith("no answer: server: ").all()
    assert not found["accepted"].any()
    assert found["text"].eq("").all()
    assert 0 < len(to_proposer(fake.bodies)) == found["calls"].sum() <= 0.2 * BUDGET
    assert fake.count <= BUDGET
    assert result.verdict.rows >= 2
    assert "gave no text" in result.headline


async def at_once(seconds: float) -> None:
    """No pause between attempts."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that wait neither between attempts nor long for an answer."""
    monkeypatch.setattr(session, "Client", functools.partial(Client, sleep=at_once, request_timeout=0.3))


def test_a_wrong_key_of_the_proposer_ends_the_run_early(fake: InProcessExecutor) -> None:
    """Who gave a proposer wants its options: where its server refuses the key, the run ends before most of the budget
    is spent, and says whose address it was."""

    def answer(body: Body) -> Any:
        return failure(401, "invalid key") if body["model"] == PROPOSER else truth(body)

    fake.answer = answer
    with pytest.raises(RunError, match=r"401 for proposer.*invalid key"):
        grown_study(fake).run(500)
    assert fake.count < 100


def test_answers_that_hold_no_option(fake: InProcessExecutor) -> None:
    """A proposer that refuses in words, or says nothing, is told apart from one that fails."""
    for said in ("I cannot help with that.", ""):
        fake.answer = lambda body, said=said: said if body["model"] == PROPOSER else truth(body)
        result = grown_study(fake, name=f"said {said}").run(BUDGET)
        assert not result.proposals_df()["accepted"].any()
        assert result.verdict.rows >= 2


def test_failed_requests_are_not_shown_as_mistakes(fake: InProcessExecutor) -> None:
    """Rows whose requests the server refused count as wrong, but a proposer is shown rows with answers alone."""

    def answer(body: Body) -> Any:
        if body["model"] == PROPOSER:
            return proposed(body)
        return failure(400, "no") if zlib.crc32(prompt_of(body).encode()) % 2 else truth(body)

    fake.answer = answer
    result = grown_study(fake, proposer=reflecting(fake)).run(300)
    shown = [prompt_of(body) for body in to_proposer(fake.bodies)]
    assert len(shown) > 1
    assert all(each.count("The model answered: ") == each.count("Right answer: ") > 0 for each in shown)
    assert not result.proposals_df()["reason"].str.contains("needs rows").any()


@pytest.mark.parametrize("limit", [{"tokens": 4_000}, {"calls": 200, "tokens": 5_000}])
def test_budget_in_tokens_holds(fake: InProcessExecutor, limit: dict[str, int]) -> None:
    """Proposals count in tokens, too: with them a study stays within its budget, and has a verdict."""
    result = grown_study(fake, request={"max_tokens": 5}).run(ps.Budget(**limit))
    assert result.summary["tokens"] <= limit["tokens"]
    assert result.verdict.rows >= 2


@pytest.mark.parametrize("more", [{}, {"sampler": optuna.samplers.RandomSampler(seed=1)}])
def test_rows_that_a_proposer_saw_are_never_scored(fake: InProcessExecutor, more: dict[str, Any]) -> None:
    """No candidate is scored on a row that a request showed from which one of its texts came, or a text that this came
    from; a row is seen wherever its text stands in the request, among examples too."""
    source = SOURCE.replace(
        "Text: {{ row.text }}",
        '{% for shot in examples("shots", max=2, pickers=["random 1"]) %}Text: {{ shot.text }} => {{ shot.label }}\n'
        "{% endfor %}Text: {{ row.text }}",
    )
    shown: dict[str, set[int]] = {}  # by text: the rows in the request that it came from

    def answer(body: Body) -> Any:
        if body["model"] != PROPOSER:
            return truth(body)
        said = proposed(body)
        request = prompt_of(body)
        rows = {row for row in range(len(DATA)) if f"{DATA.rows[row]['text']}\n" in f"{request}\n"}
        for text in said.replace("<option>", "").split("</option>"):
            shown.setdefault(text.strip(), rows)  # the same text again is no new option
        return said

    fake.answer = answer
    result = grown_study(fake, template=ps.Template(source), **more).run(400)
    found = result.proposals_df()
    accepted = found[found["accepted"]]
    seen: dict[str, set[int]] = {}
    for line in accepted.to_dict("records"):
        assert shown[line["text"]] <= {*line["rows"]}, "a request showed a row that it is not known to show"
        seen[line["text"]] = {*line["rows"]}.union(*(seen.get(parent, set()) for parent in line["parents"]))
    search = result.samples_df().query("split == 'search'").groupby("trial")["row"].agg(set)
    trials = 0
    for trial, rows in search.items():
        text = result.choices(int(str(trial)))["instruction"]
        assert not seen.get(text, set()) & rows
        trials += text in seen
    assert trials >= 3
    tested = set(result.samples_df().query("split == 'test'")["row"])
    assert tested
    assert not tested & set().union(*seen.values())


def test_a_request_shows_mistakes_that_led_to_the_text(fake: InProcessExecutor) -> None:
    """After the mistakes of a proposed text come those that were shown when it was proposed, with what was answered."""
    grown_study(fake, proposer=reflecting(fake)).run(400)
    requests = [prompt_of(body) for body in to_proposer(fake.bodies)]
    mistake = re.compile(r"^Mistake \d+(, of an earlier version)?\n((?:.+\n)+)", re.MULTILINE)
    shown = set[str]()
    again = 0
    for request in requests:
        found = mistake.findall(request)
        assert [bool(earlier) for earlier, _ in found] == sorted(bool(earlier) for earlier, _ in found)
        assert {text for earlier, text in found if earlier} <= shown
        assert ("or an earlier version of it, the model" in request) == any(earlier for earlier, _ in found)
        again += sum(bool(earlier) for earlier, _ in found)
        shown |= {text for _, text in found}
    assert again


@pytest.mark.parametrize(
    "more",
    [
        {"sampler": optuna.samplers.TPESampler(seed=1, n_startup_trials=4)},
        {"pruner": optuna.pruners.MedianPruner(n_startup_trials=2)},
        {"sampler": optuna.samplers.RandomSampler(seed=1), "pruner": optuna.pruners.PercentilePruner(40.0)},
    ],
)
@pytest.mark.system
def test_optunas_samplers_choose_among_grown_options(fake: InProcessExecutor, more: dict[str, Any]) -> None:
    """Samplers and pruners of Optuna see the options that were added."""
    result = grown_study(fake, **more).run(400)
    found = result.proposals_df()
    assert found["accepted"].sum() >= 2
    assert found["trials"].max() >= 1
    assert result.verdict.rows >= 2


def test_number_of_trials_is_kept(fake: InProcessExecutor) -> None:
    """With n_trials no more candidates are tried, proposed ones included."""
    result = grown_study(fake).run(300, n_trials=7)
    assert len(result.trials_df()) <= 7
    assert result.verdict.rows >= 2


def missed(row: int) -> str:
    """What the metric says of a wrong answer to a row."""
    return f"the mood of thing {row} was missed"


def test_explanation_of_the_metric_stands_in_the_request() -> None:
    """What a metric says about a wrong answer is shown to the operator that reflects, beside answer and target."""

    @ps.metrics.metric(low=0, high=1)
    def explained(answer: Any, row: Any) -> ps.Score:
        right = answer == row.target
        number = int(row["text"].split("number ")[1].split()[0])
        return ps.Score(1.0 if right else 0.0, explanation="" if right else missed(number))

    with FakeServer(answering) as server:
        result = grown_study(server, metric=explained, proposer=reflecting(server)).run(BUDGET)
        requests = [prompt_of(body) for body in to_proposer(server.bodies)]
    lines = result.proposals_df().query("calls > 0").to_dict("records")
    assert len(requests) == len(lines) > 0
    for line in lines:
        of_these = [each for each in requests if all(f"Why: {missed(row)}\n" in each for row in line["rows"])]
        (request,) = (each for each in of_these if f"<option>\n{line['parents'][0]}\n</option>" in each)
        assert request.count("Why: ") == request.count("Right answer: ") == len(line["rows"]) > 0


def reflecting(server: FakeServer | InProcessExecutor) -> Proposer:
    return Proposer(server.model(PROPOSER), operators=["reflect"])


def test_an_answer_after_long_reasoning_is_shown_without_it(fake: InProcessExecutor) -> None:
    """The operator that reflects shows what was answered, not the beginning of the thoughts before it."""

    def thinking(body: Any) -> Any:
        return answering(body) if body["model"] == PROPOSER else f"<think>{'Hm. ' * 1000}</think>{answering(body)}"

    fake.answer = thinking
    grown_study(fake, proposer=reflecting(fake)).run(BUDGET)
    requests = [prompt_of(body) for body in to_proposer(fake.bodies)]
    assert requests
    for request in requests:
        assert "Hm." not in request
        assert "The model answered: positive\n" in request or "The model answered: negative\n" in request


def test_targets_of_json_are_shown_and_guarded_as_json(fake: InProcessExecutor) -> None:
    """A text with a member of a target is refused, since the target is JSON and not Python."""
    rows = [{"text": f"thing {number}", "kind": {"name": f"zebrafish{number}", "tail": None}} for number in range(60)]

    def leaking(body: Any) -> str:
        if body["model"] != PROPOSER:
            return "no"
        name = re.findall(r'"name": "(zebrafish\d+)", "tail": null', prompt_of(body))[0]
        return f"<option>Say {name} of every animal.</option>"

    fake.answer = leaking
    study = ps.Study(
        template='{{ choice("instruction", ["Sort it.", "Name it."], grow="says how") }} {{ row.text }}',
        data=rows,
        target="kind",
        answer=ps.Text(),
        metric=lambda answer, row: len(answer) % 2,
        model=fake.model(),
        proposer=Proposer(fake.model(PROPOSER), operators=["describe"]),
        executor=fake,
    )
    assert {*study.run(BUDGET).proposals_df()["reason"]} == {"gives away the answer to a row"}


@pytest.mark.system
def test_slow_proposer_changes_nothing() -> None:
    """A proposer that takes longer than all rows gives the same study."""
    results = []
    for slow in (0.0, 0.05):

        def latency(body: Body, slow: float = slow) -> float:
            return slow if body["model"] == PROPOSER else 0.0

        with FakeServer(answering, latency=latency) as server:
            results.append(grown_study(server).run(BUDGET))
    assert_equal_results(*results)
    assert_same_growth(*results)


@pytest.mark.usefixtures("impatient")
@pytest.mark.system
def test_proposer_that_runs_into_timeouts() -> None:
    """A proposer that never answers in time is as one that fails: the study ends with a verdict."""
    fake = InProcessExecutor(answering, latency=lambda body: 3.0 if body["model"] == PROPOSER else 0.0)
    result = grown_study(fake).run(BUDGET)
    assert not result.proposals_df()["accepted"].any()
    assert result.verdict.rows >= 2


def test_answers_that_nobody_can_read_grow_nothing_wrong(fake: InProcessExecutor) -> None:
    """A study without a leader to tell from the others, because no answer can be read, asks a few times and ends."""
    fake.answer = lambda body: proposed(body) if body["model"] == PROPOSER else "hmm"
    result = grown_study(fake).run(300)
    assert result.verdict == "not shown"
    assert len(to_proposer(fake.bodies)) <= 8
    assert result.headline.startswith("study: None of ")


def test_written_prompt_that_leads_is_not_asked_about(fake: InProcessExecutor) -> None:
    """A prompt that was enqueued as a whole has no choice that grows: where it leads, the best of the template's
    prompts is shown to the proposer, and the written one stays the best prompt written by hand."""
    made = grown_study(fake)
    made.enqueue(prompt=f"{' '.join(RULES)}\nLabels: positive, negative\n\nText: {{{{ row.text }}}}\nLabel:")
    result = made.run(300)
    shown = [prompt_of(body) for body in to_proposer(fake.bodies)]
    assert shown
    assert not any(" ".join(RULES) + "\nLabels" in each for each in shown)
    assert result.hand_written_trial == 1
    assert 1 in result.tested.values()


@pytest.mark.system
def test_two_choices_grow(fake: InProcessExecutor) -> None:
    """Each choice with grow= gets options of its own, and the lineage has both."""
    source = SOURCE.replace('"Answer:", ""])', '"Answer:", ""], grow="asks for the label")')
    result = grown_study(fake, template=ps.Template(source)).run(500)
    found = result.proposals_df()
    assert set(found["choice"]) == {"instruction", "cue"}
    assert set(result.lineage()["choice"]) == {"instruction", "cue"}
    for choice, positions in found[found["accepted"]].groupby("choice")["option"]:
        first = {"instruction": 2, "cue": 3}[str(choice)]
        assert positions.tolist() == list(range(first, first + len(positions)))


@pytest.mark.system
def test_cross_fitting_grows_in_each_search(fake: InProcessExecutor) -> None:
    """No search of a fold is shown the rows of its test, so each asks for options of its own."""
    for result in grown_study(fake).cross_fit(700, folds=2).folds:
        tested = set(result.samples_df().query("split == 'test'")["row"])
        shown = {row for rows in result.proposals_df()["rows"] for row in rows}
        assert tested
        assert shown
        assert not tested & shown


AS_KEY = (
    '{% set told = choice("instruction", ["Classify the text.", "Read it."], grow="tells what to do") %}'
    '{{ {"Classify the text.": "1", "Read it.": "2"}[told] }} {{ told }}\n'
    'Text: {{ row.text }}\n{{ choice("cue", ["Label:", "Answer:"]) }}'
)
COMPARED = (
    '{% if choice("instruction", ["Classify the text.", "Read it."], grow="tells what to do") == "Read it." %}'
    'Read it.{% endif %}\nText: {{ row.text }}\n{{ choice("cue", ["Label:", "Answer:"]) }}'
)


@pytest.mark.parametrize(
    ("source", "reason"), [(AS_KEY, "breaks the template: "), (COMPARED, "does not change the prompt")]
)
def test_text_that_the_template_cannot_use_is_refused(fake: InProcessExecutor, source: str, reason: str) -> None:
    """A text that breaks the prompt, or leaves it as it is, is no option, and the study goes on."""
    result = grown_study(fake, template=ps.Template(source)).run(300)
    found = result.proposals_df()
    assert result.verdict.rows >= 2
    assert len(found) > 0
    assert not found["accepted"].any()
    assert found["reason"].str.startswith(reason).any()


def test_reflect_is_asked_where_every_answer_is_wrong(fake: InProcessExecutor) -> None:
    """With equal scores, too, the operator that shows mistakes is expected to win most."""
    fake.answer = lambda body: proposed(body) if body["model"] == PROPOSER else "nonsense"
    found = grown_study(fake, metric=lambda answer, row: 0.0).run(300).proposals_df()
    assert "reflect" in set(found["operator"])
