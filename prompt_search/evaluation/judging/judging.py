"""Asks a judge about answers, through the same budget, storage and limits as all requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prompt_search.data.rows import Row
from prompt_search.errors import RequestRefused
from prompt_search.evaluation.failure_limit import UnratedLimit
from prompt_search.evaluation.judging.judge import LOGPROBS, Judge
from prompt_search.evaluation.judging.reading import Rating, Unrated, read_rating
from prompt_search.evaluation.responder import Answered, RefusedFeature, Responder, Use
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.dialect.dialect import Dialect, Refusal
from prompt_search.llm.dialect.features import SYSTEM_ROLE
from prompt_search.llm.failures import fault_of, kind_of
from prompt_search.llm.messages import Message, Request
from prompt_search.storage.records import JUDGE, Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of judging an answer.

    Attributes:
        judgements: one for each request.
        reason: why, in the judge's words.
        lost: the key of a request that failed on the road, and its error; None where none did.
    """

    judgements: tuple[Judgement, ...]
    reason: str = ""
    lost: tuple[str, str] | None = None

    @property
    def score(self) -> float | None:
        """The mean of the scores; None where no judgement has one, or one of the two orders has none."""
        scores = [each.score for each in self.judgements if each.score is not None]
        return sum(scores) / len(scores) if scores and self.error is None else None

    @property
    def error(self) -> str | None:
        """Why there is no score: the first error, unless other repeats have ratings."""
        if self.lost is not None:
            return self.lost[1]
        return next((each.error for each in self.judgements if each.error is not None), None) if self._lacks else None

    @property
    def _lacks(self) -> bool:
        return all(each.score is None for each in self.judgements)


class Judging:
    """Asks a judge.

    Args:
        judge: the judge.
        responder: gets the response to each request.
        settings: of the evaluator whose answers are judged.
    """

    def __init__(self, judge: Judge, responder: Responder, settings: EvaluationSettings) -> None:
        self.judge = judge
        self._responder = responder
        self._limit = UnratedLimit(judge.model.name) if settings.ends_unread else None
        self._paid_before = settings.paid_before
        self._seen: set[str] = set()
        """Keys of the requests whose answers it was asked about."""

    def calls_due(self, key: str) -> int:
        """The number of calls, at most, that the answer to a request takes."""
        return 0 if key in self._seen or key in self._paid_before else self.judge.calls

    async def judged(self, answer: Any, row: Row, split: str, key: str = "") -> Judged:
        """What the judge says of an answer; equal requests are sent once in a study.

        Args:
            answer: the answer.
            row: its row.
            split: what the answer is used for.
            key: the key of the request that was answered.

        Raises:
            BudgetExceeded: the budget has no room for a request.
            RunError: nothing is answered any more, or no answer of the judge can be read.
        """
        self._seen.add(key)
        judgements: list[Judgement] = []
        reasons: list[str] = []
        use = Use(prompt=self.judge.source, split=split, role=JUDGE, evades=True)
        for request, swapped in self.judge.requests(answer, row):
            found = await self._answered(request, use)
            error = found.response.error
            if error is not None and fault_of(error) == "road":
                return Judged(judgements=tuple(judgements), lost=(found.key, _of_judge(error, self.judge)))
            judgement, reason = self._read(found, swapped=swapped)
            judgements.append(judgement)
            reasons += [reason] * bool(reason)
        found_scores = self._complete(judgements)
        return Judged(judgements=found_scores, reason=reasons[0] if reasons else "")

    def _complete(self, judgements: Sequence[Judgement]) -> tuple[Judgement, ...]:
        """The judgements, where of two orders both count or none: one alone would prefer a place."""
        if not self.judge.is_pairwise:
            return tuple(judgements)
        kept: list[Judgement] = []
        for first, second in zip(judgements[::2], judgements[1::2], strict=True):
            whole = first.score is not None and second.score is not None
            kept += [first, second] if whole else [replace(each, score=None) for each in (first, second)]
        return tuple(kept)

    def _read(self, found: Answered, *, swapped: bool) -> tuple[Judgement, str]:
        """The judgement of a response, and the reason that it gives."""
        judge, error = self.judge, found.response.error
        if error is not None:
            empty = kind_of(error) == "empty"
            read: Rating | Unrated = Unrated(f"{'judge_empty' if empty else 'judge_refused'}: {error}")
        else:
            read = read_rating(judge.scale, found.response, weighted=judge.weighted)
        if self._limit is not None:
            self._limit.check(None if isinstance(read, Rating) else read.error)
        if isinstance(read, Unrated):
            return Judgement(key=found.key, swapped=swapped, score=None, error=read.error), ""
        score = 1 - read.score if judge.is_pairwise and swapped else read.score
        made = Judgement(key=found.key, swapped=swapped, score=score, level=read.level, weighted=read.weighted)
        return made, read.reason

    async def _answered(self, request: Request, use: Use) -> Answered:
        """The response to a request, which does without what the judge's server refuses.

        Raises:
            RequestRefused: the server refuses what the judge cannot do without.
        """
        dialect = self._responder.dialects.of(request.endpoint, request.model)
        while True:
            sent = dialect.applied(request)
            refusal = dialect.refusal(sent)
            if refusal is not None:
                request = self._evaded(request, dialect, refusal)
                continue
            key = sent.key  # which takes as long to compute as the request
            try:
                async with self._responder.batch_of([key]) as batch:
                    found = await self._responder.respond(sent, key, use, batch)
            except RefusedFeature:
                continue
            if found.response.error is None or fault_of(found.response.error) != "option":
                return found

    def _evaded(self, request: Request, dialect: Dialect, refusal: Refusal) -> Request:
        """The request without what the server refuses of it.

        Raises:
            RequestRefused: it cannot do without.
        """
        if refusal.feature == SYSTEM_ROLE:
            return replace(request, messages=_without_system(request.messages))
        plain = {name: value for name, value in request.parameters.items() if name not in LOGPROBS}
        if "logprobs" in refusal.feature and len(plain) < len(request.parameters):
            if not self.judge.weighted:
                return replace(request, parameters=plain)
        elif dialect.evade(dialect.applied(request)):
            return request
        cure = "leave out weighted=True" if "logprobs" in refusal.feature else refusal.cure
        raise RequestRefused(f"the judge {self.judge.model.name}: {refusal}; {cure}")


def judging_of(settings: EvaluationSettings, responder: Responder) -> Judging | None:
    """What asks the judge of an evaluator; None where its metric is none."""
    return Judging(settings.metric, responder, settings) if isinstance(settings.metric, Judge) else None


def _without_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Messages whose system messages are the beginning of the first other one."""
    before = [each.content for each in messages if each.role == "system"]
    first, *others = [each for each in messages if each.role != "system"] or [Message("user", "")]
    return (Message(first.role, "\n\n".join([*before, first.content]).strip()), *others)


def _of_judge(error: str, judge: Judge) -> str:
    kind, _, explanation = error.partition(":")
    return f"{kind}: of the judge {judge.model.name}: {explanation.strip()}"
