"""Every sentence and title of the report; made from values alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from prompt_search import _html, _numbers
from prompt_search.metrics.objective import CAPPED, Objective
from prompt_search.results.objective.wording import EFFECTS_OF
from prompt_search.results.shown.cheaper import Cheaper
from prompt_search.results.verdict import MeanScore, Verdict
from prompt_search.results.wording import DEFAULT_PROMPT, NO_EFFECT_SHOWN, VERDICT_WORDS, p_text, verdict_sentence

SECTIONS = {
    "winner": "The prompt",
    "ranking": "All prompts",
    "growth": "What a model proposed",
    "effects": "Which choice mattered",
    "cost": "Score against cost, and what was spent",
    "answers": "How the winner answers",
    "failures": "Which rows still fail",
    "reproduce": "How to reproduce this",
}
"""The titles of the sections, by their anchors; that about proposals is only where a study has a proposer."""

UNFINISHED = "The study is unfinished: run it again to resume. What is known so far follows."
SHIP_DEFAULT = "Ship the default prompt: no candidate was found that is expected to beat it."
NOTHING_ANSWERED = "Nothing was answered yet."
EFFECTS_UNKNOWN = "The effects of the choices are not known before the study is finished."

EFFECTS_CAPTION = (
    "The effect of each option on {of}, averaged over all other choices: as observed, with its interval, and "
    "as expected, which is nearer to 0; unknown where fewer than two prompts had the option"
)
RANKING_NOTE = (
    "The prompts are sorted by their estimate: the selection-corrected score, which is expected on new rows. A score "
    "on few rows counts for less, and one whose rows were harder than most for more. The winner has all its choices, "
    "the others those in which they differ from it; each opens to its choices in full, and the first ones to their "
    "messages."
)
RANKING_CAPTION = "All prompts that were tried; select the name of a column to sort by it"
FILTER = "Filter"
FILTER_HINT = "words in any column"
FILTERED = "{shown} of {all} prompts"
"""The status of the filter; the page's script replaces the words in braces."""

OTHER_EFFECTS_CAPTION = "The other choices"
INTERACTIONS_CAPTION = "Pairs of options with an effect beyond the sum of their own effects"
FRONT_CAPTION = "Prompts that no other beats both in score and in tokens, cost or time"
LEDGER_CAPTION = "The study's own calls, by role"
LABELS_CAPTION = "The winner's answers by label; a label with a bias above 0 is answered too often"
CONFUSION_CAPTION = "The number of rows of each target (lines) that got each answer (columns) from the winner"
CONFUSION_TARGET = "target"
IDENTITY_CAPTION = "The settings of the study"
FOLDS_TITLE = "the winner of each search, scored on rows that the search did not use"
PROPOSALS_CAPTION = "The texts that were proposed, in the order in which they came"
PROPOSALS_NOTE = (
    "Texts that were accepted took part in the race like those of the template; the estimate is that of the best "
    "prompt with the text. No prompt with such a text was scored on the rows that its proposer saw."
)
LINEAGE_CAPTION = "Where the winner's texts come from, back to what was written by hand"
PROGRESS_NOTE = (
    "The score of each prompt when its last row was scored (dots), and that of the prompt that led at the time, with "
    "its 95% interval (band)."
)

FIELDS_NOTE = "A field in double braces is replaced by the row's value."
EXPORT_DEFAULT_NOTE = "writes the default prompt, which stays until another one is shown to be better."
EXPORT_NOTE = "writes the prompt to a file, which renders exactly the text that was scored."
CHANGES_NOTE = "Lines that only the default prompt has are red, lines that only the winner has are green."
CHANGES_INTRODUCTION = "The winner changes this in the default prompt:"
CHANGES_TITLE = "What it changes in the default prompt"
ITS_CHOICES = "its choices"
COPY_MESSAGES = "Copy as messages (JSON)"
COPY_PYTHON = "Copy as Python"
COPIED = "Copied."
NOT_COPIED = "The browser does not allow copying; the text is selected: press Ctrl+C (on a Mac ⌘C)."
CAME_BACK = "what came back"
SENT_AND_RECEIVED = "what was sent, and what came back"
PROMPT_TO_SHIP = "the prompt to ship"
NOT_ANSWERED = "(not answered)"

