"""Stored rows as frozen records, for all rooms: without SQLAlchemy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prompt_search._json import storable
from prompt_search.budget import Spending
from prompt_search.llm.messages import Request, Response
from prompt_search.storage.summary import Summary

Columns = dict[str, list[Any]]
"""A table as lists of equal length by column name."""

USAGE_FIELDS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
"""The fields of a response's usage that tables show as they are."""

RESPONSE_FIELDS = ("text", "error", "latency_s", "cost_usd", "finish_reason", "batch_discount")
"""The fields of a response that tables show as they are."""


PROPOSER = "proposer"
"""The role of calls that ask for new options."""

JUDGE = "judge"
"""The role of calls that ask a judge about an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that a study used: paid for (``attempts`` > 0) or answered from the storage (0).

    ``role`` is the purpose of the call, ``budget`` the number of the study's budget that it belongs to. ``tokens`` and
    ``usd`` are what it counts in the ledger, which is more than the response says where answers were lost; ``usd`` is
    None where it is unknown.
    """

    key: str
    number: int
    split: str
    attempts: int
    response: Response
    role: str = "task"
    budget: int = 0
    tokens: int = 0
    usd: float | None = None

    @property
    def cut_short(self) -> bool:
        """Whether the budget ended between two attempts, so that another run may go on trying."""
        return (self.response.error or "").startswith("budget")

    @property
    def spending(self) -> Spending:
        """The spending that the call counts; where another study paid for it, as many calls as the response took."""
        usd = math.nan if self.usd is None else self.usd
        return Spending(calls=self.attempts or self.response.attempts, tokens=self.tokens, usd=usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A call that is to be stored, with its request."""

    study: str
    key: str
    request: Request
    response: Response
    split: str
    number: int
    paid: bool
    spending: Spending
    role: str = "task"
    budget: int = 0

    @property
    def row(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "key": self.key,
            "number": self.number,
            "split": self.split,
            "attempts": self.response.attempts if self.paid else 0,
            "failure": storable(self.response.to_json()) if self.response.error else None,
            "role": self.role,
            "budget": self.budget,
            "tokens": self.spending.tokens,
            "usd": none_if_nan(self.spending.usd),
        }


FailedCall = tuple[str, int, str, str, int, str]
"""A failed call that a finished version keeps: key, number, role, split, attempts, and the failure as text."""

IN_FLIGHT, LOST, TAKEN_OVER = "in flight", "lost", "taken over"
"""What a request that was sent is, as long as its answer is not stored: its study's owner waits for it; the owner's
process has ended; or the owner was taken over while its process may go on, so that it counts against the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that is about to be sent, with what its attempts can use at most.

    ``owner`` is the lease under which it is sent, ``budget`` the number of the study's budget that it belongs to.
    """

    study: str
    key: str
    owner: str
    budget: int
    most: Spending

    @property
    def row(self) -> dict[str, Any]:
        of = {"study": self.study, "key": self.key, "budget": self.budget, "state": IN_FLIGHT}
        return {**of, "attempts": self.most.calls, "tokens": self.most.tokens, "usd": self.most.usd}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch of requests that a server may be working on; it is written before anything is sent.

    Attributes:
        name: a name that no other batch has.
        study: name of the study that it is sent for.
        endpoint, model: what answers it.
        created: seconds since 1970 when it was written.
        keys: the keys of its requests.
        file: the server's identifier of its input file; None before the upload.
        batch: the server's identifier of the batch; None until that is known.
    """

    name: str
    study: str
    endpoint: str
    model: str
    created: float
    keys: tuple[str, ...]
    file: str | None = None
    batch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """The stored responses of one model: their number, the number that stored studies need, and their size with the
    requests."""

    endpoint: str
    model: str
    responses: int
    needed: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result of looking requests up: calls that the study made, and responses that other studies paid for."""

    calls: dict[str, Call]
    responses: dict[str, Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One candidate: its choices as text by name, the fields of its `Prompt`, and how its trial ended.

    In a finished study ``estimate`` is the surrogate's expectation of the true score, and ``uncertainty`` the standard
    deviation of the difference to the winner; both are None where the trial has no score. ``shown`` has the rows that
    the prompt shows as examples, in a study that asked about its pool.
    """

    trial: int
    state: str
    reason: str
    choices: Mapping[str, str]
    positions: Mapping[str, int]
    prompt: Mapping[str, Any]
    text: str
    estimate: float | None = None
    uncertainty: float | None = None
    shown: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge answered to one request about an answer.

    Attributes:
        key: the key of the request.
        swapped: whether the scale, or the two answers, were shown in the other order.
        score: the score of the rating; for two answers, of the judged one. None without a rating.
        level: the rating in the judge's words.
        weighted: whether the score is the expected one by the probabilities of the levels.
        error: why there is no rating.
    """

    key: str
    swapped: bool
    score: float | None
    level: str = ""
    weighted: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCalls:
    """The requests that a task made for a row.

    Attributes:
        run: a digest of the prompt and the row.
        keys: the keys of the requests that were answered or failed, in the order in which they were made.
    """

    run: str
    keys: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRecord:
    """One candidate on one row; ``score`` is None where the request failed and that is not the prompt's fault.
    ``judgements`` has what a judge answered, where one scored the answer, and ``calls`` the requests of
    the row, where a task made them."""

    trial: int
    row: int
    split: str
    key: str
    answer: Any
    target: Any
    score: float | None
    explanation: str
    unparsed: bool
    error: str | None
    cached: bool
    ambiguous: bool = False
    judgements: list[Judgement] = field(default_factory=list)
    calls: TaskCalls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRecord:
    """A text that a proposer gave for a choice, or a request that gave none.

    Attributes:
        choice: the name of the choice.
        operator: the name of the operator that made the request.
        parents: positions of the options that the request started from, best first.
        wave: number of the requests, from 0, that were made at the same time as this one.
        trial: number of the trial whose prompt and answers the request showed; -1 for one of an earlier version.
        rows: the rows that the request showed.
        aside: the rows that no candidate with this option is scored on, those of its parents included.
        text: the option; empty where the request gave none.
        option: the position of the option in its choice; None where it was not accepted.
        reason: why it was not accepted.
        key: the key of the request; empty where none was sent.
    """

    choice: str
    operator: str
    parents: tuple[int, ...]
    wave: int
    trial: int
    rows: tuple[int, ...]
    aside: tuple[int, ...]
    text: str
    option: int | None
    reason: str
    key: str

    @property
    def accepted(self) -> bool:
        """Whether it is an option now."""
        return self.option is not None

    @property
    def position(self) -> int:
        """The position of an option that was accepted."""
        assert self.option is not None
        return self.option


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAnswer:
    """How the model itself answered a row of the pool of shots.

    Attributes:
        position: its position in the pool.
        row: its position in the data.
        right: whether it was answered rightly; None where that cannot be said: the request failed, the budget left no
            room for it, or its score is neither high nor low.
        reasoning: what the model wrote before the right answer.
    """

    position: int
    row: int
    right: bool | None
    reasoning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAnswers:
    """How the model itself answered the pool of shots of a study.

    Attributes:
        budget: the number of the study's budget that the calls belong to.
        answers: the rows that it was asked about.
    """

    budget: int
    answers: list[PoolAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord:
    """The score that a user's own metric gave to an answer; ``key`` says which answer to which row."""

    study: str
    key: str
    value: float
    explanation: str = ""
    margin: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One result of a study: what one line of settings (``study.run(budget, ...)``) came to.

    Attributes:
        study: the study's name.
        number: 1 for the first result, and one more for each that was begun later.
        owner: the lease under which it is written; None where nobody else can write it.
    """

    study: str
    number: int = 1
    owner: str | None = None

    @property
    def label(self) -> str:
        """The name by which the result is found: that of the study, with the version where it is not the first.

        >>> Version(study="tickets").label, Version(study="tickets", number=2).label
        ('tickets', 'tickets@2')
        """
        return self.study if self.number == 1 else f"{self.study}@{self.number}"


def split_label(label: str) -> tuple[str, int | None]:
    """The study and the number in the label of a version; the number is None where the label has none.

    >>> split_label("tickets@2"), split_label("tickets")
    (('tickets', 2), ('tickets', None))
    """
    study, _, number = label.rpartition("@")
    return (study, int(number)) if study and number.isdecimal() else (label, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A stored study with one of its results: its settings (``identity``), and once it ended its outcome
    (``summary``)."""

    study: str
    created: float
    identity: Mapping[str, Any]
    version: Version
    summary: Summary | None = None


def messages_in(request: str) -> list[tuple[str, str]]:
    """Role and content of each message of a stored request; calls of tools are a part of the content."""
    return [(message["role"], _content(message)) for message in json.loads(request)["messages"]]


def _content(message: Mapping[str, Any]) -> str:
    asked = [each["function"] for each in message.get("tool_calls") or ()]
    calls = [f"{each['name']}({each['arguments']})" for each in asked]
    return "\n".join([message["content"], *calls] if message["content"] else calls)


def none_if_nan(value: float) -> float | None:
    """JSON has no NaN: unknown is null there."""
    return None if math.isnan(value) else value
