"""One candidate on rows: asked once, stored before it counts, errors kept apart from wrong answers."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prompt_search.answers import Answer, Label, Text
from prompt_search.budget import Budget, Ledger, Spending
from prompt_search.data.rows import Row
from prompt_search.errors import InputError, RequestRefused, RunError, TemplateError
from prompt_search.evaluation.evaluator import JOBS_PER_BATCH, Evaluator
from prompt_search.evaluation.failure_limit import MAX_CONSECUTIVE_FAILURES, MAX_INITIAL_FAILURES
from prompt_search.evaluation.outcome import CONTENT_FREE, Outcome, PreparedPrompt
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Response
from prompt_search.metrics import Metric, exact
from prompt_search.prompts.prompt import Prompt
from prompt_search.storage import schema
from prompt_search.storage.ownership.lease import Owner
from prompt_search.storage.store import Store
from prompt_search.testing import FakeResponse
from tests.conftest import Body, FakeServer, InProcessExecutor, completion, failure, prompt_of
from tests.profiles import examples

LABELS = ("positive", "negative")
ROWS = [Row({"text": f"text {index}", "label": LABELS[index % 2]}, target="label") for index in range(40)]
TEXT = Label(LABELS)


def prepared(model: Any, source: str = "Judge {{ row.text }}", answer: Answer = TEXT) -> PreparedPrompt:
    prompt = Prompt(source=source, parameters=answer.parameters)
    return PreparedPrompt(prompt=prompt, answer=answer, model=model.name, endpoint=model.endpoint)


class Setting:
    """An evaluator on a fake model, and all it writes to."""

    def __init__(
        self,
        fake: InProcessExecutor,
        *,
        limit: int = 1000,
        store: Store | None = None,
        metric: Metric = exact,
        concurrency: int = 8,
        resumed: bool = False,
        rows: Sequence[Row] = ROWS,
        on_response: Callable[[Response, bool], None] | None = None,
        attempts: int = 1,
        request_timeout: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store or Store("sqlite://")
        calls = self.store.calls("s").values() if resumed else ()
        before = Spending(calls=sum(call.attempts for call in calls))
        self.ledger = Ledger(Budget(calls=limit), previous_runs=before, clock=clock)
        self.told: list[tuple[Response, bool]] = []
        model = fake.model()
        settings = EvaluationSettings(
            study="s",
            rows=rows,
            metric=metric,
            store=self.store,
            ledger=self.ledger,
            on_response=on_response or (lambda response, cached: self.told.append((response, cached))),
        )
        self.client = Client(
            model,
            max_concurrency=concurrency,
            max_attempts=attempts,
            request_timeout=request_timeout,
            on_attempt=self.ledger.reserve,
            executor=fake,
        )
        self.evaluator = Evaluator(settings, {(model.endpoint, model.name): self.client})

    def run(self, *jobs: tuple[PreparedPrompt, int]) -> list[Outcome | None]:
        async def main() -> list[Outcome | None]:
            async with self.client:
                return await self.evaluator.evaluate(jobs, "search")

        return asyncio.run(main())


BUSY = failure(500, "busy", Retry_After="0")
"""A failure that the client may retry at once."""


def busy(attempts: int) -> str:
    """The error of a request whose every attempt was answered with `BUSY`."""
    tried = f"{attempts} attempt{'s' if attempts > 1 else ''}"
    return f"server: http://fake.invalid/v1 answered 500 for fake: busy ({tried})"


def test_right_and_wrong_are_scored(fake: InProcessExecutor) -> None:
    """Outcomes come in the order of the jobs, whatever order the responses come in."""
    fake.latency = lambda body: 0.01 if "text 0" in prompt_of(body) else 0.0
    setting = Setting(fake)
    asked = prepared(fake.model())
    outcomes = setting.run(*((asked, row) for row in (3, 0, 1)))
    assert [(o.row, o.score, o.answer) for o in outcomes if o] == [
        (3, 0.0, "positive"),
        (0, 1.0, "positive"),
        (1, 0.0, "positive"),
    ]
    assert all(o and not o.cached and o.error is None and not o.unparsed for o in outcomes)


def test_same_request_is_asked_once(fake: InProcessExecutor) -> None:
    """Rows, candidates and rounds that ask the same share one call, also while it is on its way."""
    fake.latency = lambda body: 0.005
    setting = Setting(fake)
    first, second = prepared(fake.model()), prepared(fake.model(), "Judge {{ row.text }}{# again #}")
    outcomes = setting.run((first, 0), (second, 0), (first, 0))
    setting.run((first, 0))
    assert fake.count == 1
    assert setting.ledger.paid.calls == 1
    assert len({o.key for o in outcomes if o}) == 1


def test_response_is_stored_before_it_counts(fake: InProcessExecutor) -> None:
    """When a progress display is told of a response, it is committed already."""
    asked = prepared(fake.model())
    seen: list[bool] = []

    def on_response(response: Response, cached: bool) -> None:
        seen.append(setting.store.response(asked.request(ROWS[0].fields).key) == response)

    setting = Setting(fake, on_response=on_response)
    setting.run((asked, 0))
    assert seen == [True]


def test_error_is_data_without_a_score(fake: InProcessExecutor) -> None:
    """A failed request has a score of None, which is not 0, and does not disturb the others."""
    fake.answer = lambda body: BUSY if "text 1" in prompt_of(body) else "negative"
    outcomes = Setting(fake, attempts=6).run(*((prepared(fake.model()), row) for row in (0, 1, 3)))
    assert [(o.score, o.error) for o in outcomes if o] == [(0.0, None), (None, busy(6)), (1.0, None)]


def test_unparsed_answer_scores_zero_and_is_counted(fake: InProcessExecutor) -> None:
    """What cannot be read is wrong, and told apart from a wrong answer."""
    fake.answer = lambda body: "I cannot say"
    (outcome,) = Setting(fake).run((prepared(fake.model()), 0))
    assert outcome is not None
    assert (outcome.score, outcome.unparsed, outcome.answer, outcome.error) == (0.0, True, None, None)
    assert outcome.explanation.startswith("unparsed: no label in")


def test_budget_leaves_rows_out(fake: InProcessExecutor) -> None:
    """Rows for which no call is left are None, neither scored nor failed."""
    outcomes = Setting(fake, limit=3).run(*((prepared(fake.model()), row) for row in range(8)))
    assert [o is None for o in outcomes] == [False] * 3 + [True] * 5
    assert fake.count == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30))
@given(limit=st.integers(1, 12), jobs=st.lists(st.integers(0, 9), max_size=25), concurrency=st.integers(1, 9))
def test_limit_is_kept_at_any_concurrency(limit: int, jobs: list[int], concurrency: int) -> None:
    """As many different requests are sent as the limit allows and not one more."""
    fake = InProcessExecutor()
    setting = Setting(fake, limit=limit, concurrency=concurrency)
    asked = prepared(fake.model())
    assert sum(setting.evaluator.price(asked, jobs)) == len(set(jobs))
    outcomes = setting.run(*((asked, row) for row in jobs))
    assert fake.count == setting.ledger.paid.calls == min(limit, len(set(jobs)))
    assert len({o.row for o in outcomes if o}) == fake.count
    assert fake.most_in_flight <= concurrency


def test_price_is_that_of_what_was_not_asked_yet(fake: InProcessExecutor, storage: str) -> None:
    """What this run had need of already is free, and nothing else is, stored or not: runs do not depend on that."""
    store = Store(storage)
    asked = prepared(fake.model())
    setting = Setting(fake, store=store)
    setting.run((asked, 0), (asked, 1))
    assert setting.evaluator.price(asked, [0, 1, 2, 2]) == [0, 0, 1, 0]
    for resumed in (True, False):
        assert Setting(fake, store=store, resumed=resumed).evaluator.price(asked, [0, 1, 2]) == [1, 1, 1]


def test_replay_spends_nothing(fake: InProcessExecutor) -> None:
    """A resumed evaluation sends nothing again, counts what was paid, and gives the same outcomes."""
    fake.answer = lambda body: BUSY if "text 1" in prompt_of(body) else "positive"
    first = Setting(fake, attempts=3)
    jobs = [(prepared(fake.model()), row) for row in range(4)]
    before = first.run(*jobs)
    second = Setting(fake, store=first.store, resumed=True)
    after = second.run(*jobs)
    assert fake.count == 6
    assert (second.ledger.paid.calls, second.ledger.counted.calls) == (0, 6)
    assert [(o.key, o.score, o.error) for o in after if o] == [(o.key, o.score, o.error) for o in before if o]
    assert all(cached for _, cached in second.told)


def test_call_cut_short_goes_on_and_counts(fake: InProcessExecutor) -> None:
    """A request whose retries the budget ended is no outcome; another run sends it again, its attempts counted."""
    fake.answer = BUSY
    first = Setting(fake, limit=2, attempts=3)
    assert first.run((prepared(fake.model()), 0)) == [None]
    fake.answer = lambda body: "positive"
    second = Setting(fake, store=first.store, resumed=True)
    (outcome,) = second.run((prepared(fake.model()), 0))
    assert outcome is not None
    assert outcome.score == 1.0
    assert (second.ledger.previous_runs.calls, second.ledger.spent) == (2, 3)
    (call,) = first.store.calls("s").values()
    assert call.attempts == 3


# Calibration


def logprobs(positive: float) -> dict[str, Any]:
    tokens = {"positive": math.log(positive), "negative": math.log(1 - positive)}
    return completion("positive", "", tokens)


CALIBRATED = Label(LABELS, "logprobs", calibrate="content-free")


def test_content_free_request_is_asked_once_for_a_prompt(server: FakeServer) -> None:
    """Calibration asks about a row of "N/A" once and divides by what it says."""
    server.answer = lambda body: logprobs(0.9 if CONTENT_FREE in prompt_of(body) else 0.8)
    model = server.model()
    store, ledger = Store("sqlite://"), Ledger(Budget(calls=10))

    async def main() -> list[Outcome | None]:
        async with Client(model, on_attempt=ledger.reserve) as client:
            settings = EvaluationSettings(study="s", rows=ROWS, metric=exact, store=store, ledger=ledger)
            evaluator = Evaluator(settings, {(model.endpoint, model.name): client})
            asked = prepared(model, answer=CALIBRATED)
            assert evaluator.price(asked, [0, 1, 2]) == [2, 1, 1]
            return await evaluator.evaluate([(asked, row) for row in (0, 1, 2)], "search")

    outcomes = asyncio.run(main())
    assert server.count == ledger.paid.calls == 4
    assert [o.answer for o in outcomes if o] == ["negative"] * 3  # 0.8 / 0.9 < 0.2 / 0.1
    assert sum(CONTENT_FREE in prompt_of(body) for body in server.bodies) == 1


def test_failed_calibration_is_an_error_and_sends_no_row(fake: InProcessExecutor) -> None:
    """Without the content-free response a row cannot be read, so it is not asked."""
    fake.answer = lambda body: BUSY if CONTENT_FREE in prompt_of(body) else "positive"
    setting = Setting(fake)
    outcomes = setting.run(*((prepared(fake.model(), answer=CALIBRATED), row) for row in (0, 1)))
    assert [(o.score, o.error) for o in outcomes if o] == [(None, busy(1))] * 2
    assert fake.count == 1
    assert all(o and o.key in setting.store.calls("s") for o in outcomes)


def test_form_learns_from_what_was_answered(fake: InProcessExecutor) -> None:
    """Weights come from the answered rows, failed ones left out; reading them anew costs nothing."""

    def answer(body: Body) -> Any:
        row = int(prompt_of(body).split()[-1])
        return BUSY if row == 3 else logprobs(0.9 if row % 2 == 0 else 0.7)  # positive, more so where it is right

    fake.answer = answer
    setting = Setting(fake)
    asked = prepared(fake.model(), answer=Label(LABELS, "logprobs", calibrate="rows"))
    rows = (0, 1, 2, 3, 4, 5)
    before = [outcome for outcome in setting.run(*((asked, row) for row in rows)) if outcome]
    assert [o.score for o in before] == [1, 0, 1, None, 1, 0]
    learned = setting.evaluator.calibrated(asked, before)
    assert learned.prompt.answer == learned.answer.to_dict()
    assert learned.prompt.messages({"text": "x"}) == asked.prompt.messages({"text": "x"})
    assert setting.evaluator.price(learned, rows) == [0] * 6
    after = setting.run(*((learned, row) for row in rows))
    assert [o.score for o in after if o] == [1, 1, 1, None, 1, 1]
    assert fake.count == 6
    assert setting.evaluator.calibrated(prepared(fake.model()), before).answer is TEXT


# What ends a run


def test_fatal_error_stops_what_waits_and_keeps_what_was_answered(server: FakeServer) -> None:
    """After a refusal nothing that waits is sent; the answered ones are stored and those in flight finish."""
    server.fail_after = 5
    server.latency = lambda body: 0.02
    model = server.model()
    store, ledger = Store("sqlite://"), Ledger(Budget(calls=100))

    async def main() -> None:
        async with Client(model, on_attempt=ledger.reserve, max_concurrency=2) as client:
            settings = EvaluationSettings(study="s", rows=ROWS, metric=exact, store=store, ledger=ledger)
            evaluator = Evaluator(settings, {(model.endpoint, model.name): client})
            await evaluator.evaluate([(prepared(model), row) for row in range(30)], "search")

    with pytest.raises(RequestRefused, match="401 for fake: this key has been revoked"):
        asyncio.run(main())
    assert server.count <= 5 + 2  # at most what was in flight
    assert len(store.calls("s")) == 5
    assert ledger.stopped is not None


@pytest.mark.parametrize("limit", [MAX_INITIAL_FAILURES, 40])
def test_run_without_any_answer_is_ended(fake: InProcessExecutor, limit: int) -> None:
    """When the first ten requests all fail, the run is not worth its budget."""
    fake.answer = failure(400, "no such parameter")
    with pytest.raises(RequestRefused, match=r"the first 10 requests all failed, .* bad_request: .*: no such"):
        Setting(fake, concurrency=1, limit=limit).run(*((prepared(fake.model()), row) for row in range(40)))
    assert fake.count == MAX_INITIAL_FAILURES


def test_failures_after_an_answer_do_not_end_a_run(fake: InProcessExecutor) -> None:
    """One answer shows that the endpoint works, and a single prompt may be too long for every row."""
    fake.answer = lambda body: "positive" if "text 0" in prompt_of(body) else failure(400, "too long")
    outcomes = Setting(fake, concurrency=1).run(*((prepared(fake.model()), row) for row in range(40)))
    assert sum(o is not None and o.error is not None for o in outcomes) == 39


def failing_from(call: int, fake: InProcessExecutor, error: FakeResponse) -> Callable[[Body], str | FakeResponse]:
    """Answers before a number of requests, and then never again."""
    return lambda body: "positive" if fake.count <= call else error


@pytest.mark.parametrize("kind", ["server", "timeout"])
def test_server_that_fails_for_good_ends_the_run(fake: InProcessExecutor, kind: str) -> None:
    """Twenty failures of the server in a row, with no answer in between, end a run that had answers before."""
    if kind == "server":
        fake.answer = failing_from(5, fake, BUSY)
    else:
        fake.latency = lambda body: 0.0 if fake.count <= 5 else 3600.0
    setting = Setting(fake, concurrency=1, request_timeout=0.01)
    message = rf"the last 20 requests all failed, the last with {kind}: .*; earlier responses are stored: fix the cause"
    with pytest.raises(RequestRefused, match=message):
        setting.run(*((prepared(fake.model()), row) for row in range(40)))
    assert fake.count == 5 + MAX_CONSECUTIVE_FAILURES
    assert setting.ledger.stopped is not None
    assert sum(call.response.error is None for call in setting.store.calls("s").values()) == 5


def test_endpoint_that_refuses_everything_from_now_on_ends_the_run(fake: InProcessExecutor) -> None:
    """Twenty refusals in a row of three prompts' requests are not the fault of one prompt."""
    fake.answer = failing_from(5, fake, failure(400, "no such parameter"))
    prompts = [prepared(fake.model(), f"{number} {{{{ row.text }}}}") for number in range(4)]
    with pytest.raises(RequestRefused, match="the last 20 requests all failed"):
        Setting(fake, concurrency=1).run(*((prompts[row % 4], row) for row in range(40)))
    assert fake.count == 5 + MAX_CONSECUTIVE_FAILURES


