"""One response for each request: from the store, from another study that runs at the same time, or from the server."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from anyio import CapacityLimiter

from prompt_search.budget import Spending
from prompt_search.errors import BudgetExceeded, PromptSearchError, RequestRefused
from prompt_search.evaluation.failure_limit import FailureLimit
from prompt_search.evaluation.request_batch import RequestBatch, RequestClaims
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.dialect.dialect import Dialect, Dialects, Refusal
from prompt_search.llm.messages import Request, Response
from prompt_search.storage.faults import StorageFault
from prompt_search.storage.records import Call, Found, Saved


class Completer(Protocol):
    """What sends requests to one model; `prompt_search.llm.client.Client` is one."""

    async def complete(self, request: Request) -> Response: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a request is used for.

    Attributes:
        prompt: source of the prompt that it is made of.
        split: ``search`` or ``test``: the part of a study that needs the response.
        role: ``task`` for the answer to a row; other roles have lines of their own in the ledger's table.
        evades: whether whoever asks does without what a server refuses: the request is then not changed, and does not
            end the run.
    """

    prompt: str
    split: str
    role: str = "task"
    evades: bool = False


class RefusedFeature(Exception):
    """A request has a feature that the server is known to refuse, so it was not sent."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request as it was sent, its key, and its response; ``cached``: whether the response cost nothing in this
    run."""

    request: Request
    key: str
    response: Response
    cached: bool


