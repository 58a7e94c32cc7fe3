"""Candidate × rows to scores: build the request, take it from the store or send it, read the answer, score it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prompt_search.answers import Answer, Unparsed
from prompt_search.budget import Ledger
from prompt_search.candidate import Prompt
from prompt_search.completion import Request, Response
from prompt_search.corpus import Corpus
from prompt_search.dataset import Row
from prompt_search.errors import BudgetExceeded, RequestRefused
from prompt_search.metrics import Comparison, Metric, margin, score
from prompt_search.store import Call, Store

Floats = NDArray[np.float64]

LEAST_CHANCE = 1e-4
"""Of a label that the server did not list among the likeliest tokens."""

CONTENT_FREE = "N/A"
"""What stands in the fields of the content-free row that calibration asks about (Zhao et al. 2021)."""

HOPELESS_AFTER = 10
"""A run whose first requests all fail, this many of them, is ended instead of using up its budget."""


class Completer(Protocol):
    """What `Evaluator` needs of a client."""

    async def complete(self, request: Request) -> Response: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
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
        """Equal for contenders that are asked and read alike."""
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
    """What one contender made of one row.

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


class Evaluator:
    """Scores contenders on rows, spending nothing twice.

    Args:
        study: under which name calls are kept.
        rows: all rows of the data, by position.
        metric: see `prompt_search.metrics`.
        clients: by endpoint and model.
        store: where responses are kept before they count.
        ledger: what is reserved and settled.
        calls: what earlier runs of this study used.
        on_response: told after every response (for progress).
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
        calls: Mapping[str, Call],
        on_response: Callable[[Response, bool], None] | None = None,
    ) -> None:
        self._study = study
        self._rows = rows
        self._metric = metric
        self._clients = clients
        self._store = store
        self._ledger = ledger
        self._calls = calls
        self._number = max((call.number for call in calls.values()), default=-1) + 1
        self._on_response = on_response
        self._answered = any(call.response.error is None for call in calls.values())
        self._failures = 0
        self._used: dict[str, asyncio.Future[tuple[Response, bool]]] = {}

    def price(self, contender: Contender, rows: Sequence[int]) -> list[int]:
        """Calls that each row would add to what is spent, in order: requests that this run had no need of yet."""
        counted = set(self._used)
        prices = []
        for row in rows:
            new = {request.key for request in contender.requests(self._rows[row])} - counted
            counted |= new
            prices.append(len(new))
        return prices

    async def evaluate(self, jobs: Sequence[tuple[Contender, int]], split: str) -> list[Outcome | None]:
        """The outcomes of (contender, row) pairs, in their order; None where the budget left no room.

        Whatever happens, requests in flight are waited for and stored: they have been paid for.

        Raises:
            RunError: the endpoint cannot be reached or refuses for good; what was answered is kept.
        """
        tasks = [asyncio.ensure_future(self._measured(contender, row, split)) for contender, row in jobs]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        outcomes: list[Outcome | None] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            outcomes.append(result)
        return outcomes

    def learned(self, contender: Contender, outcomes: Sequence[Outcome]) -> Contender:
        """The contender as it reads after these outcomes of its own; itself where its form has nothing to learn."""
        answered = [outcome for outcome in outcomes if outcome.error is None]
        answer = contender.answer.learned(
            [self._used[outcome.key].result()[0] for outcome in answered],
            [self._rows[outcome.row].target for outcome in answered],
        )
        if answer is contender.answer:
            return contender
        return replace(contender, answer=answer, prompt=replace(contender.prompt, answer=answer.to_dict()))

    async def read_anew(
        self, contender: Contender, outcomes: Sequence[Outcome], split: str
    ) -> tuple[Contender, list[Outcome]]:
        """The contender as it reads after these outcomes of its own, and the outcomes as it reads them then; no call
        is made for that. Metrics of all rows together are of these rows then."""
        learned = self.learned(contender, outcomes)
        if learned is contender:
            return contender, self.together(outcomes)
        read = await self.evaluate([(learned, outcome.row) for outcome in outcomes], split)
        return learned, self.together([outcome for outcome in read if outcome is not None])

    def together(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """One contender's outcomes with the scores that they have together, which differ where the metric is one of
        all rows together."""
        if not isinstance(self._metric, Corpus):
            return list(outcomes)
        scored = [outcome for outcome in outcomes if outcome.score is not None]
        unread = Unparsed("the answer could not be read")
        pairs = [(unread if outcome.unparsed else outcome.answer, self._rows[outcome.row]) for outcome in scored]
        influence = dict(zip([outcome.row for outcome in scored], self._metric.influences(pairs), strict=True))
        return [replace(outcome, score=influence.get(outcome.row)) for outcome in outcomes]

    def crossed(self, contender: Contender, outcomes: Sequence[Outcome]) -> Floats | None:
        """How well the answers of some outcomes fit each of their rows, of shape (n, n); no call is made for that.

        Where label probabilities are known, the logarithm of the row's own label's. None for a metric that is not
        from `prompt_search.metrics`: it may cost money, and is not called more than once a row.
        """
        if not isinstance(self._metric, Comparison):
            return None
        rows = [self._rows[outcome.row] for outcome in outcomes]
        table = []
        for outcome in outcomes:
            *before, asked = contender.requests(self._rows[outcome.row])
            baseline = self._used[before[0].key].result()[0] if before else None
            chances = contender.answer.probabilities(self._used[asked.key].result()[0], baseline)
            if chances is None:
                table.append([0.0 if outcome.unparsed else self._metric(outcome.answer, row) for row in rows])
            else:
                right = [sum(chance for label, chance in chances.items() if self._metric(label, row)) for row in rows]
                table.append([math.log(max(chance, LEAST_CHANCE)) for chance in right])
        return np.array(table)

    async def _measured(self, contender: Contender, row: int, split: str) -> Outcome | None:
        try:
            with self._stopping():
                return await self._outcome(contender, row, split)
        except BudgetExceeded:
            return None

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

    async def _outcome(self, contender: Contender, index: int, split: str) -> Outcome:
        row = self._rows[index]
        baseline: Response | None = None
        *before, asked = contender.requests(row)
        for request in before:
            baseline, cached = await self._respond(request, split)
            if baseline.error is not None:
                return _failed(index, request.key, baseline.error, cached)
        key = asked.key
        response, cached = await self._respond(asked, split)
        if response.error is not None:
            return _failed(index, key, response.error, cached)
        answer = contender.answer.parse(response, baseline)
        result = await score(self._metric, answer, row)
        unparsed = isinstance(answer, Unparsed)
        by = result.margin
        if by is None and not unparsed:
            by = margin(self._metric, contender.answer.probabilities(response, baseline), row)
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

    async def _respond(self, request: Request, split: str) -> tuple[Response, bool]:
        """The response to a request, and whether it cost nothing now; asked once however many rows need it."""
        key = request.key
        if key not in self._used:
            self._used[key] = asyncio.ensure_future(self._obtain(request, split))
        return await asyncio.shield(self._used[key])

    async def _obtain(self, request: Request, split: str) -> tuple[Response, bool]:
        with self._stopping():  # here already: those who wait for the same request hear of it a step later
            return await self._answer(request, split)

    async def _answer(self, request: Request, split: str) -> tuple[Response, bool]:
        call = self._calls.get(request.key)
        if call is not None:
            self._ledger.replay(call.response, call.attempts)
            if not call.cut_short:
                return self._told(call.response, True)
        stored = self._store.response(request.key)
        if stored is not None:
            self._ledger.reuse(stored)
            self._keep(request, stored, split, paid=False)
            return self._told(stored, True)
        response = await self._clients[request.endpoint, request.model].complete(request)
        self._ledger.settle(response)
        self._keep(request, response, split, paid=True)
        if response.error and response.error.startswith("budget"):
            raise BudgetExceeded(response.error)
        self._check_hopeless(response)
        return self._told(response, False)

    def _check_hopeless(self, response: Response) -> None:
        """Stop a run in which nothing was ever answered.

        Raises:
            RequestRefused: the first requests all failed.
        """
        if response.error is None:
            self._answered = True
        elif not self._answered:
            self._failures += 1
            if self._failures >= HOPELESS_AFTER:
                raise RequestRefused(f"the first {self._failures} requests all failed, the last with {response.error}")

    def _keep(self, request: Request, response: Response, split: str, *, paid: bool) -> None:
        self._store.save_call(self._study, request, response, split=split, number=self._number, paid=paid)
        self._number += 1

    def _told(self, response: Response, cached: bool) -> tuple[Response, bool]:
        if self._on_response is not None:
            self._on_response(response, cached)
        return response, cached


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
