"""The reasons why trials end, as users read them in the tables of trials."""

from __future__ import annotations


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


def not_a_finalist(estimate: float, rows: int) -> str:
    """The reason of a trial that did not reach the finals."""
    return f"not among the finalists: {_estimated(estimate, rows)}"


def left_finals(estimate: float, rows: int) -> str:
    """The reason of a finalist that others were better than."""
    return f"left the finals: {_estimated(estimate, rows)}"


def no_clear_lead(estimate: float, rows: int, winner: int) -> str:
    """The reason of a finalist with a proposed option that is hardly better than the best trial without."""
    return (
        f"left the finals: {_estimated(estimate, rows)}, no clear lead over trial {winner}, the best one without a "
        "proposed option"
    )


def finished_finals(rows: int) -> str:
    """The reason of the last finalist."""
    return f"reached the end of the finals after {rows} rows"


def _estimated(estimate: float, rows: int) -> str:
    return f"estimated score {estimate:.3f} after {rows} rows"
