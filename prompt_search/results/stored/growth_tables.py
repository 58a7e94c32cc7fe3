"""What was proposed to a study, and where its winner's texts come from, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from prompt_search.results.lines.growth import GrowthCounts
from prompt_search.results.spent import totals
from prompt_search.storage.records import PROPOSER, ProposalRecord, TrialRecord

BY_HAND = "by hand"
"""The operator of an option that stands in the template."""


def proposals_frame(
    proposals: Sequence[ProposalRecord], trials: Sequence[TrialRecord], calls: pd.DataFrame
) -> pd.DataFrame:
    """One row per text that a proposer gave, in the order in which they came; a request without one is a row too.

    Columns: ``choice``; ``option`` Int64, its position among the choice's options, missing where it was not accepted;
    ``text``; ``operator``; ``parents``, the texts of the options that the request started from, as a tuple; ``rows``, a
    tuple of the data rows that it showed; ``wave``, requests of one number were made at the same time; ``accepted``
    bool; ``reason`` why it was not; ``calls`` and ``cost_usd`` of the request, on the first of its texts, 0 on the
    others; ``trials``, the number of trials with the option that have a score; ``estimate``, the best of their
    estimates, NaN without one.

    Args:
        proposals: what was proposed.
        trials: the trials of the study.
        calls: its calls, see `tables.calls_frame`.
    """
    texts = {(each.choice, each.option): each.text for each in proposals if each.accepted}
    for trial in trials:
        texts |= {(choice, position): trial.choices[choice] for choice, position in trial.positions.items()}
    attempts = dict(zip(calls["key"], calls["attempts"], strict=True))
    costs = dict(zip(calls["key"], calls["cost_usd"], strict=True))
    lines, counted = [], set[str]()
    for each in proposals:
        scores = _estimates(each, trials)
        first = each.key not in counted
        counted.add(each.key)
        lines.append(
            {
                "choice": each.choice,
                "option": each.option,
                "text": each.text,
                "operator": each.operator,
                "parents": tuple(texts.get((each.choice, parent), "") for parent in each.parents),
                "rows": each.rows,
                "wave": each.wave,
                "accepted": each.accepted,
                "reason": each.reason,
                "calls": int(attempts.get(each.key, 0)) if first else 0,
                "cost_usd": float(costs.get(each.key, 0.0)) if first else 0.0,
                "trials": len(scores),
                "estimate": max((score for score in scores if score is not None), default=None),
            }
        )
    frame = pd.DataFrame(lines, columns=list(PROPOSAL_COLUMNS))
    return frame.astype({name: kind for name, kind in PROPOSAL_COLUMNS.items() if kind})


PROPOSAL_COLUMNS = {
    "choice": "str",
    "option": "Int64",
    "text": "str",
    "operator": "str",
    "parents": "",
    "rows": "",
    "wave": "int64",
    "accepted": "bool",
    "reason": "str",
    "calls": "int64",
    "cost_usd": "float64",
    "trials": "int64",
    "estimate": "float64",
}
"""The columns of `proposals_frame` with their types; "" for tuples."""


def _estimates(proposal: ProposalRecord, trials: Sequence[TrialRecord]) -> list[float | None]:
    """The estimate of each trial that has an option."""
    return [
        trial.estimate
        for trial in trials
        if proposal.accepted and trial.positions.get(proposal.choice) == proposal.option
    ]


def lineage_frame(
    winner: TrialRecord, proposals: Sequence[ProposalRecord], trials: Sequence[TrialRecord]
) -> pd.DataFrame:
    """The texts of a winner's choices that grew, each with those that it comes from, back to what is written in the
    template.

    Columns: ``choice``; ``generation`` int, 0 for the winner's text, one more for each step back; ``option`` int;
    ``text``; ``operator``, ``by hand`` for a text of the template; ``parents``, a tuple of the positions that it comes
    from.

    Args:
        winner: the winner's record.
        proposals: what was proposed.
        trials: the trials of the study, which know the texts of the template.
    """
    by_option = {(each.choice, each.option): each for each in proposals if each.accepted}
    lines = []
    for choice in dict.fromkeys(each.choice for each in proposals):
        generation, options = 0, [winner.positions[choice]] if choice in winner.positions else []
        seen = set[int]()
        while options:
            seen.update(options)
            found = [by_option.get((choice, option)) for option in options]
            for option, each in zip(options, found, strict=True):
                parents = each.parents if each else ()
                operator = each.operator if each else BY_HAND
                text = each.text if each else _text(choice, option, trials)
                lines.append((choice, generation, option, text, operator, parents))
            before = dict.fromkeys(parent for each in found if each for parent in each.parents)
            options = [parent for parent in before if parent not in seen]
            generation += 1
    return pd.DataFrame(lines, columns=["choice", "generation", "option", "text", "operator", "parents"])


def _text(choice: str, option: int, trials: Sequence[TrialRecord]) -> str:
    """The text of an option, as the trials that have it show it; "" where none has."""
    return next((trial.choices[choice] for trial in trials if trial.positions.get(choice) == option), "")


def growth_counts(
    winner: TrialRecord,
    proposals: Sequence[ProposalRecord],
    trials: Sequence[TrialRecord],
    ledger: pd.DataFrame,
    unmet: Mapping[str, str] | None,
) -> GrowthCounts:
    """What proposals came to.

    Args:
        winner: the winner's record.
        proposals: what was proposed.
        trials: the trials of the study.
        ledger: its calls by role, see `tables.ledger_frame`.
        unmet: what the operators need, see `GrowthCounts`.
    """
    accepted = {(each.choice, each.option) for each in proposals if each.accepted}
    had = {pair for trial in trials if trial.estimate is not None for pair in trial.positions.items()}
    own = ledger[ledger["role"] == PROPOSER]
    calls, tokens, usd = totals(own)
    reused = int(own["reused"].sum())
    return GrowthCounts(
        requests=len({each.key for each in proposals}),
        calls=calls + reused,
        reused=reused,
        tokens=tokens,
        usd=usd,
        texts=sum(bool(each.text) for each in proposals),
        accepted=len(accepted),
        tried=len(accepted & had),
        in_winner=[choice for choice, option in winner.positions.items() if (choice, option) in accepted],
        unmet=unmet,
    )
