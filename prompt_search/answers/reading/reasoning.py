"""What a model wrote before its answer, as a shot may show it."""

from __future__ import annotations

import re

from prompt_search.answers.final_part import REASONING_BEGINS, REASONING_ENDS, final_part

LONGEST_REASONING = 2_000
"""Number of characters of reasoning that a shot shows at most. Every request with the shot pays for them."""

ANSWER = re.compile(
    r"####|\\boxed|<\s?answer\s?>|\b(?:final |correct )?(?:answer|label|category)\b\W{0,4}(?:is\b|[:=])", re.IGNORECASE
)
"""What announces an answer."""

SENTENCE_ENDS = re.compile(r"(?<=[.!?。！？])\s+|\n+")


def reasoning_before(text: str) -> str:
    """What a response says before its answer: the text up to the sentence that announces the answer last, or without
    its last sentence; where nothing is left, what the model thought in tags. Empty where it gave an answer alone, or
    where its reasoning is longer than a shot may show.

    >>> reasoning_before("There are 3 boxes of 4. 3 * 4 = 12.\\n#### 12")
    'There are 3 boxes of 4. 3 * 4 = 12.'
    >>> reasoning_before("<think>It praises the food.</think>positive")
    'It praises the food.'
    >>> reasoning_before("positive")
    ''
    """
    final = final_part(text)
    if final is None or not final.strip():
        return ""
    said = _before_answer(final.strip())
    found = said or _thoughts(text, final)
    return found if len(found) <= LONGEST_REASONING else ""


def _before_answer(final: str) -> str:
    if final.startswith(("{", "[", "```")):  # JSON is an answer as a whole
        return ""
    starts = [0, *(end.end() for end in SENTENCE_ENDS.finditer(final))]
    announced = [place.start() for place in ANSWER.finditer(final)]
    until = max(start for start in starts if start <= announced[-1]) if announced else starts[-1]
    return final[:until].strip()


def _thoughts(text: str, final: str) -> str:
    """What stands in tags before the final part; empty where special tokens mark it."""
    before = text[: max(text.rfind(final), 0)]
    thoughts = REASONING_ENDS.sub("", REASONING_BEGINS.sub("", before)).strip()
    return "" if "<|" in thoughts else thoughts