# The numbers at the top of the report
DIFFERENCE_FACT = "winner minus default"
OBJECTIVE_FACT = "objective"
SPENT_FACT = "sent by the study"
COST_FACTS = {"winner": "1,000 rows with the winner", "default": "1,000 rows with the default"}

# What a screen reader reads for a part of the page
SECTIONS_LABEL = "Sections"
CONFUSION_LABEL = "Confusion"
FAILURES_LABEL = "Failing rows"
EXAMPLES_CAPTION = "Examples of the winner's answers: the best, a middling one and the worst"
FIELDS_CAPTION = "The winner's answers by field, as the metric Fields compares them"


def effects_caption(weighs_costs: bool) -> str:
    """The caption of the effects; with an objective that weighs costs they are effects on its value."""
    return EFFECTS_CAPTION.format(of=EFFECTS_OF if weighs_costs else "the true score")


def objective_flags(objective: Objective | None) -> str:
    """The options of the command line that give an objective, each after a space.

    >>> objective_flags(Objective(cost=0.1, max_prompt_tokens=400))
    ' --objective cost=0.1 --max-prompt-tokens 400'
    """
    given = {} if objective is None else objective.to_dict()
    caps = {name: value for name, value in given.items() if name in CAPPED}
    weights = [f" --objective {name}={value:g}" for name, value in given.items() if name not in caps]
    return "".join([*weights, *(f" --{name.replace('_', '-')} {value:g}" for name, value in caps.items())])


def page_title(study: str) -> str:
    """The title of the page in a browser."""
    return f"{study}: which prompt to ship"


def prompt_count(prompts: int) -> str:
    """The status of the filter before anything is filtered."""
    return f"{prompts} prompts"


def shipped_prompt(trial: int, characters: int, settings: str) -> str:
    """The trial, the length and the settings of the winner."""
    return f"The {'winner' if trial else 'default prompt'} is trial {trial}, {characters:,} characters{settings}."


def exported_prompt(trial: int, command: str, default: str) -> str:
    """The trial of the winner and the command that exports it, and that for the default where it is to be kept, as
    Markdown."""
    kept = f" `{default}` {EXPORT_DEFAULT_NOTE}" if default else ""
    who = "winner" if trial else "default prompt"
    return f"The {who} is trial {trial}. `{command}` writes its prompt to a file.{kept}"


def sent_for(row: int) -> str:
    """The title of the messages and the response of one request."""
    return f"what was sent for row {row}, and what came back"


def all_characters(count: int) -> str:
    """The title of the whole of a text that was cut off."""
    return f"all {count:,} characters"


def cost_chart_title(cost: str, trials: int, front: int) -> str:
    """The description of a chart of score against a cost."""
    return f"Score against {cost}: {trials} trials, {front} of them on the front"


def point_title(trial: int, score: float, cost: str, value: float) -> str:
    """The description of a point of a chart."""
    return f"trial {trial}: score {score:.3f}, {cost} {value:g}"


def progress_chart_title(trials: int) -> str:
    """The description of the chart of progress."""
    return f"Score against calls: {trials} trials, and the leading prompt's with its 95% interval"


