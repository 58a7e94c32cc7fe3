"""Sentences about a judge; made from values alone."""

from __future__ import annotations

from prompt_search import _numbers
from prompt_search._numbers import counted


def whose_scores(model: str, template: str) -> str:
    """Who gave the scores, without its full stop.

    >>> whose_scores("gpt-4.1", "quality")
    'The scores are ratings of the judge gpt-4.1 (template quality), not of people: result.people_sheet() has answers \
that people may rate, to correct them'
    """
    named = f"{model} (template {template})" if template else model
    return (
        f"The scores are ratings of the judge {named}, not of people: result.people_sheet() has answers that people "
        "may rate, to correct them"
    )


def judge_sentence(model: str, *, calls: int, reused: int, tokens: float | None, usd: float | None) -> str:
    """What a judge took of what a study used."""
    cached = f", {reused:,} of them answered from the cache" if reused else ""
    used = f"{_numbers.tokens(tokens)}, {_numbers.dollars(usd)}"
    return f"{counted(calls, 'call')} of these asked the judge {model}{cached} ({used})."