@given(st.lists(st.booleans(), min_size=1, max_size=120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30))
def test_run_with_answers_in_between_goes_on(fails: list[bool]) -> None:
    """However many requests fail, a run is not ended as long as one is answered among any twenty."""
    fake = InProcessExecutor()
    pattern = [fail and number % 10 != 0 for number, fail in enumerate(fails)]
    fake.answer = lambda body: BUSY if pattern[(fake.count - 1) % len(pattern)] else "positive"
    outcomes = Setting(fake, concurrency=1).run(*((prepared(fake.model()), row) for row in range(40)))
    assert None not in outcomes


def raising(answer: Any, row: Row) -> float:
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (raising, "the metric raising raised KeyError: 'oops'"),
        (lambda answer, row: math.nan, "a metric must return True or False, a finite number or a Score"),
    ],
)
def test_broken_metric_ends_the_run(fake: InProcessExecutor, metric: Callable[[Any, Row], float], message: str) -> None:
    """A metric that raises or gives NaN is told at once, and what was answered is kept."""
    setting = Setting(fake, metric=metric, concurrency=1)
    with pytest.raises(InputError, match=message):
        setting.run(*((prepared(fake.model()), row) for row in range(20)))
    assert fake.count < 20
    assert len(setting.store.calls("s")) == fake.count


