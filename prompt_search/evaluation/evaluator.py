"""Prepared prompts on rows to scores: make the requests, get the responses, read the answers, score them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from anyio import CapacityLimiter

from prompt_search._iteration import batched
from prompt_search.answers import Unparsed
from prompt_search.answers.base import read_answer
from prompt_search.data.rows import Row
from prompt_search.errors import BudgetExceeded
from prompt_search.evaluation.failure_limit import UnreadLimit
from prompt_search.evaluation.judging.judging import Judged, judging_of
from prompt_search.evaluation.kept_scores import KeptScores
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.evaluation.request_batch import RequestBatch
from prompt_search.evaluation.responder import Answered, Completer, RefusedFeature, Responder, Use
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.evaluation.task_runs.row_calls import RowCalls
from prompt_search.evaluation.task_runs.running import TaskRun, task_runner_of
from prompt_search.llm.dialect.dialect import Dialects, Refusal
from prompt_search.llm.messages import Request, Response
from prompt_search.metrics import Corpus, margin, metric_range
from prompt_search.metrics.objective import RowCost

JOBS_PER_BATCH = 500
"""Number of jobs whose requests are looked up, and claimed, together; at most twice as many are held in memory."""

Job = tuple[PreparedPrompt, int]
"""A prompt, and the position of the row that it is scored on."""

KeyedRequest = tuple[Request, str]
"""A request and its key, which takes as long to compute as the request."""


class Evaluator:
    """Scores prepared prompts on rows.

    Args:
        settings: see `EvaluationSettings`.
        clients: what sends requests, by endpoint and model.
        slots: bounds of how many requests to a model are in flight, where an executor's workers change them; by
            endpoint and model.
        sleep: waits for others to answer what they claimed.
        dialects: what is known of the servers already.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        clients: Mapping[tuple[str, str], Completer],
        slots: Mapping[tuple[str, str], CapacityLimiter] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dialects: Dialects | None = None,
    ) -> None:
        self.settings = settings
        self._rows = settings.rows
        self._metric = settings.metric
        self._scores = KeptScores(settings)
        self._range = metric_range(settings.metric)
        self.responder = Responder(settings, clients, slots, sleep, dialects)
        """Gets the response to each request."""
        self._unread_limit = UnreadLimit() if settings.ends_unread else None
        self._judging = judging_of(settings, self.responder)
        self._runner = task_runner_of(settings, self.responder)

    @property
    def row_calls(self) -> RowCalls | None:
        """How many calls a task took for the rows so far; None without a task."""
        return None if self._runner is None else self._runner.row_calls

    def price(self, prepared: PreparedPrompt, rows: Sequence[int]) -> list[float]:
        """The number of calls that each row would add to what is spent, if the rows were scored in this order; at most
        so many, where a judge scores equal answers once, and so many on average, where a task makes them."""
        if self._runner is not None:
            return self._runner.price(prepared, rows, self._judging)
        seen: set[str] = set()
        prices: list[float] = []
        for row in rows:
            keys = [key for _, key in self.requests((prepared, row))]
            due = 0 if self._judging is None or keys[-1] in seen else self._judging.calls_due(keys[-1])
            new = {key for key in {*keys} - seen if self.responder.is_new(key)}
            seen |= {*keys}
            prices.append(len(new) + due)
        return prices

    async def evaluate(self, jobs: Sequence[Job], split: str, role: str = "task") -> list[Outcome | None]:
        """The outcomes of jobs, in their order; None where the budget left no room, or the server is known to refuse
        such requests.

        Whatever happens, requests in flight are waited for and stored: they have been paid for.

        Args:
            jobs: the jobs.
            split, role: what the calls are used for, see `Use`.

        Raises:
            RunError: the endpoint cannot be reached or refuses for good; what was answered is kept.
        """
        outcomes: list[Outcome | None] = [None] * len(jobs)

        async def done(index: int, outcome: Outcome) -> None:
            outcomes[index] = outcome

        await self.each(jobs, split, done, role)
        return outcomes

    async def ask(self, prepared: PreparedPrompt, row: int, split: str) -> Outcome | None:
        """Send the requests of a prompt with a row, whose answer is scored when the row is evaluated.

        Returns:
            the outcome, if a request failed; None where all were answered, or the budget left no room.
        """
        requests = self.requests((prepared, row))
        use = Use(prompt=prepared.prompt.source, split=split)
        try:
            if self._runner is not None:
                run = await self._runner.run(prepared, self._rows[row].fields, row, use)
                self._runner.row_calls.update()
                return self._failed(row, run)
            async with self.responder.batch_of([key for _, key in requests]) as batch:
                *_, last = await self._answered(requests, use, batch)
        except (BudgetExceeded, RefusedFeature):
            return None
        return self._failed(row, last)

    def _failed(self, row: int, found: Answered | TaskRun) -> Outcome | None:
        """The outcome of a row whose answer is an error; None for any other answer."""
        error = found.response.error
        return None if error is None else Outcome.failed(row, found.key, error, found.cached, self._range.wrong)

    async def evaluate_persistently(self, jobs: Sequence[Job], split: str) -> list[Outcome | None]:
        """The outcomes of jobs as `evaluate` gives them, with what was lost on the road sent again."""
        outcomes = await self.evaluate(jobs, split)
        lost = {index: outcome for index, outcome in enumerate(outcomes) if outcome is not None and outcome.is_lost}
        again = await self.evaluate_again([jobs[index] for index in lost], list(lost.values()), split)
        for index, outcome in zip(lost, again, strict=True):
            outcomes[index] = outcome
        return outcomes

    async def evaluate_again(self, jobs: Sequence[Job], lost: Sequence[Outcome], split: str) -> list[Outcome]:
        """The outcomes of jobs whose requests were lost on the road, with each request sent once more.

        It is sent again only once in a study, however often the study is resumed, and only if the budget has room.

        Args:
            jobs: the jobs.
            lost: their outcomes so far.
            split: what the calls are used for.
        """
        self.responder.send_again({outcome.key for outcome in lost})
        again = await self.evaluate(jobs, split)
        return [before if now is None else now for before, now in zip(lost, again, strict=True)]

    async def each(
        self, jobs: Iterable[Job], split: str, done: Callable[[int, Outcome], Awaitable[None]], role: str = "task"
    ) -> None:
        """Score more jobs than should be held in memory, as `evaluate` does.

        Args:
            jobs: the jobs.
            split, role: what the calls are used for, see `Use`.
            done: called with the index of a job and its outcome as soon as it is scored.
        """
        failures: list[BaseException] = []
        pending: set[asyncio.Task[None]] = set()
        batches: list[RequestBatch] = []

        async def measure(index: int, job: Job, requests: Sequence[KeyedRequest], batch: RequestBatch) -> None:
            try:
                with self.responder.stopping_on_error():
                    use = Use(prompt=job[0].prompt.source, split=split, role=role)
                    await done(index, await self._outcome(job, requests, use, batch))
            except (BudgetExceeded, RefusedFeature):
                pass
            except BaseException as error:  # raised when all requests in flight are done
                failures.append(error)

        try:
            for numbered in batched(enumerate(jobs), JOBS_PER_BATCH):
                while len(pending) > JOBS_PER_BATCH:
                    _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if failures:
                    break
                requests = [self.requests(job) for _, job in numbered]
                batch = await self.responder.open_batch(
                    list(dict.fromkeys(key for keyed in requests for _, key in keyed))
                )
                batches = [*(earlier for earlier in batches if earlier.claimed or earlier.others), batch]
                pending |= {
                    asyncio.create_task(measure(index, job, keyed, batch))
                    for (index, job), keyed in zip(numbered, requests, strict=True)
                }
        except asyncio.CancelledError:
            for task in pending:
                task.cancel()
            raise
        finally:
            if pending:
                await asyncio.wait(pending)
            await self.responder.close_batches(batches)
        if failures:
            raise failures[0]

    def requests(self, job: Job) -> list[KeyedRequest]:
        """The requests of a job; none are known of a task."""
        prepared, row = job
        if self._runner is not None:
            return []
        applied = self.responder.dialects.applied
        return [(request, request.key) for request in map(applied, prepared.requests(self._rows[row]))]

    async def _outcome(self, job: Job, requests: Sequence[KeyedRequest], use: Use, batch: RequestBatch) -> Outcome:
        """The outcome of one job, whose last request is the row's; one before it is the content-free request."""
        prepared, row = job
        if self._runner is not None:
            run = await self._runner.run(prepared, self._rows[row].fields, row, use)
            return replace(await self._read(job, run, None, use.split), calls=run.calls)
        *before, last = await self._answered(requests, use, batch)
        return await self._read(job, last, before[0].response if before else None, use.split)

    async def _read(self, job: Job, found: Answered | TaskRun, baseline: Response | None, split: str) -> Outcome:
        """The outcome of a response: its answer is read, and scored."""
        prepared, row = job
        failed = self._failed(row, found)
        if failed is not None:
            return failed
        answer = read_answer(prepared.answer, found.response, baseline)
        if self._unread_limit is not None:
            self._unread_limit.check(answer, found.response, prepared.prompt.source, prepared.prompt.parameters)
        if self._judging is not None and not isinstance(answer, Unparsed):
            judged = await self._judging.judged(answer, self._rows[row], split, found.key)
            return _of_judgement(job, found, answer, judged, self._range.wrong)
        return await self._scored(job, found, answer, baseline)

    async def _answered(self, requests: Sequence[KeyedRequest], use: Use, batch: RequestBatch) -> list[Answered]:
        """The responses to a job's requests, in their order; one that failed is the last."""
        answered: list[Answered] = []
        for request, key in requests:
            answered.append(await self.responder.respond(request, key, use, batch))
            if answered[-1].response.error is not None:
                break
        return answered

    async def _scored(self, job: Job, answered: Answered | TaskRun, answer: Any, baseline: Response | None) -> Outcome:
        """The outcome of an answer that no judge scores."""
        prepared, row = job
        response = answered.response
        result = await self._scores.score(answer, self._rows[row], row)
        unparsed = isinstance(answer, Unparsed)
        by = result.margin
        if by is None and not unparsed:
            by = margin(self._metric, prepared.answer.probabilities(response, baseline), self._rows[row])
        return Outcome(
            row=row,
            key=answered.key,
            answer=None if unparsed else answer,
            score=float(result.value),
            explanation=result.explanation,
            unparsed=unparsed,
            error=None,
            cached=answered.cached,
            margin=by,
            ambiguous=not unparsed and prepared.answer.is_ambiguous(response),
            cost=RowCost.of(response),
        )

    def sent(self, prepared: PreparedPrompt) -> PreparedPrompt:
        """The prompt with its parameters as the server takes them, as far as is known."""
        dialect = self.responder.dialects.of(prepared.endpoint, prepared.model)
        parameters = dialect.changed(prepared.prompt.parameters)
        if parameters is prepared.prompt.parameters:
            return prepared
        return replace(prepared, prompt=replace(prepared.prompt, parameters=parameters))

    def refusals(self) -> Callable[[PreparedPrompt, int], Refusal | None]:
        """What servers are known to refuse now: a function that tells why a prompt with a row is refused."""
        dialects = self.responder.dialects.copy()

        def refusal(prepared: PreparedPrompt, row: int) -> Refusal | None:
            if not dialects.refuse_anything:
                return None
            request = dialects.applied(prepared.request(self._rows[row].fields))
            return dialects.of(request.endpoint, request.model).refusal(request)

        return refusal

    def evade(self, prepared: PreparedPrompt, row: int) -> bool:
        """Change all requests so that they do without what the server refuses in this prompt with a row, and say
        whether that is possible."""
        dialect = self.responder.dialects.of(prepared.endpoint, prepared.model)
        return dialect.evade(dialect.applied(prepared.request(self._rows[row].fields)))

    @property
    def told(self) -> list[str]:
        """What was learned of each server that takes something else than was to be sent, in words."""
        return self.responder.dialects.told

    def calibrated(self, prepared: PreparedPrompt, outcomes: Sequence[Outcome]) -> PreparedPrompt:
        """The prepared prompt with its answer form calibrated on these outcomes, where the form learns from rows."""
        if not prepared.answer.calibrates_on_rows:
            return prepared
        answered = [outcome for outcome in outcomes if outcome.error is None]
        responses = self.responder.responses([outcome.key for outcome in answered])
        answer = prepared.answer.calibrated(
            [responses[outcome.key] for outcome in answered],
            [self._rows[outcome.row].target for outcome in answered],
        )
        if answer is prepared.answer:
            return prepared
        return replace(prepared, answer=answer, prompt=replace(prepared.prompt, answer=answer.to_dict()))

    async def reparse(
        self, prepared: PreparedPrompt, outcomes: Sequence[Outcome], split: str
    ) -> tuple[PreparedPrompt, list[Outcome]]:
        """Calibrate the answer form on these outcomes, and parse their stored responses again without a call.

        The prompt comes back with its parameters as the server takes them.
        Corpus metrics are computed over exactly these rows.
        """
        calibrated = self.calibrated(prepared, outcomes)
        if calibrated is prepared:
            return self.sent(prepared), self.with_corpus_scores(outcomes)
        parsed = await self.evaluate([(calibrated, outcome.row) for outcome in outcomes], split)
        return self.sent(calibrated), self.with_corpus_scores([outcome for outcome in parsed if outcome is not None])

    def with_corpus_scores(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """One prompt's outcomes, with scores computed over all of them where the metric is a corpus metric.

        A failure that is the prompt's fault counts there like an answer that could not be read.
        """
        return (
            _corpus_scored(self._metric, self._rows, outcomes) if isinstance(self._metric, Corpus) else list(outcomes)
        )


def _of_judgement(job: Job, answered: Answered | TaskRun, answer: Any, judged: Judged, wrong: float) -> Outcome:
    """The outcome of an answer that a judge was asked about."""
    prepared, row = job
    key = answered.key if judged.lost is None else judged.lost[0]
    found = Outcome(
        row=row,
        key=key,
        answer=answer,
        score=judged.score,
        explanation=judged.reason,
        unparsed=False,
        error=judged.error,
        cached=answered.cached,
        ambiguous=prepared.answer.is_ambiguous(answered.response),
        cost=RowCost.of(answered.response),
        judgements=judged.judgements,
    )
    if judged.error is None:
        return found
    failed = Outcome.failed(row, key, judged.error, answered.cached, wrong)
    return replace(found, score=failed.score)


def _corpus_scored(metric: Corpus, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One prompt's outcomes with scores that are computed over all of them."""
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    unread = Unparsed("there is no answer that could be parsed")
    pairs = [(unread if each.unparsed or each.error else each.answer, rows[each.row]) for each in scored]
    influence = dict(zip([outcome.row for outcome in scored], metric.influences(pairs), strict=True))
    return [replace(outcome, score=influence.get(outcome.row)) for outcome in outcomes]