class Responder:
    """Gets the response to each request, and pays for none of them twice.

    Args:
        settings: see `EvaluationSettings`.
        clients: what sends, by endpoint and model.
        slots: bounds of how many requests to a model are in flight, by endpoint and model; default:
            ``settings.max_concurrency`` for each.
        sleep: waits for others to answer what they claimed.
        dialects: what is known of the servers already.

    Attributes:
        dialects: what is known of the servers.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        clients: Mapping[tuple[str, str], Completer],
        slots: Mapping[tuple[str, str], CapacityLimiter] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dialects: Dialects | None = None,
    ) -> None:
        self._settings = settings
        self._store = settings.store
        self._ledger = settings.ledger
        self._clients = clients
        self._slots = slots or {model: CapacityLimiter(settings.max_concurrency) for model in clients}
        self._claims = RequestClaims(settings.study, settings.store, settings.ledger, settings.owner, sleep)
        answered = settings.store.has_answers(settings.study)
        self._first_number = self._next_number = settings.store.next_call_number(settings.study)
        self._failure_limit = FailureLimit(answered=answered)
        # Where the server refused everything, the same line tries again.
        self._retry_errors = settings.retry_errors or not answered
        self._used: ChainMap[str, bool] = ChainMap({}, {})
        """Keys of the requests whose response this run has used, each with whether the response cost nothing; without
        ``tracks_price`` those of the last two batches alone."""
        self._in_flight: dict[str, asyncio.Future[tuple[Response, bool]]] = {}
        self.dialects = dialects or Dialects()
        self._sent_again: set[str] = set()
        """Keys of the requests that are sent again although this run has sent them."""

    def is_new(self, key: str) -> bool:
        """Whether a response to this request would add to what is spent: neither this run nor an earlier budget has
        needed it yet."""
        return key not in self._used and key not in self._in_flight and key not in self._settings.paid_before

    async def open_batch(self, keys: Collection[str]) -> RequestBatch:
        """Look up requests, and claim those that must be sent."""
        if not self._settings.tracks_price:
            # Two batches are worked on at a time; what was answered before them is found in the store.
            self._used.maps[:] = [{}, self._used.maps[0]]
        return await self._claims.open([key for key in keys if key not in self._in_flight], self._is_to_send)

    @asynccontextmanager
    async def batch_of(self, keys: Collection[str]) -> AsyncIterator[RequestBatch]:
        """A context with a batch of requests, in which an error stops all requests that still wait for their turn."""
        batch = await self.open_batch(keys)
        try:
            with self.stopping_on_error():
                yield batch
        finally:
            await self.close_batches([batch])

    async def close_batches(self, batches: Sequence[RequestBatch]) -> None:
        """Let others send what was claimed and not sent."""
        await self._claims.close(batches)

    def responses(self, keys: Collection[str]) -> dict[str, Response]:
        """The responses to requests that this run has used."""
        return {key: call.response for key, call in self._store.find(self._settings.study, keys).calls.items()}

    def check_answered(self) -> None:
        """Raise `RequestRefused` where requests were sent and none was answered."""
        self._failure_limit.check_answered()

    def send_again(self, keys: Collection[str]) -> None:
        """Let requests that failed be sent once more when they are needed next; not those that were sent again before,
        in this run or in an earlier one."""
        for key, call in self._store.find(self._settings.study, keys).calls.items():
            # A call counts the attempts of every time that it was sent, its response those of the last time.
            if call.response.error is not None and call.attempts <= call.response.attempts and not call.cut_short:
                self._sent_again.add(key)
                for used in self._used.maps:
                    used.pop(key, None)

    @contextmanager
    def stopping_on_error(self) -> Iterator[None]:
        """A context in which an error stops all requests that still wait for their turn."""
        try:
            yield
        except (BudgetExceeded, RefusedFeature):
            raise
        except BaseException as error:
            self._ledger.stop(str(error))
            raise

    async def respond(self, request: Request, key: str, use: Use, batch: RequestBatch) -> Answered:
        """The response to a request, which is changed as its server takes it.

        A request is sent once, however many rows and prompts need it at the same time. One with a feature that the
        server has not accepted yet is sent alone, so that others do not repeat what is refused.

        Args:
            request: the request.
            key: its key, which takes as long to compute as the request is.
            use: what it is used for.
            batch: the batch that has the request.

        Raises:
            BudgetExceeded: the budget has no room for it.
            RefusedFeature: the server is known to refuse such a request.
            RunError: nothing is answered any more.
        """
        on_refusal = self._settings.on_refusal
        if on_refusal == "ignore":
            response, cached = await self._once(request, key, use, batch)
            return Answered(request=request, key=key, response=response, cached=cached)
        closes = use.evades or on_refusal == "close"
        dialect = self.dialects.of(request.endpoint, request.model)
        own: list[RequestBatch] = []
        holds_turn = False
        try:
            while True:
                sent = self._taken(dialect, request, closes=closes)
                if sent is not request:  # something was learned since the batch was opened
                    request, key = sent, sent.key
                    own.append(await self._claims.open([key], self._is_to_send))
                    batch = own[-1]
                if dialect.is_tried(request) == holds_turn:
                    # The turn is kept until the server accepts the request: who finds out what does not depend on time.
                    holds_turn = await _change_turn(dialect, holds=holds_turn)
                    continue  # others may have learned something meanwhile
                response, cached = await self._once(request, key, use, batch)
                if not dialect.observe(request, response):
                    return Answered(request=request, key=key, response=response, cached=cached)
                refusal = dialect.refusal(request)
                if refusal is not None and closes:
                    refused = replace(response, error=f"unsupported: {refusal}")
                    return Answered(request=request, key=key, response=refused, cached=cached)
        finally:
            if holds_turn:
                dialect.alone.release()
            await self._claims.close(own)

    def _taken(self, dialect: Dialect, request: Request, *, closes: bool) -> Request:
        """A request as the server takes it, as far as is known.

        Raises:
            RefusedFeature: the server does not take it, and a candidate with another option does without.
            RequestRefused: the server does not take it, and no change makes it one that it takes.
        """
        while True:
            request = dialect.applied(request)
            refusal = dialect.refusal(request)
            if refusal is None:
                return request
            if closes:
                raise RefusedFeature(refusal)
            if not dialect.evade(request):
                raise RequestRefused(f"{refusal}; {refusal.cure}")

    async def _once(self, request: Request, key: str, use: Use, batch: RequestBatch) -> tuple[Response, bool]:
        """The response to a request, which is sent once at most, and whether it cost nothing in this run."""
        if key in self._used:
            call = batch.found.calls.get(key)
            response = call.response if call else self.responses([key])[key]
            return response, self._used[key]
        if key not in self._in_flight:
            obtaining = self._obtain(request, key, use, batch)
            self._in_flight[key] = asyncio.ensure_future(obtaining)
        return await asyncio.shield(self._in_flight[key])

    async def _obtain(self, request: Request, key: str, use: Use, batch: RequestBatch) -> tuple[Response, bool]:
        with self.stopping_on_error():  # here already: the jobs that wait for this request continue one step later
            response = await self._stored(request, key, use, batch)
            cached = response is not None
            if response is not None:
                self._failure_limit.saw(response, request.parameters)
            else:
                response = await self._send(request, key, use, batch)
        self._used[key] = cached
        # The response is in the store now. A request that failed for the budget stays here, and fails again.
        del self._in_flight[key]
        if self._settings.on_response is not None:
            self._settings.on_response(response, cached)
        return response, cached

    async def _stored(self, request: Request, key: str, use: Use, batch: RequestBatch) -> Response | None:
        """The response to a request that need not be sent, counted as if it had been; None where it must be sent."""
        call = batch.found.calls.get(key)
        replayed = None if call is None else self._replayed(key, call)
        if replayed is not None:
            self._ledger.learn(request, replayed)
            return replayed
        if key in batch.others:
            await batch.others[key]
        response = batch.found.responses.get(key)
        if response is None and call is not None and call.response.error is None:
            response = call.response  # an earlier budget of the study found it stored, and counted it
        if response is not None:
            spending = await self._ledger.reuse(request, response)
            await self._save(request, key, response, spending, use, paid=False)
        return response

    def _replayed(self, key: str, call: Call) -> Response | None:
        """The response of a call that this study has made, counted as it was then; None where the call is no answer
        to the request now."""
        if self._is_of_this_run(key, call):
            return call.response
        free_of_charge = call.attempts > 0 and call.budget < self._settings.budget
        if self._is_retried(key, call) or not (free_of_charge or call.budget == self._settings.budget):
            return None
        if not free_of_charge:
            self._ledger.replay(call.spending, reused=not call.attempts)
        return None if call.cut_short else call.response

    async def _send(self, request: Request, key: str, use: Use, batch: RequestBatch) -> Response:
        """The server's response, saved."""
        async with self._slots[request.endpoint, request.model]:
            try:
                response = await self._complete(request)
            except BaseException as error:
                is_known = self._settings.owner is not None and self._ledger.attempts(request) > 0
                self._ledger.release(request)
                if is_known and isinstance(error, PromptSearchError) and not isinstance(error, StorageFault):
                    # It was refused for good: an answer that the study lacks was not lost.
                    self._ledger.stop(str(error))  # before others go on
                    await self._store.in_thread(self._store.responses.drop_sent, self._settings.study, key)
                raise
            await self._save(request, key, response, self._ledger.settle(request, response), use, paid=True)
        batch.claimed.discard(key)
        if response.error and response.error.startswith("budget"):
            self._failure_limit.saw(response, request.parameters)
            raise BudgetExceeded(response.error)
        is_news = self.dialects.of(request.endpoint, request.model).is_news(response)
        if not is_news and key not in self._sent_again:  # these all failed before: failures in a row say nothing
            self._failure_limit.check(response, use.prompt, request.parameters)
        return response

    async def _complete(self, request: Request) -> Response:
        """The server's response, awaited for as long as the budget has time."""
        try:
            async with asyncio.timeout(self._ledger.remaining_s):
                return await self._clients[request.endpoint, request.model].complete(request)
        except TimeoutError:
            error = f"budget: the {self._ledger.budget.seconds:g} seconds were over before the answer came"
            sent = self._ledger.attempts(request)
            if not sent:
                raise BudgetExceeded(error) from None
            return Response(error=error, attempts=sent, lost=1)

    async def _save(
        self, request: Request, key: str, response: Response, spending: Spending, use: Use, *, paid: bool
    ) -> None:
        saved = Saved(
            study=self._settings.study,
            key=key,
            request=request,
            response=response,
            split=use.split,
            number=self._next_number,
            paid=paid,
            spending=spending,
            role=use.role,
            budget=self._settings.budget,
        )
        self._next_number += 1
        await self._store.save_call(saved)

    def _is_to_send(self, found: Found, key: str) -> bool:
        """Whether a request without a stored response must be sent."""
        call = found.calls.get(key)
        if call is None:
            return True
        return not self._is_of_this_run(key, call) and (call.cut_short or self._is_retried(key, call))

    def _is_of_this_run(self, key: str, call: Call) -> bool:
        """Whether this run has used the call, so that it is counted and is not sent again."""
        return key in self._used or (call.number >= self._first_number and key not in self._sent_again)

    def _is_retried(self, key: str, call: Call) -> bool:
        failed = call.response.error is not None and call.response.lesson is None
        again = self._retry_errors or key in self._sent_again
        return again and failed and not call.cut_short


async def _change_turn(dialect: Dialect, *, holds: bool) -> bool:
    """Take or give back the turn to send what the server has not accepted yet; whether it is held now."""
    if holds:
        dialect.alone.release()
    else:
        await dialect.alone.acquire()
    return not holds
