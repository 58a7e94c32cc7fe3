"""Runs a user's own program on rows, with calls through the same budget, storage and limits as all requests."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter

from prompt_search._first_tries import named
from prompt_search.data.rows import Row
from prompt_search.errors import BudgetExceeded, CallFailed, RequestRefused
from prompt_search.evaluation.failure_limit import TaskLimit
from prompt_search.evaluation.judging.judging import Judging
from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.evaluation.responder import Answered, RefusedFeature, Responder, Use
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.evaluation.task_runs.caller import RowCaller, TaskEnded, TooManyCalls
from prompt_search.evaluation.task_runs.row_calls import RowCalls
from prompt_search.llm.dialect.dialect import Refusal
from prompt_search.llm.failures import FAULTS, fault_of, kind_of
from prompt_search.llm.messages import Request, Response
from prompt_search.llm.redaction import redacted_line
from prompt_search.llm.replies.bodies import whole_characters
from prompt_search.prompts.requests.task import Task
from prompt_search.storage.records import TaskCalls

OWN_CODE_S = 2.0
"""Seconds that a task may go on when the time of a budget is over, with calls that are answered already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """What came of running a task on a row.

    Attributes:
        response: the answer; with an ``error`` where there is none.
        key: the key of the request that the row is shown with: the last one, or the one that failed; "" without calls.
        calls: its calls.
        cached: whether none of them cost anything in this run.
    """

    response: Response
    key: str
    calls: TaskCalls
    cached: bool


