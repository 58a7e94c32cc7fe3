"""The decisions of a race as a journal: a race that is resumed does not decide again what was decided.

A decision rests on floating-point sums, whose last bits differ between processors and libraries. Computed again on
another machine it may come out otherwise, and the search would go, and pay for, another way. What was written down is
therefore taken. It is computed all the same, so that a search on the same machine goes on with the very same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prompt_search._json import reading
from prompt_search.search.proposals import Ask
from prompt_search.search.trial import Trial, Trials


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a race decided at one point.

    Attributes:
        stage: what was decided: ``round``, ``proposals``, ``finals``, ``final round`` or ``winner``.
        entered: the choices of each trial that entered.
        ended: for each trial that ended its number, its state and the reason.
        picked: the numbers of the trials that get rows next; at the end the winner, and the best one written by hand.
        finalists: the numbers of the trials in the finals.
        leader: the number of the trial that was ranked first.
        asks: the requests for new options that are sent.
    """

    stage: str = ""
    entered: list[dict[str, int]] = field(default_factory=list)
    ended: list[tuple[int, str, str]] = field(default_factory=list)
    picked: list[int] = field(default_factory=list)
    finalists: list[int] = field(default_factory=list)
    leader: int | None = None
    asks: list[Ask] = field(default_factory=list)


class Journal(Protocol):
    """Where the decisions of a race are kept, in their order."""

    def settled(self, decision: Decision) -> Decision:
        """The decision that is kept at this place; the given one, kept from now on, where none is.

        A race whose budget is in tokens or seconds may come to its finals earlier or later when it is resumed. Where
        another stage was decided at this place, nothing is kept from there on.
        """
        ...


class Unkept:
    """A journal of a race that nobody resumes."""

    def settled(self, decision: Decision) -> Decision:
        return decision


def decided(trials: Trials, journal: Journal, stage: str, decide: Callable[[], list[Trial]]) -> list[Trial]:
    """Let a decision be made, or take the one that is kept in its place.

    Args:
        trials: the trials of the race.
        journal: keeps decisions.
        stage: what is decided, see `Decision`.
        decide: makes the decision: it may add trials and end them, and gives those that are picked.

    Raises:
        StorageError: the kept decision is not one on these trials.
    """
    everyone, entered = list(trials.all), set(trials.entered)
    states = {trial.number: (trial.state, trial.reason) for trial in everyone}
    picked = decide()
    made = _decision(stage, trials, states, picked)
    kept = journal.settled(made)
    if kept == made:
        return picked
    trials.all, trials.entered = everyone, entered
    for trial in everyone:
        trial.state, trial.reason = states[trial.number]
    with reading("a decision of the search"):
        return _taken(trials, kept)


def _decision(stage: str, trials: Trials, known: Mapping[int, tuple[str, str]], picked: list[Trial]) -> Decision:
    """What was decided since the trials had these states."""
    return Decision(
        stage=stage,
        entered=[dict(trial.positions) for trial in trials.all if trial.number not in known],
        ended=[
            (trial.number, trial.state, trial.reason)
            for trial in trials.all
            if (trial.state, trial.reason) != known.get(trial.number, ("running", ""))
        ],
        picked=[trial.number for trial in picked],
        finalists=[trial.number for trial in trials.finalists],
        leader=None if trials.leader is None else trials.leader.number,
    )


def _taken(trials: Trials, decision: Decision) -> list[Trial]:
    """Let trials enter and end as a kept decision says.

    Returns:
        those that it picked.
    """
    for positions in decision.entered:
        trials.add(positions, keep_over=True)
    by_number = {trial.number: trial for trial in trials.all}
    for number, state, reason in decision.ended:
        by_number[number].end(state, reason)
    trials.finalists = [by_number[number] for number in decision.finalists]
    trials.leader = None if decision.leader is None else by_number[decision.leader]
    return [by_number[number] for number in decision.picked]
