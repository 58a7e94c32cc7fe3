"""What a run is expected to take, before anything is spent."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from prompt_search import _html
from prompt_search.budget import Budget, most_used
from prompt_search.budget.bounds import is_known
from prompt_search.data.rows import Row
from prompt_search.evaluation.task_runs.row_calls import RowCalls
from prompt_search.llm.messages import Request, Response, Usage
from prompt_search.results.frames import mean_of
from prompt_search.search.settings import BATCH_ROWS
from prompt_search.storage.database import sqlite_file
from prompt_search.storage.records import JUDGE, PROPOSER
from prompt_search.storage.store import Store
from prompt_search.study import preflight
from prompt_search.study.costs import wording
from prompt_search.study.costs.batches import discount_of
from prompt_search.study.costs.judge_share import JudgeShare
from prompt_search.study.costs.proposal_bound import ProposalBound, proposal_bounds, spent_on_proposals
from prompt_search.study.costs.tokens import BYTES_PER_TOKEN
from prompt_search.study.plan import StudyPlan
from prompt_search.study.run import RunOptions, stored_settings
from prompt_search.study.shots.bootstrap import rows_asked
from prompt_search.study.shots.wording import asked_line


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The expected use of a whole run: calls, tokens, US dollars and seconds; NaN where it is unknown.

    Attributes:
        study: the study's name.
        calls, tokens, usd, seconds: totals of the whole run, test included, at most the budget.
        stored: number of these calls whose response is cached, so that they cost nothing.
        prompt_tokens, completion_tokens, latency_s: means per request, without proposals; the latency in seconds.
        basis: the data that the means are based on, in words.
        proposals: the most that a proposer takes of the totals; None where nothing is proposed.
        pool_calls: number of the calls, at most, that ask about the pool of shots before the search.
        discount: share of the price that batches take off, already taken off ``usd``; None without batches.
        judge: what a judge takes of the totals; None where the metric is none.
    """

    study: str
    calls: int
    tokens: float
    usd: float
    seconds: float
    stored: int
    prompt_tokens: float
    completion_tokens: float
    latency_s: float
    basis: str
    proposals: ProposalBound | None = None
    pool_calls: int = 0
    discount: float | None = None
    judge: JudgeShare | None = None

    @property
    def _lines(self) -> wording.Lines:
        calls, *others = wording.estimate_lines(
            calls=self.calls,
            stored=self.stored,
            tokens=self.tokens,
            usd=self.usd,
            seconds=self.seconds,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            basis=self.basis,
            proposals=self.proposals,
            discount=self.discount,
        )
        judged = [] if self.judge is None else [("judge", wording.judge_text(self.judge))]
        return [calls, *judged, *([asked_line(self.pool_calls)] if self.pool_calls else []), *others]

    def __repr__(self) -> str:
        return "\n".join([f"estimate for {self.study!r}:", *(f"  {name:<15}{text}" for name, text in self._lines)])

    def _repr_html_(self) -> str:
        return _html.block(_html.table(f"estimate for {self.study}", ("estimated", "value"), self._lines))


@dataclass(frozen=True, kw_only=True)
class _RequestMeans:
    """Means per request, and what they are made of."""

    prompt_tokens: float
    completion_tokens: float
    latency_s: float
    basis: str

    @property
    def tokens(self) -> float:
        return self.prompt_tokens + self.completion_tokens


