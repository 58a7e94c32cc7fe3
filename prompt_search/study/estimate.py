"""What a run will take, before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prompt_search import _html
from prompt_search.budget import ANSWER_LIMITS, Budget, CostOf, most_used
from prompt_search.llm.messages import Request, Usage
from prompt_search.storage.records import Call

BYTES_PER_TOKEN = 4.0
"""Of English text, roughly; other scripts and numbers take more tokens."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run is expected to take in all; NaN where nothing tells.

    Attributes:
        study: its name.
        calls, tokens, usd, seconds: of the whole run, sealed test included, as far as the budget allows.
        stored: how many of the study's calls are stored already, and cost nothing more; they are among ``calls``.
        prompt_tokens, completion_tokens, latency_s: means for a request.
        basis: what the means rest on, in words.
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
    def _lines(self) -> list[tuple[str, str]]:
        stored = f", {self.stored:,} of them stored already" if self.stored else ""
        return [
            ("calls", f"{self.calls:,}{stored}"),
            ("tokens", _known(self.tokens, ",.0f")),
            ("US dollars", _known(self.usd, ",.4f")),
            ("seconds", _known(self.seconds, ",.0f")),
            ("a request", f"{self.prompt_tokens:,.0f} + {self.completion_tokens:,.0f} tokens"),
            ("this rests on", self.basis),
        ]

    def __repr__(self) -> str:
        return "\n".join([f"estimate for {self.study!r}:", *(f"  {name:<15}{text}" for name, text in self._lines)])

    def _repr_html_(self) -> str:
        return _html.block(_html.table(f"estimate for {self.study}", ("estimated", "value"), self._lines))


def estimated(
    study: str,
    budget: Budget,
    *,
    most_calls: float,
    requests: Sequence[Request],
    calls: Mapping[str, Call],
    stored: int,
    in_flight: int,
    price: CostOf,
) -> Estimate:
    """An estimate from what is known.

    Args:
        study: its name.
        budget: what may be spent.
        most_calls: how many requests the study has in all.
        requests: some that it would send.
        calls: stored ones of the study or its preflight.
        stored: how many calls of the study are stored.
        in_flight: requests at a time.
        price: of a request.
    """
    known = [call.response for call in calls.values() if call.response.usage.prompt_tokens is not None]
    if known:
        prompt = _mean([response.usage.prompt_tokens or 0 for response in known])
        completion = _mean([response.usage.completion_tokens or 0 for response in known])
        latency = _mean([response.latency_s for response in known if not math.isnan(response.latency_s)])
        basis = f"{len(known):,} stored responses of this study or its preflight"
    else:
        sizes = [sum(len(message.content.encode("utf-8", "surrogatepass")) for message in r.messages) for r in requests]
        bounds = [bound.completion_tokens or 0 for bound in map(most_used, requests) if bound is not None]
        prompt = _mean(sizes) / BYTES_PER_TOKEN
        completion = _mean(bounds) if len(bounds) == len(requests) else math.nan
        latency = math.nan
        answers = "the most tokens that an answer may take" if bounds else f"no bound of answers ({ANSWER_LIMITS[-1]})"
        basis = f"{len(requests):,} rendered prompts at {BYTES_PER_TOKEN:g} bytes a token, and {answers}"
    each = prompt + completion
    cost = math.nan
    if not math.isnan(each):
        usage = Usage(prompt_tokens=round(1000 * prompt), completion_tokens=round(1000 * completion))
        cost = price(requests[0], usage) / 1000
    limits = [most_calls]
    rates = {"calls": 1.0, "tokens": each, "usd": cost, "seconds": latency / in_flight}
    limits += [limit / rates[name] for name, limit in budget.limits.items() if rates[name] > 0]
    count = int(min(limits))
    return Estimate(
        study=study,
        calls=count,
        tokens=count * each,
        usd=count * cost,
        seconds=count * latency / in_flight,
        stored=min(stored, count),
        prompt_tokens=prompt,
        completion_tokens=completion,
        latency_s=latency,
        basis=basis,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _known(value: float, form: str) -> str:
    return "unknown" if math.isnan(value) else format(value, form)
