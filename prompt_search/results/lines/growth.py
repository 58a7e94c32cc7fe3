"""Sentences and titles about options that a model proposed; made from values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prompt_search import _numbers
from prompt_search._numbers import counted


@dataclass(frozen=True, kw_only=True)
class GrowthCounts:
    """What proposals came to in a study, and what they cost.

    Attributes:
        requests: number of requests to a proposer.
        calls: number of times that a proposer was asked, attempts that failed included.
        reused: number of these that were answered from the cache.
        tokens, usd: what that took; None where it is unknown.
        texts: number of texts that came.
        accepted: number of these that became options.
        tried: number of these options that a trial with a score has.
        in_winner: the names of the choices whose text in the winner was proposed.
        unmet: what each operator needs, by its name, where the budget had room for requests and none was made; None
            while the study is unfinished.
    """

    requests: int
    calls: int
    reused: int
    tokens: float | None
    usd: float | None
    texts: int
    accepted: int
    tried: int
    in_winner: Sequence[str]
    unmet: Mapping[str, str] | None


NOTHING_YET = "Nothing was proposed so far."
NOTHING_PROPOSED = "Nothing was proposed; that takes a larger budget."

UNMET = {"failures": "wrong answers that it may show", "parents": "two options with a score"}
"""What operators may lack in a search that has trials with a score, by what they need."""

DEFAULT_IS_BEST_BY_HAND = "The default prompt is the best prompt written by hand, so this is what proposals added"

ACCEPTED = "accepted"
IN_WINNER = "accepted, in the winner"
NO_TEXT = "(no text)"
EMPTY_TEXT = "(empty)"

PROPOSALS_TITLE = "texts that a model proposed"
LINEAGE_TITLE = "where the winner's texts come from, back to what was written by hand"


def in_winner(choices: Sequence[str], whose: str = "Its") -> str:
    """The choices of the winner, which ``whose`` names, whose text was proposed; without its full stop.

    >>> in_winner(["instruction"]), in_winner(["cue", "instruction"])
    ('Its text for instruction was proposed', 'Its texts for cue and instruction were proposed')
    """
    if len(choices) == 1:
        return f"{whose} text for {choices[0]} was proposed"
    return f"{whose} texts for {', '.join(choices[:-1])} and {choices[-1]} were proposed"


def none_won(accepted: int) -> str:
    """What came of proposals where the winner has none of them, without its full stop.

    >>> none_won(0), none_won(1), none_won(7)
    ('no proposed text was accepted', 'the proposed text did not win', 'none of the 7 proposed texts won')
    """
    if accepted < 2:
        return "the proposed text did not win" if accepted else "no proposed text was accepted"
    return f"none of the {accepted:,} proposed texts won"


def nothing_proposed(unmet: Mapping[str, str]) -> str:
    """Why nothing was proposed in a study that has ended.

    >>> nothing_proposed({"combine": "parents", "reflect": "failures"})
    'Nothing was proposed: combine needs two options with a score, and reflect needs wrong answers that it may show.'

    Args:
        unmet: what each operator needs, by its name, where the budget had room for requests.
    """
    if not unmet:
        return NOTHING_PROPOSED
    lacking = [f"{name} needs {UNMET[needs]}" for name, needs in unmet.items() if needs in UNMET]
    if len(lacking) < len(unmet):  # the others can always be asked about a prompt whose choice may grow
        return "Nothing was proposed: the search ended before it had a score of a prompt whose text may be reworded."
    return f"Nothing was proposed: {', and '.join(lacking)}."


def proposer_sentence(counts: GrowthCounts) -> str:
    """What the proposer took, and what it gave."""
    if not counts.requests:
        return NOTHING_YET if counts.unmet is None else nothing_proposed(counts.unmet)
    cached = f", {counts.reused:,} of them answered from the cache" if counts.reused else ""
    used = f"{_numbers.tokens(counts.tokens)}, {_numbers.dollars(counts.usd)}"
    kept = f"of which {counts.accepted:,} became options and {counts.tried:,} got a score"
    came = f"{counted(counts.texts, 'text')}, {kept}" if counts.texts else "no text"
    if not counts.calls:  # a rescored study reads what another one paid for
        return f"The proposer gave {came}."
    return f"{counted(counts.calls, 'call')} of the proposer{cached} ({used}) gave {came}."