def estimate(plan: StudyPlan, budget: Budget) -> Estimate:
    """Estimate what a run with this budget takes; see `Study.estimate`."""
    plan.check_budget(budget)
    prepared_prompts = [plan.prompts.prepared(candidate) for candidate in plan.first_candidates]
    rows = [plan.data.rows[row] for row in plan.search_rows[:BATCH_ROWS]]
    requests = [prepared.requests(row)[-1] for prepared in prepared_prompts for row in rows]
    stored = _stored(plan, budget)
    means = _from_responses(stored.responses) if stored.responses else _from_prompts(requests)
    task = _per_call(plan, requests[0], means)
    judged = _judge_call(plan, rows[0], stored)
    per_row = plan.calls_per_row(_counted(plan, stored))
    each = task if plan.judge is None or judged is None else _mixed(task, judged, plan.judge.calls / per_row)
    jobs = plan.prompts.space.size()[0] * len(plan.search_rows) + plan.max_tested * len(plan.test_rows)
    most = (max(len(prepared.requests(rows[0])) for prepared in prepared_prompts) + per_row - 1) * jobs
    calls, proposals = _calls(plan, budget, each, int(most))
    if stored.finished:
        calls, proposals = min(calls, stored.spent), stored.proposals
    total = _totals(calls, each, proposals)
    own = calls - (0 if proposals is None else proposals.calls)
    return Estimate(
        study=plan.name,
        calls=calls,
        tokens=min(total["tokens"], budget.tokens or math.inf),
        usd=min(total["usd"], budget.usd or math.inf),
        seconds=total["seconds"],
        stored=min(stored.spent, calls),
        prompt_tokens=means.prompt_tokens,
        completion_tokens=means.completion_tokens,
        latency_s=means.latency_s,
        basis="; ".join([means.basis, *_calls_basis(plan, stored)]),
        proposals=proposals,
        pool_calls=rows_asked(plan, plan.search_calls(calls, plan.max_tested)),
        discount=discount_of(plan),
        judge=None if plan.judge is None or judged is None else JudgeShare.of(plan.judge, own, per_row, judged),
    )


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """What a storage knows of a study: whether it has ended with these settings and this budget, the calls that it has
    spent, those of its proposer, the responses to prompts, those of its judge, and the numbers of calls that a task
    made for rows."""

    finished: bool
    spent: int
    proposals: ProposalBound | None
    responses: Sequence[Response]
    judged: Sequence[Response]
    row_calls: Sequence[int]


def _stored(plan: StudyPlan, budget: Budget) -> _Stored:
    path = sqlite_file(plan.settings.storage) if plan.settings.storage else None
    missing = path is not None and path.parent.is_dir() and not path.exists()  # then nothing is stored
    store = Store("sqlite://" if missing else plan.settings.storage or "sqlite://")
    try:
        own = store.calls(plan.name)
        known = own or store.calls(preflight.NAME.format(plan.name))
        same = bool(own) and store.study_records.has_settings(plan.name, plan.identity())
        samples = store.samples(store.study(plan.name).version) if same and plan.task is not None else []
        finished = same and store.finished_version(plan.name, stored_settings(budget, RunOptions())) is not None
    finally:
        store.close()
    if not same:  # another proposer, or one that is shown other prompts, sends other requests
        own = {key: call for key, call in own.items() if call.role != PROPOSER}
    counted = {
        role: [call.response for call in known.values() if call.role == role and is_known(call.response.usage)]
        for role in {call.role for call in known.values()}
    }
    return _Stored(
        finished=finished,
        spent=sum(call.spending.calls for call in own.values()),
        proposals=spent_on_proposals(plan, own.values()),
        responses=[each for role, found in counted.items() if role not in (PROPOSER, JUDGE) for each in found],
        judged=counted.get(JUDGE, []),
        row_calls=[len(each.calls.keys) for each in samples if each.calls is not None],
    )


def _calls(plan: StudyPlan, budget: Budget, each: Mapping[str, float], jobs: int) -> tuple[int, ProposalBound | None]:
    """The calls that a budget allows, and the most of them that are proposals.

    Args:
        plan: the study.
        budget: the budget.
        each: what a call takes that is no proposal.
        jobs: the calls that ask everything there is to ask, unless the space grows.
    """
    bound = proposal_bounds(plan)
    limits = [limit / each[name] for name, limit in budget.limits.items() if each[name] > 0]
    if bound is None:
        return int(min([jobs, *limits])), None

    def is_beyond(calls: int) -> bool:
        total = _totals(calls, each, bound(calls))
        return any(total[name] > limit for name, limit in budget.limits.items())

    most = int(min(limits, default=jobs))
    calls = bisect_left(range(most + 1), True, key=is_beyond) - 1  # a request of a proposer takes more than another one
    return calls, bound(calls)


