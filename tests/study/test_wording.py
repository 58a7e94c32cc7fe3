"""The sentences that users read of preflight and progress."""

from __future__ import annotations

import math

from prompt_search.study import wording


def test_unknown_power_is_said_in_words() -> None:
    """Where no difference can be detected at all, no number is made up."""
    assert wording.too_few_rows(1, math.nan, 0.5, None) == (
        "Don't search yet: 1 test row cannot show that a prompt is better (80% power for no difference, however large, "
        "and the default prompt leaves room for at most 0.50). Label more rows, or use cross_fit, which tests on all "
        "rows."
    )
    assert wording.too_few_rows(6, 0.9, 0.5, 240).endswith("Give the search 240 calls, which test on more rows.")
    assert wording.go(0, math.nan, None, "a, b") == (
        "Go: a, b; scores have no known limit, and there are 0 test rows: what they can show is not known yet."
    )
    assert wording.too_few_to_compare(2, "", None, 60, math.nan) == (
        "Too few answers to tell whether another prompt is better (2 other prompts tried on few rows). Only the "
        "search can tell."
    )


def test_all_failed_says_what_to_do() -> None:
    """Where no request was answered, the first error is named."""
    assert wording.all_failed(13, "timeout: no answer within 120 s") == (
        "Don't search yet: all 13 requests failed, the first with timeout: no answer within 120 s; fix that first."
    )
