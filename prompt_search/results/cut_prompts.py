"""Signs of a server that cuts prompts off without a word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_CUT_PROMPTS = 5
"""Number of prompts with the same highest count that is needed to suspect a cut."""

MIN_GROWTH = 1.25
"""How much longer the longest of these prompts must be than the shortest. The tokens of texts differ by less from their
length alone, so that this many texts of such different lengths do not have the same number of tokens by chance."""

MIN_GROWTH_OF_ALL = 1.5
"""The same where no prompt has a lower count, so that nothing shows that the server counts at all."""

MOST_TOKENS_OF_WORD = 2
"""Tokens per word up to which a count may be one of words, which does not grow with their length."""

MIN_TOKENS_OF_ALL = 256
"""Count below which no server cuts prompts off; some servers that count nothing report such a constant."""


def suspected_cut(prompts: Sequence[str], prompt_tokens: Sequence[int | None]) -> int | None:
    """The number of prompt tokens at which a server seems to cut prompts off; None without a sign of that.

    The sign is that the longest prompts, though they differ much in length, all have the same, highest count. Prompts
    of about the same length are no sign, nor is a longer prompt with fewer tokens. Some servers count words: where the
    count may be one of words, the prompts must differ as much in their number of words.

    Args:
        prompts: the text of each prompt.
        prompt_tokens: number of tokens of each that the server counted; None where it did not count.

    >>> suspected_cut(["some words " * n for n in (300, 700, 800, 1000, 1200)], [600, 1024, 1024, 1024, 1024])
    >>> suspected_cut(["some words " * n for n in (300, 600, 700, 800, 1000, 1200)], [600, *[1024] * 5])
    1024
    """
    known = [
        (len(prompt), len(prompt.split()), tokens)
        for prompt, tokens in zip(prompts, prompt_tokens, strict=True)
        if tokens is not None
    ]
    if not known:
        return None
    size, words, tokens = np.array(sorted(known)).T
    highest = int(tokens.max())
    others = np.flatnonzero(tokens < highest)
    first = others[-1] + 1 if len(others) else 0
    growth = MIN_GROWTH if len(others) else MIN_GROWTH_OF_ALL
    if len(np.unique(size[first:])) < MIN_CUT_PROMPTS or size[-1] < growth * size[first]:
        return None
    if highest <= MOST_TOKENS_OF_WORD * words[first:].max() and words[-1] < growth * words[first]:
        return None
    return highest if len(others) or highest >= MIN_TOKENS_OF_ALL else None