def front_note(cost: str, capped: bool = False) -> str:
    """The caption of a chart of score against a cost; ``capped``: whether the cost has a cap."""
    return (
        f"Selection-corrected estimate against {cost}. Blue: no other prompt scores as high for less. Ringed: the "
        f"winner.{' The dashed line is the cap.' if capped else ''}"
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
        "better": f"Ship the winner, trial {winner}: {verdict_sentence(verdict, 'it', DEFAULT_PROMPT)}.",
        "worse": f"Keep {DEFAULT_PROMPT}: the winner, trial {winner}, is worse on test rows.",
        "not shown": f"{verdict_sentence(verdict, f'The winner, trial {winner},', DEFAULT_PROMPT)}: keep the "
        "default, or compare both on more test rows.",
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


def majority_fact(verdict: Verdict) -> tuple[str, str, str]:
    """What always answering the most frequent label scores: what it is, its value, and a note."""
    label = _html.clipped(verdict.majority_label or "", 40)
    note = f"the most frequent label of the {verdict.rows} test rows, whatever they say"
    return f"always “{label}”", _numbers.number(verdict.majority), note


def cost_note(sent: float, received: float, seconds: float) -> str:
    """The tokens and the latency that belong to a cost."""
    known = _numbers.known(sent) and _numbers.known(received)
    tokens = f"{sent:,.0f} + {received:,.0f} tokens" if known else _numbers.tokens(None)
    return f"{tokens}, {_numbers.number(seconds, '.2f')} s per request"


def cheaper_prompt(found: Cheaper, margin: float) -> str:
    """The prompt that costs less than the winner and is nearly as good.

    Args:
        found: the prompt.
        margin: how much lower a score may be for a prompt that will do.
    """
    will = "will do" if found.lower <= margin else "may do"
    if found.unit == "usd":
        costs = (_numbers.dollars(found.cost), _numbers.dollars(found.winner_cost))
        saved = f"costs {found.saving:.0%} less ({costs[0]} instead of {costs[1]} per 1,000 rows)"
    else:
        form = ",.1f" if found.unit == "prompt tokens" else ",.0f"
        sizes = [_numbers.number(size, form) for size in (found.cost, found.winner_cost)]
        saved = f"takes {found.saving:.0%} fewer {found.unit} ({sizes[0]} instead of {sizes[1]})"
    score = f"its score is, with 95% probability, at most {found.lower:.2f} lower"
    if found.lower > margin:
        lower = "no lower" if found.expected < 0.005 else f"{found.expected:.2f} lower"
        score = f"its score is expected to be {lower}, and with 95% probability at most {found.lower:.2f} lower"
    return f"A cheaper prompt {will}: trial {found.trial} {saved}, and {score}."


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


def answered_on(rows: int, tested: bool, unparsed: int, failed: int) -> str:
    """The rows that the tables of answers are about."""
    where = "test rows" if tested else "search rows, whose scores are optimistic"
    return (
        f"The tables show the winner's answers on {rows} {where}. Of these answers {unparsed} could not be read, and "
        f"{failed} requests failed."
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


def failing_group(target: str, answer: str) -> str:
    """The title of failing rows with the same target and answer."""
    return f"target {_html.clipped(target, 80)}, answered {_html.clipped(answer, 80)}"


def failing_unread(target: str = "") -> str:
    """The title of failing rows whose answers could not be read."""
    return f"{f'target {_html.clipped(target, 80)}, ' if target else ''}the answer could not be read"


def failing_request(kind: str) -> str:
    """The title of rows whose requests failed."""
    return f"the request failed: {_html.clipped(kind, 80)}"


def failing_fields(fields: Sequence[str]) -> str:
    """The title of failing rows by the fields that are not right."""
    return f"not right: {_html.clipped(', '.join(fields), 160)}"


FAILING_OTHERS = "another answer than the target"


def instead_of(wrong: Any, right: Any) -> str:
    """A value of a field that is not right, and the right one, as JSON; None where there is none.

    >>> instead_of("2 kg", 2), instead_of(None, "2")
    ('"2 kg" instead of 2', 'nothing instead of "2"')
    """
    given, wanted = (
        "nothing" if value is None else _html.clipped(json.dumps(value, ensure_ascii=False, default=str), 60)
        for value in (wrong, right)
    )
    return f"{given} instead of {wanted}"


def group_count(rows: int, shown: int) -> str:
    """The number of rows of a group of failing rows."""
    return _numbers.counted(rows, "row") + (f", {shown} shown" if shown < rows else "")


def worst_rows(read_from: str) -> str:
    """The title of the rows that the winner fails on, and how their answers were read."""
    return f"The rows that the winner fails on, by what is wrong{read_from}"


READ_FROM_LOGPROBS = "; the answer is read from the labels' probabilities, not from the response's text"


def split_rows(search: int, test: int) -> str:
    """The sizes of the two parts of the data."""
    return f"{search} for the search, {test} for the test"
