"""Titles and headings of the tables of prompts and of failing rows; made from values alone."""

from __future__ import annotations

from collections.abc import Sequence

from prompt_search import _numbers
from prompt_search.results.verdict import Verdict
from prompt_search.results.wording import test_uses_text

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


def failing_title(failing: int, shown: int) -> str:
    """The title of the table of rows with less than full score."""
    if shown >= failing:
        return f"the {_numbers.counted(failing, 'row')} with less than full score, the worst first"
    return f"the worst {shown} of {failing} rows with less than full score"


TRUE_SCORE = "the true score"
EFFECTS_TITLE = f"effects of options on {TRUE_SCORE}"
SHOWN_EFFECTS_TITLE = f"options that are shown to affect {TRUE_SCORE}"
INTERACTIONS_TITLE = "pairs of options with an effect beyond what each adds by itself"
FRONT_TITLE = "prompts that no other beats both in score and in tokens, cost or latency"
LEDGER_TITLE = "the study's own calls, by role"
LABELS_TITLE = "answers by label; a label with a bias above 0 is answered too often"
THE_PROMPT = "the prompt"
WINNING_PROMPT = "the winner's prompt"
DIFFERENT_TEXT = "what differs in the prompts"


def tested_title(uses: int) -> str:
    """The title of the scores on the test rows."""
    return f"scores on held-out test rows ({test_uses_text(uses)})"


def slices_title(groups: Sequence[str]) -> str:
    """The title of the scores by groups of rows."""
    return f"scores by {', '.join(groups)}"


def compared_rows_title(unseen: bool) -> str:
    """The title of the scores of two compared prompts."""
    return "on rows that both were scored on" if unseen else "on rows that both were scored on, search rows included"


def changed_rows_title(verdict: Verdict) -> str:
    """The title of the rows on which two compared prompts differ."""
    return f"rows won and lost by the second: {verdict.won} and {verdict.lost}"


CHANGED_BY_WINNER = "what the winner changes in the default prompt"
