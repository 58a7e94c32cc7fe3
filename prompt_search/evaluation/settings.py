"""What scoring prompts on rows depends on, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from prompt_search.budget import Ledger
from prompt_search.data.rows import Row
from prompt_search.llm.messages import Response
from prompt_search.llm.model import known_secrets
from prompt_search.metrics.base import Metric
from prompt_search.prompts.requests.task import Task
from prompt_search.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """Settings of an `Evaluator`, apart from the clients that it sends with.

    Attributes:
        study: name under which the store keeps the calls.
        rows: all rows of the data, by position.
        metric: see `prompt_search.metrics`.
        store: where responses are looked up, and saved before they count.
        ledger: where each request is reserved before it is sent, and settled afterwards.
        max_concurrency: requests to one model that are in flight, or answered and not saved yet: what a crash can
            lose.
        owner: owner of the lease that claims on requests belong to; None where nobody else uses the store.
        budget: number of the study's budget that calls count against.
        paid_before: keys of the requests that earlier budgets of the study paid for, and that are free now.
        tracks_price: whether `Evaluator.price` is called. If not, only the request keys of the last two batches are
            kept, so that memory does not grow with the rows.
        on_refusal: what follows where a server refuses a feature of requests.

            - ``close``: the candidates that have it are not sent.
            - ``change``: requests do without it; the run ends where that is not possible.
            - ``ignore``: nothing, because nothing is sent.
        keeps_scores: whether the scores of a user's own metric are stored, and read back.
        ends_unread: whether the run ends when no answer can be read (`UnreadLimit`).
        batch: whether requests are sent in batches, see `prompt_search.evaluation.batches.sender`.
        on_batches: called with the batches that are open, each in a few words, when something is new of them.
        on_response: called after every response, with whether it cost nothing in this run.
        seed: for the random part of the waits between attempts.
        task: a user's own program, which answers the rows; None: one request for each row.
        secrets: gives the keys and passwords that no message may hold.
        task_calls: the calls of the task in an earlier version of the study: keys by `TaskCalls.run`.
    """

    study: str
    rows: Sequence[Row]
    metric: Metric
    store: Store
    ledger: Ledger
    max_concurrency: int = 16
    owner: str | None = None
    budget: int = 0
    paid_before: Set[str] = frozenset()
    tracks_price: bool = True
    on_refusal: Literal["close", "change", "ignore"] = "change"
    retry_errors: bool = False
    keeps_scores: bool = False
    ends_unread: bool = True
    batch: bool = False
    on_batches: Callable[[Sequence[str]], None] = lambda batches: None
    on_response: Callable[[Response, bool], None] | None = None
    seed: int = 0
    task: Task | None = None
    task_calls: Mapping[str, Sequence[str]] = field(default_factory=dict)
    secrets: Callable[[], Sequence[str]] = known_secrets
