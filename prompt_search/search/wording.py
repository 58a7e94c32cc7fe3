"""The reasons why trials end, as users read them in the tables of trials."""

from __future__ import annotations

from prompt_search.metrics.objective import NAMES, Cap, amount
from prompt_search.results.objective.wording import NOT_SHOWN


def stopped_early(rows: int, leader: int, probability: float) -> str:
    """The reason of a trial that is almost certainly not better than the leader."""
    return f"stopped after {rows} rows: its probability of being better than trial {leader} is {probability:.1%}"


def stopped_by_pruner(rows: int) -> str:
    """The reason of a trial that the user's pruner stopped."""
    return f"stopped by the pruner after {rows} rows"


def enough_rows(rows: int) -> str:
    """The reason of a trial that got all the rows that one trial gets in a search with a pruner."""
    return f"reached {rows} rows"


def failed(rows: int, error: str | None) -> str:
    """The reason of a trial of which every request failed."""
    return f"all {rows} requests failed: {error}"


def refused(reason: str) -> str:
    """The reason of a trial that has something in its requests which the server refuses."""
    return f"closed: {reason}"


def over_cap(cap: Cap, mean: float, rows: int, *, shown: bool, is_default: bool) -> str:
    """The reason of a trial that is over a cap.

    Args:
        cap: the cap.
        mean: the mean that its responses let expect.
        rows: the number of rows that it was sent.
        shown: whether that shows it; else it is likely.
        is_default: whether it is the default prompt.
    """
    over = "over the cap" if shown else "likely over the cap"
    stays = "; it stays the baseline" if is_default else ""
    return f"{over} after {rows} rows: {amount(cap.quantity, mean)} {_capped(cap)}{stays}"


def expected_over(cap: Cap, expected: float) -> str:
    """The reason of a candidate that is expected to be over a cap, so that nothing was sent."""
    return f"over the cap: about {amount(cap.quantity, expected)} {_capped(cap)}, by its length; it was not sent"


def _capped(cap: Cap) -> str:
    return f"{NAMES[cap.quantity]}, at most {amount(*cap)}"


def not_a_finalist(estimate: float, rows: int, of: str) -> str:
    """The reason of a trial that did not reach the finals; ``of`` is what is estimated, "score" or "value"."""
    return f"not among the finalists: {_estimated(estimate, rows, of)}"


def left_finals(estimate: float, rows: int, of: str) -> str:
    """The reason of a finalist that others were better than."""
    return f"left the finals: {_estimated(estimate, rows, of)}"


def cap_not_known(estimate: float, rows: int, of: str) -> str:
    """The reason of a finalist of which it is not known whether it keeps the caps."""
    return f"left the finals: {_estimated(estimate, rows, of)}, {NOT_SHOWN}"


def no_clear_lead(estimate: float, rows: int, of: str, winner: int) -> str:
    """The reason of a finalist with a proposed option that is hardly better than the best trial without."""
    return (
        f"left the finals: {_estimated(estimate, rows, of)}, no clear lead over trial {winner}, the best one without a "
        "proposed option"
    )


def finished_finals(rows: int) -> str:
    """The reason of the last finalist."""
    return f"reached the end of the finals after {rows} rows"


def _estimated(estimate: float, rows: int, of: str) -> str:
    return f"estimated {of} {estimate:.3f} after {rows} rows"
