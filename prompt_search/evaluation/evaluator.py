"""Candidate × rows to scores: build the request, take it from the store or send it, read the answer, score it."""

from __future__ import annotations

import asyncio
import math
from collections import ChainMap
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prompt_search._iteration import batched
from prompt_search.answers.forms import Answer, Unparsed
from prompt_search.budget import Ledger, Spending
from prompt_search.data.dataset import Row
from prompt_search.errors import BudgetExceeded, RequestRefused
from prompt_search.llm.messages import Request, Response
from prompt_search.llm.rate_limit import Slots
from prompt_search.metrics.corpus import Corpus
from prompt_search.metrics.row import Metric, ReferenceMetric, margin, score
from prompt_search.prompts.prompt import Prompt
from prompt_search.storage.records import Call, Found, Saved
from prompt_search.storage.store import Store

Floats = NDArray[np.float64]

LEAST_CHANCE = 1e-4
"""Of a label that the server did not list among the likeliest tokens."""

CONTENT_FREE = "N/A"
"""What stands in the fields of the content-free row that calibration asks about (Zhao et al. 2021)."""

HOPELESS_AFTER = 10
"""A run whose first requests all fail, this many of them, is ended instead of using up its budget."""

HOPELESS_IN_A_ROW = 20
"""Amid a run so many failures without an answer in between end it. Where one request in two fails for good, that
happens once in a million requests."""

FAILING_PROMPTS = 3
"""Where it is not the server that fails, but requests are refused one by one, they must be of so many prompts: a prompt
that is too long for the model fails on every row."""


JOBS_AT_ONCE = 500
"""Jobs whose requests are looked up, and claimed, together; at most twice as many are held in memory."""

FIRST_POLL_S, LONGEST_POLL_S = 0.05, 1.0
"""How soon it is looked whether others have answered what they claimed, and how seldom in the end."""


class Completer(Protocol):
    """What `Evaluator` needs of a client."""

    async def complete(self, request: Request) -> Response: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPrompt:
    """A prompt together with how it is asked and read."""

    prompt: Prompt
    answer: Answer
    model: str
    endpoint: str
    sample: int = 0

    def request(self, row: Any) -> Request:
        """The request for one row's fields."""
        return Request(
            endpoint=self.endpoint,
            model=self.model,
            messages=self.prompt.render(row),
            parameters=self.prompt.parameters,
            sample=self.sample,
        )

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for prepared prompts that are asked and read alike."""
        parameters = sorted((name, repr(value)) for name, value in self.prompt.parameters.items())
        return (self.prompt.source, tuple(parameters), repr(self.answer), self.model, self.endpoint)

    def requests(self, row: Row) -> list[Request]:
        """Every request that a row needs: the content-free one first where the answer is calibrated."""
        asked = [self.request(row.fields)]
        if self.answer.needs_baseline:
            blank = {name: CONTENT_FREE if isinstance(row[name], str) else row[name] for name in row.fields}
            asked.insert(0, self.request(Row(blank)))
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one prepared prompt made of one row.

    ``score`` is None when the request failed (``error`` says why); an answer that could not be read scores 0
    and is ``unparsed``. ``margin`` is by how much the answer is right (above 0) or wrong, where the response
    tells.
    """

    row: int
    key: str
    answer: Any
    score: float | None
    explanation: str
    unparsed: bool
    error: str | None
    cached: bool
    margin: float | None = None


_Asked = tuple[Request, str]
"""A request and its key, which takes as long to compute as the request is."""


@dataclass(slots=True)
class _Block:
    """Some jobs' requests: what the store knows of them, which ones this study alone may send, and which are on their
    way for somebody else."""

    found: Found
    claimed: set[str] = field(default_factory=set)
    others: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    watch: asyncio.Task[None] | None = None