def _totals(calls: int, each: Mapping[str, float], proposals: ProposalBound | None) -> dict[str, float]:
    """What calls take in all, those for proposals among them."""
    if proposals is None or not proposals.calls:
        return {name: calls * value for name, value in each.items()}
    others = calls - proposals.calls
    total = {name: others * value for name, value in each.items()}
    return {
        **total,
        "calls": float(calls),
        "tokens": total["tokens"] + proposals.tokens,
        "usd": total["usd"] + proposals.usd,
        "seconds": calls * each["seconds"],
    }


def _from_responses(responses: Collection[Response]) -> _RequestMeans:
    """Means of stored responses."""
    return _RequestMeans(
        prompt_tokens=mean_of([response.usage.prompt_tokens or 0 for response in responses]),
        completion_tokens=mean_of([response.usage.completion_tokens or 0 for response in responses]),
        latency_s=mean_of([response.latency_s for response in responses if not math.isnan(response.latency_s)]),
        basis=wording.stored_basis(len(responses)),
    )


def _from_prompts(requests: Sequence[Request]) -> _RequestMeans:
    """Means of rendered prompts by their size, with answers as long as they may be."""
    sizes = [sum(len(message.content.encode("utf-8", "surrogatepass")) for message in r.messages) for r in requests]
    bounds = [bound.completion_tokens or 0 for bound in map(most_used, requests) if bound is not None]
    return _RequestMeans(
        prompt_tokens=mean_of(sizes) / BYTES_PER_TOKEN,
        completion_tokens=mean_of(bounds) if len(bounds) == len(requests) else math.nan,
        latency_s=math.nan,
        basis=wording.rendered_basis(len(requests), bounded=bool(bounds)),
    )


def _per_call(plan: StudyPlan, request: Request, means: _RequestMeans) -> dict[str, float]:
    """What a call such as this one takes on average."""
    seconds = math.nan if plan.settings.batch else means.latency_s / plan.settings.max_concurrency
    return {"calls": 1.0, "tokens": means.tokens, "usd": _usd(plan, request, means), "seconds": seconds}


def _judge_call(plan: StudyPlan, row: Row, stored: _Stored) -> dict[str, float] | None:
    """What a call of the judge takes on average; None without one. Before it was asked, an answer is taken to be as
    long as the right one."""
    if plan.judge is None:
        return None
    requests = [request for request, _ in plan.judge.requests(row.target, row)]
    return _per_call(plan, requests[0], _from_responses(stored.judged) if stored.judged else _from_prompts(requests))


def _counted(plan: StudyPlan, stored: _Stored) -> RowCalls | None:
    """The calls of a row as rows of the study have shown them; None where none has, or there is no task."""
    if plan.task is None or not stored.row_calls:
        return None
    counted = RowCalls(plan.task.calls)
    for calls in stored.row_calls:
        counted.add(calls)
    counted.update()
    return counted


def _calls_basis(plan: StudyPlan, stored: _Stored) -> list[str]:
    """What the number of calls for a row is based on; nothing without a task."""
    if plan.task is None:
        return []
    counted = _counted(plan, stored)
    return [wording.task_basis(plan.task.calls if counted is None else counted.mean, len(stored.row_calls))]


def _mixed(task: Mapping[str, float], judged: Mapping[str, float], share: float) -> dict[str, float]:
    """What a call takes on average, where such a share of the calls are the judge's."""
    return {name: (1 - share) * task[name] + share * judged[name] for name in task}


def _usd(plan: StudyPlan, request: Request, means: _RequestMeans) -> float:
    """US dollars per call; NaN where tokens or prices are unknown."""
    if math.isnan(means.tokens):
        return math.nan
    usage = Usage(
        prompt_tokens=round(1000 * means.prompt_tokens), completion_tokens=round(1000 * means.completion_tokens)
    )
    return plan.price(request, usage) / 1000 * (1 - (discount_of(plan) or 0.0))