class TaskRunner:
    """Runs a task.

    Args:
        task: the task.
        settings: of the evaluator whose rows it answers.
        responder: gets the response to each request.
    """

    def __init__(self, task: Task, settings: EvaluationSettings, responder: Responder) -> None:
        self._task = task
        self._responder = responder
        self._ledger = settings.ledger
        self._secrets = settings.secrets
        self._limit = TaskLimit(task.short_name) if settings.ends_unread else None
        self._places = CapacityLimiter(math.inf if settings.batch else settings.max_concurrency)
        """Rows are begun one after the other, so that a budget that ends leaves few of them half done; with batches all
        at once, since what is asked at one time is one batch."""
        self.row_calls = RowCalls(task.calls)
        self._known: dict[str, Sequence[str]] = dict(settings.task_calls)

    def price(self, prepared: PreparedPrompt, rows: Sequence[int], judging: Judging | None) -> list[float]:
        """The number of calls that each row would add to what is spent, those of a judge included: the mean of the
        prompt's other rows, where it is not known."""
        mean = self.row_calls.of(prepared.prompt.source)
        return [self._price(self._known.get(_run_of(prepared, row)), mean, judging) for row in rows]

    def _price(self, known: Sequence[str] | None, mean: float, judging: Judging | None) -> float:
        judged = 0 if judging is None else judging.calls_due(known[-1]) if known else judging.judge.calls
        return judged + (mean if known is None else sum(map(self._responder.is_new, known)))

    async def run(self, prepared: PreparedPrompt, row: Row, position: int, use: Use) -> TaskRun:
        """What the task makes of a row.

        Raises:
            BudgetExceeded: the budget has no room for a call, or its time is over.
            RefusedFeature: the server is known to refuse the candidate's requests.
            InputError: a call cannot be sent.
            RunError: nothing is answered any more, or the task gives no answers at all.
        """
        async with self._places:
            caller = RowCaller(prepared, partial(self._answered, prepared, row, use), self._task.most_calls)
            response, answered = await self._returned(prepared, row, caller)
        keys = tuple(each.key for each in answered)
        run = _run_of(prepared, position)
        self._known[run] = keys
        self.row_calls.add(len(keys), prompt=prepared.prompt.source)
        if self._limit is not None:
            self._limit.check(response.error, calls=len(keys))
        failed = [each.key for each in answered if each.response.error is not None and each.response is response]
        return TaskRun(
            response=response,
            key=(failed or keys or ("",))[-1],
            calls=TaskCalls(run=run, keys=list(keys)),
            cached=all(each.cached for each in answered),
        )

    async def _returned(
        self, prepared: PreparedPrompt, row: Row, caller: RowCaller
    ) -> tuple[Response, Sequence[Answered]]:
        """The response that stands for what the task returned or raised, and those to its calls."""
        left = self._ledger.remaining_s
        scope = asyncio.timeout(None if left is None else left + OWN_CODE_S)
        try:
            async with scope:
                response = _response_of(await self._task.function(prepared.prompt, row, caller))
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():  # the run is cancelled, not a part of the task
                caller.cancel()
                raise
            response = self._raised(error)
        except TaskEnded as ended:  # where the row has not ended, it was kept from an earlier one
            response = self._raised(ended)
        except (Exception, SystemExit, BaseExceptionGroup) as error:
            response = self._raised(error)
        answered = await caller.close()
        if isinstance(caller.ended, TooManyCalls):
            beyond = f"task_calls: the task made more than {self._task.most_calls} calls for this row"
            return Response(error=beyond, attempts=0), answered
        if caller.ended is not None:
            raise caller.ended
        if scope.expired():
            seconds = f"{self._ledger.budget.seconds:g} seconds"
            raise BudgetExceeded(f"the budget of {seconds} was used up before the task gave an answer")
        return response, answered

    def _raised(self, error: BaseException) -> Response:
        """An exception of the task as a response: that of its call where it was one that failed."""
        alone = error
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            alone = alone.exceptions[0]
        if isinstance(alone, CallFailed) and isinstance(alone.response, Response):
            return alone.response
        frames = traceback.extract_tb(alone.__traceback__)
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        text = redacted_line(f"{type(alone).__name__}: {whole_characters(str(alone))}", self._secrets())
        return Response(error=f"task: {text}{place}", attempts=0)

    async def _answered(self, prepared: PreparedPrompt, row: Row, use: Use, request: Request) -> Answered:
        """The response to a call.

        Raises:
            RequestRefused: the server refuses what the task itself sends.
        """
        request = self._responder.dialects.applied(request)
        key = request.key  # which takes as long to compute as the request
        try:
            async with self._responder.batch_of([key]) as batch:
                found = await self._responder.respond(request, key, use, batch)
        except RefusedFeature as refused:
            self._check_of_candidate(prepared, row, refused.refusal)
            raise
        if found.response.error is not None and fault_of(found.response.error) == "option":
            refusal = self._responder.dialects.of(request.endpoint, request.model).refusal(found.request)
            if refusal is not None:
                self._check_of_candidate(prepared, row, refusal)
        return found

    def _check_of_candidate(self, prepared: PreparedPrompt, row: Row, refusal: Refusal) -> None:
        """Go on where a candidate with another option does without what the server refuses.

        Raises:
            RequestRefused: the task sends it, whatever the candidate is.
        """
        dialects = self._responder.dialects
        own = dialects.applied(prepared.request(row))
        if dialects.of(own.endpoint, own.model).refusal(own) is None:
            raise RequestRefused(f"the task {self._task.short_name}: {refusal}; {refusal.cure}")


def task_runner_of(settings: EvaluationSettings, responder: Responder) -> TaskRunner | None:
    """What runs the task of an evaluator; None without one."""
    return None if settings.task is None else TaskRunner(settings.task, settings, responder)


def _run_of(prepared: PreparedPrompt, row: int) -> str:
    """What the calls for a row are known by: the prompt, and the position of the row."""
    text = repr((prepared.identity, prepared.sample, row))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _response_of(returned: Any) -> Response:
    """What a task returned as a response."""
    if isinstance(returned, Response):
        known = returned.error is None or kind_of(returned.error) in FAULTS
        return returned if known else replace(returned, error=f"task: {returned.error}")
    if isinstance(returned, str):
        return Response(text=whole_characters(returned), attempts=0)
    what = "nothing" if returned is None else named(returned)
    return Response(error=f"task_answer: the task returned {what}, and not a text or a response of call", attempts=0)
