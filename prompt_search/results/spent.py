"""What a study used of its budget: sums, and sentences made from values alone."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from prompt_search import _numbers
from prompt_search.budget.spending import NOTHING, Spending


def totals(ledger: pd.DataFrame) -> tuple[int, float | None, float | None]:
    """The calls, tokens and US dollars of a `tables.ledger_frame` in all, but those lost; None where unknown."""
    ledger = ledger[ledger["role"] != "lost"]
    tokens = [ledger[name].sum(skipna=False) for name in ("prompt_tokens", "completion_tokens")]
    calls, usd = int(ledger["calls"].sum()), ledger["cost_usd"].sum(skipna=False)
    known = len(ledger) > 0
    return (
        calls,
        float(sum(tokens)) if known and not any(map(pd.isna, tokens)) else None,
        float(usd) if known and not pd.isna(usd) else None,
    )


def spent_so_far(calls: int, tokens: float | None, usd: float | None, lost: Spending = NOTHING) -> str:
    """What an unfinished study has used."""
    return f"{calls:,} calls so far ({_numbers.tokens(tokens)}, {_numbers.dollars(usd)}){lost_text(lost)}."


def lost_text(lost: Spending) -> str:
    """What was sent and never stored, after what was used; empty where that is nothing.

    >>> lost_text(Spending(calls=3, tokens=120, usd=0.5))
    ', and at most 3 more whose answers were lost with a process that ended (at most 120 tokens, $0.5000)'
    """
    if not lost.calls:
        return ""
    used = [_numbers.tokens(lost.tokens)] * bool(lost.tokens) + [_numbers.dollars(lost.usd)] * bool(lost.usd)
    most = f" (at most {', '.join(used)})" if used else ""
    return f", and at most {lost.calls:,} more whose answers were lost with a process that ended{most}"


MOST_UNEXPLAINED = 0.02
"""Share of a budget up to which the result does not say why calls were not used: they did not suffice for a row of each
finalist, or for a test row of each prompt."""

UNUSED = {
    "search": "calls of the search were left, because its finalists had been scored on all search rows",
    "test": "calls that were kept for the test were not needed, because its prompts were tested before, or were fewer "
    "than there might have been",
}
"""Why calls were not used, by what they were for."""


def unused_text(unused: Mapping[str, int], calls: float) -> str:
    """Why calls of a budget were not used, in a sentence for each reason; empty where few were left.

    >>> unused_text({"test": 30}, 700)
    ' 30 calls that were kept for the test were not needed, because its prompts were tested before, or were fewer than \
there might have been.'
    >>> unused_text({"search": 3}, 700)
    ''
    """
    most = MOST_UNEXPLAINED * calls
    return "".join(f" {unused[name]:,} {why}." for name, why in UNUSED.items() if unused.get(name, 0) > most)


def budget_text(budget: Mapping[str, float]) -> str:
    """The limits of a budget.

    >>> budget_text({"calls": 300, "usd": 1.5, "seconds": 600})
    '300 calls, $1.50, 600 s'
    """
    forms = {"usd": _numbers.dollars, "seconds": _numbers.seconds}
    return ", ".join(forms[name](limit) if name in forms else f"{limit:,.0f} {name}" for name, limit in budget.items())


def spent_sentence(
    *,
    calls: int,
    model: str,
    cached: int,
    tokens: int,
    usd: float | None,
    seconds: float,
    budget: Mapping[str, float],
    tried: int,
    candidates: int,
    unscored: int = 0,
    batched: int = 0,
    lost: Spending = NOTHING,
    unused: Mapping[str, int] | None = None,
) -> str:
    """What a finished study used, and how much of the space it tried.

    Args:
        calls: number of calls that count against the budget.
        model: its name.
        cached: number of these calls whose response came from the cache.
        batched: number of these calls whose response came by a batch.
        tokens: sent and received; 0 where the server counted none, so that their number is unknown.
        usd: US dollars, None where a price is unknown.
        seconds: duration.
        budget: the limits.
        tried: number of candidates that became trials.
        candidates: number of candidates in the space.
        unscored: number of the trials that got no score.
        lost: what was sent besides by processes that ended before the answers were stored.
        unused: the calls that nothing was left to use for, see `unused_text`.
    """
    left = unused_text(unused or {}, budget.get("calls", 0))
    without = f", {unscored:,} of them without a score" if unscored else ""
    by_batch = f", {batched:,} of them in batches" if batched else ""
    from_cache = f", {cached:,} of them answered from the cache" if cached else ""
    return (
        f"{calls:,} calls of {model}{from_cache}{by_batch} "
        f"({_numbers.tokens(tokens or None)}, {_numbers.dollars(usd)}, "
        f"{_numbers.seconds(seconds, 0)}) were used of a budget of {budget_text(budget)}{lost_text(lost)}; "
        f"{tried:,} of {candidates:,} candidates were tried{without}.{left}"
    )