def test_row_that_a_prompt_cannot_render_ends_the_run(fake: InProcessExecutor) -> None:
    """A missing field is an error of the template, not of a request."""
    with pytest.raises(
        TemplateError, match="line 1: the row has no field 'nothing', which the prompt shows; it has: text"
    ):
        Setting(fake).run((prepared(fake.model(), "{{ row.nothing }}"), 0))
    assert fake.count == 0


def test_error_of_a_client_ends_the_run(fake: InProcessExecutor) -> None:
    """Whatever a client raises reaches the caller once all in flight is done."""

    def answer(body: Body) -> str:
        raise RunError("the server is gone")

    fake.answer = answer
    with pytest.raises(RunError, match="the server is gone"):
        Setting(fake).run((prepared(fake.model(), answer=Text()), 0))


def test_server_errors_are_retried_by_the_client_alone(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 that goes away costs one more call and is no error."""
    seen: set[str] = set()

    def answer(body: Body) -> Any:
        first = prompt_of(body) not in seen
        seen.add(prompt_of(body))
        return failure(500, "try again") if first else "positive"

    async def no_sleep(seconds: float) -> None: ...

    server.answer = answer
    model = server.model()
    store, ledger = Store("sqlite://"), Ledger(Budget(calls=5))

    async def main() -> list[Outcome | None]:
        async with Client(model, on_attempt=ledger.reserve, max_concurrency=1, sleep=no_sleep) as client:
            settings = EvaluationSettings(study="s", rows=ROWS, metric=exact, store=store, ledger=ledger)
            evaluator = Evaluator(settings, {(model.endpoint, model.name): client})
            return await evaluator.evaluate([(prepared(model), row) for row in range(4)], "search")

    outcomes = asyncio.run(main())
    assert server.count == 5  # two answered with two calls each, the third cut short, the fourth never sent
    assert [o is None for o in outcomes] == [False, False, True, True]
    assert sum(call.attempts for call in store.calls("s").values()) == 5


# Shared storages


class Shared:
    """Two studies at once on one storage and one model, each with its own connection, lease and clock of polls."""

    def __init__(self, fake: InProcessExecutor, storage: str) -> None:
        self.fake = fake
        self.stores = {name: Store(storage) for name in "ab"}
        self.ledgers = {name: Ledger(Budget(calls=50)) for name in "ab"}
        self.slept: list[float] = []
        model = fake.model()
        for name, store in self.stores.items():
            store.take_lease(name, name, Owner.here(), 60)
        self.clients = {
            name: Client(model, max_concurrency=4, max_attempts=1, on_attempt=ledger.reserve, executor=fake)
            for name, ledger in self.ledgers.items()
        }
        self.evaluators = {
            name: Evaluator(
                EvaluationSettings(
                    study=name, rows=ROWS, metric=exact, store=store, ledger=self.ledgers[name], owner=name
                ),
                {(model.endpoint, model.name): self.clients[name]},
                sleep=self.sleep,
            )
            for name, store in self.stores.items()
        }
        self.on_sleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.on_sleep()
        await asyncio.sleep(0.01)

    def run(self, rows: Mapping[str, Sequence[int]]) -> dict[str, list[Outcome | None]]:
        asked = prepared(self.fake.model())

        async def main() -> list[list[Outcome | None]]:
            work = [self.evaluators[name].evaluate([(asked, row) for row in of], "search") for name, of in rows.items()]
            async with self.clients["a"], self.clients["b"]:
                return await asyncio.gather(*work)

        return dict(zip(rows, asyncio.run(main()), strict=True))

    @property
    def claims(self) -> int:
        with self.stores["a"].engine.connect() as connection:
            return len(connection.execute(schema.claims.select()).all())


@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.fixed_dictionaries({name: st.lists(st.integers(0, 9), max_size=10) for name in "ab"}))
def test_two_studies_at_once_pay_once(tmp_path: Path, rows: dict[str, list[int]]) -> None:
    """What one has asked for the other waits for; it counts for both, is paid for once, and no claim is left."""
    fake = InProcessExecutor()
    fake.latency = lambda body: 0.005
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        shared = Shared(fake, f"sqlite:///{folder}/shared.db")
        outcomes = shared.run(rows)
        assert fake.count == len({*rows["a"], *rows["b"]})
        for name, of in rows.items():
            assert [outcome.row for outcome in outcomes[name] if outcome] == of
            assert shared.ledgers[name].spent == len(set(of))
        assert sum(ledger.paid.calls for ledger in shared.ledgers.values()) == fake.count
        assert shared.claims == 0


def test_request_that_failed_for_one_is_sent_by_the_other(fake: InProcessExecutor, storage: str) -> None:
    """A failure is no answer for others: whoever waited sends the request itself."""
    fake.latency = lambda body: 0.02
    fake.answer = lambda body: BUSY if fake.count == 1 else "positive"
    shared = Shared(fake, storage)
    outcomes = shared.run({"a": [0], "b": [0]})
    assert fake.count == 2
    assert sorted((found.error or "") for (found,) in outcomes.values() if found) == ["", busy(1)]
    assert shared.slept
    assert shared.claims == 0


def test_claims_of_a_study_that_sends_nothing_are_given_up(fake: InProcessExecutor, storage: str) -> None:
    """Whatever ends a study's requests, others may send them."""
    shared = Shared(fake, storage)
    shared.ledgers["a"].stop("interrupted")
    assert shared.run({"a": [0, 1]}) == {"a": [None, None]}
    assert (fake.count, shared.claims) == (0, 0)


def test_waiting_for_others_ends_with_the_run(fake: InProcessExecutor, storage: str) -> None:
    """A study that is interrupted while it waits does not wait on, and its answer is none."""
    shared = Shared(fake, storage)
    shared.stores["a"].claim("a", [prepared(fake.model()).request(ROWS[0].fields).key])
    shared.on_sleep = lambda: shared.ledgers["b"].stop("interrupted")
    assert shared.run({"b": [0]}) == {"b": [None]}
    assert fake.count == 0


def test_time_ends_requests_on_their_way(fake: InProcessExecutor) -> None:
    """After the budget's seconds what has no answer yet is given up, counted, and goes on in another run."""
    begun: list[float] = []  # time passes from the second request on, however long the first one takes

    def latency(body: Body) -> float:
        if not setting.store.calls("s"):  # the first request of a kind is sent alone
            return 0.0
        begun.append(time.monotonic())
        return 30.0

    setting = Setting(fake, clock=lambda: time.monotonic() - begun[0] if begun else 0.0)
    fake.latency = latency
    setting.ledger.budget = Budget(seconds=1.0)
    first, *others = setting.run(*((prepared(fake.model()), row) for row in range(12)))
    assert first is not None
    assert others == [None] * 11
    assert fake.count == setting.ledger.paid.calls == 9
    answered, *calls = setting.store.calls("s").values()
    assert not answered.cut_short
    assert [(call.cut_short, call.attempts) for call in calls] == [(True, 1)] * 8
    assert "seconds were over before the answer came" in str([call.response.error for call in calls])


@pytest.mark.system
def test_memory_holds_a_window_of_a_long_block(fake: InProcessExecutor) -> None:
    """However many jobs there are, a bounded number is looked up and waited for at a time."""
    most = 0
    rows = [
        Row({"text": f"long {number}", "label": "positive"}, target="label") for number in range(3 * JOBS_PER_BATCH)
    ]
    setting = Setting(fake, limit=10_000, rows=rows)

    def answer(body: Body) -> str:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        return "positive"

    fake.answer = answer
    outcomes = setting.run(*((prepared(fake.model()), row) for row in range(len(rows))))
    assert sum(outcome.score or 0 for outcome in outcomes if outcome) == len(rows)
    assert most <= 2 * (2 * JOBS_PER_BATCH) + 10
