"""Every sentence and title of the report; made from values alone."""

from __future__ import annotations

from collections.abc import Sequence

from prompt_search import _html, _numbers
from prompt_search.results.verdict import MeanScore, Verdict
from prompt_search.results.wording import DEFAULT_PROMPT, NO_EFFECT_SHOWN, VERDICT_WORDS, p_text, verdict_sentence

SECTIONS = {
    "winner": "The prompt",
    "ranking": "All prompts",
    "effects": "Which choice mattered",
    "cost": "Score against cost, and what was spent",
    "answers": "How the winner answers",
    "failures": "Which rows still fail",
    "reproduce": "How to reproduce this",
}
"""The titles of the sections, by their anchors."""

UNFINISHED = "The study is unfinished: run it again to resume. What is known so far follows."
SHIP_DEFAULT = "Ship the default prompt: no candidate was found that is expected to beat it."
NOTHING_ANSWERED = "Nothing was answered yet."
EFFECTS_UNKNOWN = "The effects of the choices are not known before the study is finished."

EFFECTS_CAPTION = (
    "The effect of each option on the true score, averaged over all other choices: as observed, with its interval, and "
    "as expected, which is nearer to 0"
)
OTHER_EFFECTS_CAPTION = "The other choices"
INTERACTIONS_CAPTION = "Pairs of options with an effect beyond the sum of their own effects"
FRONT_CAPTION = "Prompts that no other beats both in score and in tokens, cost or time"
LEDGER_CAPTION = "The study's own calls, by role"
LABELS_CAPTION = "The winner's answers by label; a label with a bias above 0 is answered too often"
CONFUSION_CAPTION = "The number of rows of each target (lines) that got each answer (columns) from the winner"
IDENTITY_CAPTION = "The settings of the study"
PROGRESS_NOTE = (
    "The score of each prompt when its last row was scored, and the best score so far with its 95% interval (band)."
)


def front_note(cost: str) -> str:
    """The caption of a chart of score against a cost."""
    return (
        f"Selection-corrected estimate against {cost}. Blue: no other prompt scores as high for less. Ringed: the "
        "winner."
    )


def badge(finished: bool, verdict: Verdict, winner: int) -> str:
    """The outcome in a few words."""
    if not finished:
        return "unfinished"
    if winner == 0:
        return "the default prompt stays"
    return "not tested" if verdict.rows < 2 else f"{VERDICT_WORDS[verdict]} {DEFAULT_PROMPT}"


def advice(finished: bool, verdict: Verdict, winner: int) -> str:
    """What to do with the outcome."""
    if not finished:
        return UNFINISHED
    if winner == 0:
        return SHIP_DEFAULT
    if verdict.rows < 2:
        return (
            f"The best candidate is trial {winner}, but it was not compared with the default prompt on test rows: "
            "its score is optimistic."
        )
    return {
        "better": f"Ship the winner, trial {winner}: it is better than {DEFAULT_PROMPT}.",
        "worse": f"Keep {DEFAULT_PROMPT}: the winner, trial {winner}, is worse on test rows.",
        "not shown": f"{verdict_sentence(verdict, f'The winner, trial {winner},', DEFAULT_PROMPT)}: ship it only if "
        "its cost does not matter, or compare both on more test rows.",
    }[verdict]


def tokens_per_row(winner: float, default: float) -> str:
    """The sizes of the two prompts."""
    return f"The winner takes {winner:,.0f} prompt tokens per row, {DEFAULT_PROMPT} {default:,.0f}."


def test_note(score: MeanScore) -> str:
    """The interval and rows of a score on the test rows."""
    return f"{_numbers.interval(score.low, score.high)} (95%) on {score.rows} test rows"


def difference_note(verdict: Verdict) -> str:
    """The interval and p of the difference between winner and default, and the rows that they differ on."""
    ends = _numbers.interval(verdict.low, verdict.high, "+.3f")
    return f"{ends} (95%), {p_text(verdict)}; better on {verdict.won} rows, worse on {verdict.lost}"


def cost_note(sent: float, received: float, seconds: float) -> str:
    """The tokens and the latency that belong to a cost."""
    known = _numbers.known(sent) and _numbers.known(received)
    tokens = f"{sent:,.0f} + {received:,.0f} tokens" if known else _numbers.tokens(None)
    return f"{tokens}, {_numbers.number(seconds, '.2f')} s per request"


def shorter_prompt(trial: int, size: str, winner_size: str, unit: str, margin: float) -> str:
    """The advice to use a shorter prompt that is about as good."""
    return (
        f"A shorter prompt will do: trial {trial} has {size} {unit} instead of {winner_size}, and is, with 95% "
        f"probability, at most {margin:g} worse."
    )


def most_important(choice: str, importance: float, option: str, estimate: float) -> str:
    """The choice that explains most of the variance between prompts."""
    return (
        f"The choice that is expected to matter most is {choice}: by itself it explains {importance:.0%} of the "
        f"variance between prompts. Its best option is expected to be “{_html.clipped(option, 80)}” ({estimate:+.3f})."
    )


def shown_effects(options: Sequence[tuple[str, str]], tested: int) -> str:
    """The options whose effect is shown.

    Args:
        options: (choice, option) of each.
        tested: number of options in all.
    """
    if not options:
        return NO_EFFECT_SHOWN
    named = ", ".join(f"{choice} “{_html.clipped(option, 40)}”" for choice, option in options)
    return f"Options that are shown to affect the score, {len(options)} of {tested}: {named}."


def answered_on(rows: int, tested: bool, unparsed: int, errors: int) -> str:
    """The rows that the tables of answers are about."""
    where = "test rows" if tested else "search rows, whose scores are optimistic"
    return (
        f"The tables show the winner's answers on {rows} {where}. Of all its answers {unparsed} could not be read, "
        f"and {errors} of its requests failed."
    )


def failing(below: int, rows: int) -> str:
    """The number of rows that the winner fails on."""
    return f"{below} of {rows} rows have less than full score. Rows are numbered from 0, as in the data."


def never_right(failing_rows: Sequence[int], compared: int, limit: int) -> str:
    """The rows that no good prompt answers rightly.

    Args:
        failing_rows: rows with a score of 0 from each of the best prompts.
        compared: number of rows on which at least three of the best prompts were scored.
        limit: number of rows to name.
    """
    numbers = ", ".join(map(str, failing_rows[:limit])) + (" and more" if len(failing_rows) > limit else "")
    return (
        f"Of {compared} rows on which at least three of the best prompts were scored, {len(failing_rows)} got 0 from "
        f"each of them, so their targets may be wrong: {numbers}."
    )


READ_FROM_LOGPROBS = "; the answer is read from the labels' probabilities, not from the response's text"


def split_rows(search: int, test: int) -> str:
    """The sizes of the two parts of the data."""
    return f"{search} for the search, {test} for the test"
