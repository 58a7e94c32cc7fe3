"""Probabilities of labels by the first token of a response, and their calibration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from prompt_search.answers.reading.label_matching import label_masses, spaced
from prompt_search.errors import InputError
from prompt_search.llm.messages import TopLogprobs


def check_first_tokens(labels: Sequence[str]) -> None:
    """Refuse labels that one token cannot tell apart.

    Raises:
        InputError: two labels begin with the same word, or one begins with the other.
    """
    # Labels that begin alike stand side by side in this order.
    words = {label: (_first_word(spaced(label)), spaced(label)) for label in labels}
    for pair in pairwise(sorted(labels, key=words.__getitem__)):
        (word, text), (next_word, next_text) = (words[label] for label in pair)
        if word == next_word or next_text.startswith(text):
            other, label = sorted(pair, key=list(labels).index)
            raise InputError(
                f"the log-probabilities of one token cannot distinguish the labels {other!r} and {label!r}, "
                "because they begin alike; rename one (single letters are enough) or use mode='text'"
            )


def content_free_factors(labels: Sequence[str], listed: TopLogprobs) -> dict[str, float] | None:
    """One factor per label, from the tokens listed for a content-free input (Zhao et al. 2021).

    A label without a listed token counts there as likely as the least likely listed token. None where no token has a
    probability.
    """
    # Servers write "not computed" as -9999, which is zero after exp and holds no information.
    least = min((p for _, logprob in listed if (p := math.exp(logprob)) > 0), default=0.0)
    if least == 0:
        return None
    return {label: 1 / (mass or least) for label, mass in label_masses(listed, labels).items()}


def row_weights(
    labels: Sequence[str], probabilities: Sequence[Mapping[str, float]], targets: Sequence[str]
) -> tuple[float, ...]:
    """One weight per label: its share of the rows divided by its mean probability (Zhou et al. 2024).

    Args:
        labels: the labels.
        probabilities: for each row the uncalibrated probability of each label; at least one row.
        targets: the target of each row.
    """
    weights = []
    for label in labels:
        # One row more per label than there was: a label without a row so far is rare, not impossible.
        share = (1 + sum(target == label for target in targets)) / (len(targets) + len(labels))
        mean = math.fsum(given[label] for given in probabilities) / len(probabilities)
        weights.append(float(f"{share / mean:.4g}") if mean else 1.0)  # a label that was never listed has no mean
    return tuple(weights)


def _first_word(text: str) -> str:
    # Tokens seldom reach beyond a word, so labels with the same first word mostly begin with the same token.
    match = re.match(r"[^\W_]+", text)
    return match.group() if match else text