class Evaluator:
    """Scores prepared prompts on rows, spending nothing twice.

    Args:
        study: under which name calls are kept.
        rows: all rows of the data, by position.
        metric: see `prompt_search.metrics`.
        clients: by endpoint and model.
        store: where responses are kept before they count, and looked for.
        ledger: what is reserved and settled.
        max_concurrency: requests to one model that are on their way, or answered and not stored yet: what a crash can
            lose.
        places: the same, where how many that are changes with an executor's workers; by endpoint and model.
        owner: of the lease that claims on requests belong to; None where nobody else uses the store.
        budget: the number of the study's budget that calls count against.
        free: requests that were paid for under earlier budgets of the study.
        role: what calls are for, as the ledger's table tells.
        priced: whether `price` is asked for, so that what this run had need of must be remembered. Else memory does not
            grow with the rows.
        retry_errors: send requests that failed in an earlier run again.
        on_response: told after every response (for progress).
        sleep: waits for others to answer what they claimed.
    """

    def __init__(
        self,
        *,
        study: str,
        rows: Sequence[Row],
        metric: Metric,
        clients: Mapping[tuple[str, str], Completer],
        store: Store,
        ledger: Ledger,
        max_concurrency: int = 16,
        places: Mapping[tuple[str, str], Slots] | None = None,
        owner: str | None = None,
        budget: int = 0,
        free: Set[str] = frozenset(),
        role: str = "task",
        priced: bool = True,
        retry_errors: bool = False,
        on_response: Callable[[Response, bool], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._study = study
        self._rows = rows
        self._metric = metric
        self._clients = clients
        self._store = store
        self._ledger = ledger
        self._places = places or {asked: Slots(max_concurrency) for asked in clients}
        self._owner = owner
        self._budget = budget
        self._free = free
        self._role = role
        self._priced = priced
        self._on_response = on_response
        self._sleep = sleep
        self._first, self._answered = store.next_call_number(study), store.has_answers(study)
        self._number = self._first
        # Where the server refused everything, the same line tries again.
        self._retry_errors = retry_errors or not self._answered
        self._failures = 0
        self._failing: set[str] = set()
        self._used: ChainMap[str, bool] = ChainMap({}, {})
        """Requests whose response this run had need of, and whether it was there already; where prices are not asked
        for, only those of which a block may not know that they are stored."""
        self._flying: dict[str, asyncio.Future[tuple[Response, bool]]] = {}

    def price(self, prepared: PreparedPrompt, rows: Sequence[int]) -> list[int]:
        """Calls that each row would add to what is spent, in order: requests that this run had no need of yet, nor an
        earlier budget."""
        here: set[str] = set()
        prices = []
        for row in rows:
            keys = {request.key for request in prepared.requests(self._rows[row])} - here - self._free
            new = {key for key in keys if key not in self._used and key not in self._flying}
            here |= new
            prices.append(len(new))
        return prices

    async def evaluate(self, jobs: Sequence[tuple[PreparedPrompt, int]], split: str) -> list[Outcome | None]:
        """The outcomes of (prepared prompt, row) pairs, in their order; None where the budget left no room.

        Whatever happens, requests in flight are waited for and stored: they have been paid for.

        Raises:
            RunError: the endpoint cannot be reached or refuses for good; what was answered is kept.
        """
        outcomes: list[Outcome | None] = [None] * len(jobs)

        async def done(place: int, outcome: Outcome) -> None:
            outcomes[place] = outcome

        await self.each(jobs, split, done)
        return outcomes

    async def each(
        self,
        jobs: Iterable[tuple[PreparedPrompt, int]],
        split: str,
        done: Callable[[int, Outcome], Awaitable[None]],
    ) -> None:
        """As `evaluate`, for more jobs than should be held in memory: ``done`` is given the place of a job and its
        outcome as soon as it is there."""
        failures: list[BaseException] = []
        pending: set[asyncio.Task[None]] = set()
        blocks: list[_Block] = []

        async def measure(place: int, job: tuple[PreparedPrompt, int], asked: Sequence[_Asked], block: _Block) -> None:
            try:
                with self._stopping():
                    await done(place, await self._outcome(*job, asked, split, block))
            except BudgetExceeded:
                pass
            except BaseException as error:  # raised when all in flight is done
                failures.append(error)

        try:
            for some in batched(enumerate(jobs), JOBS_AT_ONCE):
                while len(pending) > JOBS_AT_ONCE:
                    _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if failures:
                    break
                asked = [[(r, r.key) for r in prepared.requests(self._rows[row])] for _, (prepared, row) in some]
                block = await self._block(dict(pair[::-1] for pairs in asked for pair in pairs))
                blocks = [*(each for each in blocks if each.claimed or each.others), block]
                pending |= {
                    asyncio.create_task(measure(place, job, pairs, block))
                    for (place, job), pairs in zip(some, asked, strict=True)
                }
        except asyncio.CancelledError:
            for task in pending:
                task.cancel()
            raise
        finally:
            if pending:
                await asyncio.wait(pending)
            await self._leave(blocks)
        if failures:
            raise failures[0]

    async def _block(self, requests: Mapping[str, Request]) -> _Block:
        """What is known about some requests, after those that must be sent are claimed."""
        if not self._priced:  # what was answered before the block before this one, both will find stored
            self._used.maps[:] = [{}, self._used.maps[0]]
        keys = [key for key in requests if key not in self._flying]
        block = _Block(await self._store.in_thread(self._store.find, self._study, keys))
        missing = {key for key in keys if key not in block.found.responses and self._is_to_send(block, key)}
        if self._owner is not None and missing:
            await self._claim(block, missing)
            others = missing - block.claimed - set(block.found.responses)
            if others:
                loop = asyncio.get_running_loop()
                block.others = {key: loop.create_future() for key in others}
                block.watch = asyncio.create_task(self._watch(block))
        return block

    def _is_to_send(self, block: _Block, key: str) -> bool:
        call = block.found.calls.get(key)
        if call is None:
            return True
        return not self._is_of_this_run(key, call) and (call.cut_short or self._is_retried(call))

    def _is_of_this_run(self, key: str, call: Call) -> bool:
        """Whether this run had need of it before: it is counted, and not sent again."""
        return key in self._used or call.number >= self._first

    def _is_retried(self, call: Call) -> bool:
        return self._retry_errors and call.response.error is not None and not call.cut_short

    async def _claim(self, block: _Block, keys: Collection[str]) -> None:
        """Claim requests, and take note of those that were answered just before."""
        assert self._owner is not None
        claimed = await self._store.in_thread(self._store.claim, self._owner, keys)
        block.claimed |= claimed
        answered = (await self._store.in_thread(self._store.find, self._study, claimed)).responses
        block.found.responses.update(answered)

    async def _watch(self, block: _Block) -> None:
        """Wait until others have answered what they claimed, or have given it up: then it is this study's turn."""
        wait = FIRST_POLL_S
        try:
            while waiting := [key for key, future in block.others.items() if not future.done()]:
                await self._sleep(wait)
                wait = min(2 * wait, LONGEST_POLL_S)
                self._ledger.check()
                block.found.responses.update(
                    (await self._store.in_thread(self._store.find, self._study, waiting)).responses
                )
                left = [key for key in waiting if key not in block.found.responses]
                await self._claim(block, left)
                for key in waiting:
                    future = block.others[key]
                    if not future.done() and (key in block.found.responses or key in block.claimed):
                        future.set_result(None)
        except Exception as error:  # whoever waits has to hear of it
            for future in block.others.values():
                if not future.done():
                    future.set_exception(error)

    async def _leave(self, blocks: Sequence[_Block]) -> None:
        """Let others send what was claimed and not sent."""
        for block in blocks:
            if block.watch is not None:
                block.watch.cancel()
            for future in block.others.values():
                if not future.cancel() and not future.cancelled():
                    future.exception()  # whoever would have waited for it has ended
        claimed = {key for block in blocks for key in block.claimed}
        if claimed:
            assert self._owner is not None
            await self._store.in_thread(self._store.end_claims, self._owner, claimed)

    def learned(self, prepared: PreparedPrompt, outcomes: Sequence[Outcome]) -> PreparedPrompt:
        """The prepared prompt with its answer form calibrated on these outcomes, where it learns."""
        if not prepared.answer.learns:
            return prepared
        answered = [outcome for outcome in outcomes if outcome.error is None]
        responses = self._responses([outcome.key for outcome in answered])
        answer = prepared.answer.learned(
            [responses[outcome.key] for outcome in answered],
            [self._rows[outcome.row].target for outcome in answered],
        )
        if answer is prepared.answer:
            return prepared
        return replace(prepared, answer=answer, prompt=replace(prepared.prompt, answer=answer.to_dict()))

    def _responses(self, keys: Collection[str]) -> dict[str, Response]:
        """Responses that this run had need of."""
        return {key: call.response for key, call in self._store.find(self._study, keys).calls.items()}

    async def reparse(
        self, prepared: PreparedPrompt, outcomes: Sequence[Outcome], split: str
    ) -> tuple[PreparedPrompt, list[Outcome]]:
        """Calibrate the answer form on these outcomes and parse their stored responses again, without a call.

        Corpus metrics are computed over exactly these rows."""
        learned = self.learned(prepared, outcomes)
        if learned is prepared:
            return prepared, self.with_corpus_scores(outcomes)
        read = await self.evaluate([(learned, outcome.row) for outcome in outcomes], split)
        return learned, self.with_corpus_scores([outcome for outcome in read if outcome is not None])

    def with_corpus_scores(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """One prepared prompt's outcomes, with scores computed over all of them where the metric is a corpus metric."""
        if not isinstance(self._metric, Corpus):
            return list(outcomes)
        scored = [outcome for outcome in outcomes if outcome.score is not None]
        unread = Unparsed("the answer could not be read")
        pairs = [(unread if outcome.unparsed else outcome.answer, self._rows[outcome.row]) for outcome in scored]
        influence = dict(zip([outcome.row for outcome in scored], self._metric.influences(pairs), strict=True))
        return [replace(outcome, score=influence.get(outcome.row)) for outcome in outcomes]

    def crossed(self, prepared: PreparedPrompt, outcomes: Sequence[Outcome]) -> Floats | None:
        """How well the answers of some outcomes fit each of their rows, of shape (n, n); no call is made for that.

        Where label probabilities are known, the logarithm of the row's own label's. None for a metric that is not
        from `prompt_search.metrics`: it may cost money, and is not called more than once a row.
        """
        if not isinstance(self._metric, ReferenceMetric):
            return None
        rows = [self._rows[outcome.row] for outcome in outcomes]
        asked = [[request.key for request in prepared.requests(row)] for row in rows]
        responses = self._responses({key for keys in asked for key in keys})
        table = []
        for outcome, (*before, key) in zip(outcomes, asked, strict=True):
            baseline = responses[before[0]] if before else None
            chances = prepared.answer.probabilities(responses[key], baseline)
            if chances is None:
                table.append([0.0 if outcome.unparsed else self._metric(outcome.answer, row) for row in rows])
            else:
                right = [sum(chance for label, chance in chances.items() if self._metric(label, row)) for row in rows]
                table.append([math.log(max(chance, LEAST_CHANCE)) for chance in right])
        return np.array(table)

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """On an error, let nothing out that still waits for its turn."""
        try:
            yield
        except BudgetExceeded:
            raise
        except BaseException as error:
            self._ledger.stop(str(error))
            raise

    async def _outcome(
        self, prepared: PreparedPrompt, index: int, requests: Sequence[_Asked], split: str, block: _Block
    ) -> Outcome:
        row = self._rows[index]
        baseline: Response | None = None
        *before, (asked, key) = requests
        for request, blank in before:
            baseline, cached = await self._respond(prepared, request, blank, split, block)
            if baseline.error is not None:
                return _failed(index, blank, baseline.error, cached)
        response, cached = await self._respond(prepared, asked, key, split, block)
        if response.error is not None:
            return _failed(index, key, response.error, cached)
        answer = prepared.answer.parse(response, baseline)
        result = await score(self._metric, answer, row)
        unparsed = isinstance(answer, Unparsed)
        by = result.margin
        if by is None and not unparsed:
            by = margin(self._metric, prepared.answer.probabilities(response, baseline), row)
        return Outcome(
            row=index,
            key=key,
            answer=None if unparsed else answer,
            score=float(result.value),
            explanation=result.explanation,
            unparsed=unparsed,
            error=None,
            cached=cached,
            margin=by,
        )

    async def _respond(
        self, prepared: PreparedPrompt, request: Request, key: str, split: str, block: _Block
    ) -> tuple[Response, bool]:
        """The response to a request, and whether it cost nothing now; asked once however many rows need it."""
        if key in self._used:
            call = block.found.calls.get(key)
            response = call.response if call else self._responses([key])[key]
            return response, self._used[key]
        if key not in self._flying:
            self._flying[key] = asyncio.ensure_future(self._obtain(prepared, request, key, split, block))
        return await asyncio.shield(self._flying[key])

    async def _obtain(
        self, prepared: PreparedPrompt, request: Request, key: str, split: str, block: _Block
    ) -> tuple[Response, bool]:
        with self._stopping():  # here already: those who wait for the same request hear of it a step later
            response, cached = await self._answer(prepared, request, key, split, block)
        self._used[key] = cached
        del self._flying[key]  # a response is in the store; one that failed for the budget stays, and fails again
        if self._on_response is not None:
            self._on_response(response, cached)
        return response, cached

    async def _answer(
        self, prepared: PreparedPrompt, request: Request, key: str, split: str, block: _Block
    ) -> tuple[Response, bool]:
        call = block.found.calls.get(key)
        if call is not None and self._is_of_this_run(key, call):
            return call.response, True
        free = call is not None and call.attempts > 0 and call.budget < self._budget
        if call is not None and not self._is_retried(call) and (free or call.budget == self._budget):
            if not free:
                self._ledger.replay(call.spending, reused=not call.attempts)
            if not call.cut_short:
                return call.response, True
        if key in block.others:
            await block.others[key]
        stored = block.found.responses.get(key)
        if stored is None and call is not None and call.response.error is None:
            stored = call.response  # found stored under an earlier budget, and counted there
        if stored is not None:
            spending = await self._ledger.reuse(request, stored)
            await self._keep(request, key, stored, spending, split, paid=False)
            return stored, True
        async with self._places[request.endpoint, request.model]:
            try:
                response = await self._send(request)
            except BaseException:
                self._ledger.release(request)
                raise
            await self._keep(request, key, response, self._ledger.settle(request, response), split, paid=True)
        block.claimed.discard(key)
        if response.error and response.error.startswith("budget"):
            raise BudgetExceeded(response.error)
        self._check_hopeless(response, prepared)
        return response, False

    async def _send(self, request: Request) -> Response:
        """Ask, for as long as the budget has time."""
        try:
            async with asyncio.timeout(self._ledger.remaining_s):
                return await self._clients[request.endpoint, request.model].complete(request)
        except TimeoutError:
            error = f"budget: the {self._ledger.budget.seconds:g} seconds were over before the answer came"
            sent = self._ledger.attempts(request)
            if not sent:
                raise BudgetExceeded(error) from None
            return Response(error=error, attempts=sent, lost=1)

    def _check_hopeless(self, response: Response, prepared: PreparedPrompt) -> None:
        """Stop a run in which nothing is answered, from its beginning or any more.

        Raises:
            RequestRefused: too many requests failed, without one that was answered in between.
        """
        if response.error is None:
            self._answered = True
            self._failures = 0
            self._failing.clear()
            return
        self._failures += 1
        self._failing.add(prepared.prompt.source)
        if not self._answered:
            if self._failures >= HOPELESS_AFTER:
                raise RequestRefused(f"the first {self._failures} requests all failed, the last with {response.error}")
            return
        of_the_server = response.error.startswith(("server:", "timeout:"))
        if self._failures >= HOPELESS_IN_A_ROW and (of_the_server or len(self._failing) >= FAILING_PROMPTS):
            raise RequestRefused(
                f"the last {self._failures} requests all failed, the last with {response.error}; what was answered "
                f"before is kept: run it again with retry_errors=True (--retry-errors) when that is mended"
            )

    async def _keep(
        self, request: Request, key: str, response: Response, spending: Spending, split: str, *, paid: bool
    ) -> None:
        saved = Saved(
            study=self._study,
            key=key,
            request=request,
            response=response,
            split=split,
            number=self._number,
            paid=paid,
            spending=spending,
            role=self._role,
            budget=self._budget,
        )
        self._number += 1
        await self._store.save_call(saved)


def _failed(row: int, key: str, error: str, cached: bool) -> Outcome:
    return Outcome(
        row=row,
        key=key,
        answer=None,
        score=None,
        explanation="",
        unparsed=False,
        error=error,
        cached=cached,
    )
