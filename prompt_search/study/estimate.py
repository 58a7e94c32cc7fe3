"""What a run is expected to take, before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from prompt_search import _html
from prompt_search.budget import Budget, most_used
from prompt_search.llm.messages import Request, Response, Usage
from prompt_search.results.frames import mean_of
from prompt_search.search.settings import BATCH_ROWS
from prompt_search.storage.database import sqlite_file
from prompt_search.storage.store import Store
from prompt_search.study import preflight, wording
from prompt_search.study.plan import StudyPlan
from prompt_search.study.run import RunOptions, stored_settings


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The expected use of a whole run: calls, tokens, US dollars and seconds; NaN where it is unknown.

    Attributes:
        study: the study's name.
        calls, tokens, usd, seconds: totals of the whole run, test included, at most the budget.
        stored: number of these calls whose response is cached, so that they cost nothing.
        prompt_tokens, completion_tokens, latency_s: means per request; the latency in seconds.
        basis: the data that the means are based on, in words.
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

    @property
    def _lines(self) -> wording.Lines:
        return wording.estimate_lines(
            calls=self.calls,
            stored=self.stored,
            tokens=self.tokens,
            usd=self.usd,
            seconds=self.seconds,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            basis=self.basis,
        )

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
    space = plan.prompts.space
    plan.check_budget(budget)
    prepared_prompts = [plan.prompts.prepared(candidate) for candidate in plan.first_candidates]
    rows = [plan.data.rows[row] for row in plan.search_rows[:BATCH_ROWS]]
    requests = [prepared.requests(row)[-1] for prepared in prepared_prompts for row in rows]
    requests_per_row = max(len(prepared.requests(rows[0])) for prepared in prepared_prompts)
    jobs = space.size()[0] * len(plan.search_rows) + plan.max_tested * len(plan.test_rows)
    path = sqlite_file(plan.settings.storage) if plan.settings.storage else None
    missing = path is not None and path.parent.is_dir() and not path.exists()  # then nothing is stored
    store = Store("sqlite://" if missing else plan.settings.storage or "sqlite://")
    try:
        own = store.calls(plan.name)
        known = own or store.calls(preflight.NAME.format(plan.name))
        finished = store.finished_version(plan.name, stored_settings(budget, RunOptions())) is not None
    finally:
        store.close()
    answered = [call.response for call in known.values() if call.response.usage.prompt_tokens is not None]
    means = _from_responses(answered) if answered else _from_prompts(requests)
    usd_per_call = _usd(plan, requests[0], means)
    seconds_per_call = means.latency_s / plan.settings.max_concurrency
    rates = {"calls": 1.0, "tokens": means.tokens, "usd": usd_per_call, "seconds": seconds_per_call}
    limits = [limit / rates[name] for name, limit in budget.limits.items() if rates[name] > 0]
    spent = sum(call.spending.calls for call in own.values())
    calls = int(min([requests_per_row * jobs, *limits, *([spent] if finished else [])]))
    return Estimate(
        study=plan.name,
        calls=calls,
        tokens=calls * means.tokens,
        usd=calls * usd_per_call,
        seconds=calls * seconds_per_call,
        stored=min(spent, calls),
        prompt_tokens=means.prompt_tokens,
        completion_tokens=means.completion_tokens,
        latency_s=means.latency_s,
        basis=means.basis,
    )


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
        prompt_tokens=mean_of(sizes) / wording.BYTES_PER_TOKEN,
        completion_tokens=mean_of(bounds) if len(bounds) == len(requests) else math.nan,
        latency_s=math.nan,
        basis=wording.rendered_basis(len(requests), bounded=bool(bounds)),
    )


def _usd(plan: StudyPlan, request: Request, means: _RequestMeans) -> float:
    """US dollars per call; NaN where tokens or prices are unknown."""
    if math.isnan(means.tokens):
        return math.nan
    usage = Usage(
        prompt_tokens=round(1000 * means.prompt_tokens), completion_tokens=round(1000 * means.completion_tokens)
    )
    return plan.price(request, usage) / 1000
