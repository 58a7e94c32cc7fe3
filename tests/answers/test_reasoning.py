"""What a model wrote before its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers.reading.reasoning import LONGEST_REASONING, reasoning_before


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("16 - 7 = 9 eggs. 9 * 2 = 18.\n#### 18", "16 - 7 = 9 eggs. 9 * 2 = 18."),
        ("She sells 9. The answer is 18.", "She sells 9."),
        ("It praises the food.\nLabel: positive", "It praises the food."),
        ("The answer is not obvious. 9 * 2 = 18. Answer: 18", "The answer is not obvious. 9 * 2 = 18."),
        ("First 9 eggs. Then 18 dollars.", "First 9 eggs."),
        ("Add both:\n\\boxed{18}", "Add both:"),
        ("<think>Food is praised.</think>\n\npositive", "Food is praised."),
        ("<think>Long thoughts.</think>It praises the food. Answer: positive", "It praises the food."),
        ("Food is praised.</think>positive<|im_end|>", "Food is praised."),
        ("这是好评。 答案正面。", "这是好评。"),
        ("positive", ""),
        ("Answer: positive", ""),
        ('{"reasoning": "It is good.", "label": "positive"}', ""),
        ("<think>It never ends", ""),
        ("<|channel|>analysis<|message|>Good.<|end|><|start|>assistant<|channel|>final<|message|>positive", ""),
        ("", ""),
    ],
)
def test_reasoning_ends_before_the_answer(text: str, reasoning: str) -> None:
    """The sentence that announces the answer, or else the last one, is no part of the reasoning."""
    assert reasoning_before(text) == reasoning


def test_reasoning_that_is_too_long_for_a_shot_is_none() -> None:
    """A shot shows a bounded number of characters of reasoning, and never a part that is cut off."""
    longest = "a" * (LONGEST_REASONING - 1) + "."
    assert reasoning_before(f"{longest} Answer: 1") == longest
    assert reasoning_before(f"a{longest} Answer: 1") == ""


@given(st.text(max_size=200))
def test_reasoning_stands_in_the_response(text: str) -> None:
    """Any text has reasoning without white space around it, never longer than the text."""
    found = reasoning_before(text)
    assert found == found.strip()
    assert len(found) < max(1, len(text))
