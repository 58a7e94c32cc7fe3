"""Titles and headings of the tables of prompts and of failing rows; made from values alone."""

from __future__ import annotations

DIFFERS = "the winner's choices, and where others differ"
"""The heading of the choices in a ranking."""

NO_OPTION = "(none)"
NO_CHOICE = "(no choice differs)"

ROW_TEXT = "the row's text"
WINNERS_ANSWER = "winner's answer"
DEFAULTS_ANSWER = "default's answer"
FAILING_ROWS = "rows that the winner fails on"


def ranking_title(estimated: bool) -> str:
    """The title of a ranking.

    Args:
        estimated: whether it is by the selection-corrected estimates; else by the scores.
    """
    if estimated:
        return "prompts by estimate, the score that is expected on new rows"
    return "prompts by score so far"
