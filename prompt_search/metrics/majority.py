"""What an answer that never changes scores: the most frequent label of some rows, whatever they say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from prompt_search.data.rows import Row, references
from prompt_search.metrics.corpus import Corpus, kappa, macro_f1, matthews
from prompt_search.metrics.row import Exact, exact, includes, token_f1

_BUILT_IN = (exact, Exact(casefold=False), includes, token_f1, macro_f1, matthews, kappa)
"""Metrics that can score an answer that nobody gave by the targets alone."""


class Majority(NamedTuple):
    """The most frequent label of some rows, the score of answering it always, and their number."""

    label: str
    score: float
    rows: int


def majority(targets: Sequence[Any], metric: str, given: Sequence[tuple[float, Any, Any]]) -> Majority | None:
    """What always answering the most frequent label scores.

    None without rows, and where the metric cannot be computed from the targets: it is not one of
    `prompt_search.metrics` that needs no more than them, and not accuracy either, whatever its name.

    Args:
        targets: the targets of the rows.
        metric: the metric by its text, as a study stores it.
        given: the score, answer (None for one that could not be read) and target of answers that were given.

    >>> majority(["a", "b", "b", "b"], repr(exact), [])
    Majority(label='b', score=0.75, rows=4)
    """
    by = {repr(each): each for each in _BUILT_IN}.get(metric, exact if _is_accuracy(given) else None)
    if by is None or not targets or any(target is None or not references(target) for target in targets):
        return None
    counted = Counter(label for target in targets for label in {*map(_text, references(target))})
    label = min(counted, key=lambda label: (-counted[label], label))
    pairs = [(label, Row({"target": target}, target="target")) for target in targets]
    scores = by.influences(pairs) if isinstance(by, Corpus) else [by(answer, row) for answer, row in pairs]
    return Majority(label, by.score_range.clipped(sum(scores) / len(scores)), len(pairs))


def _is_accuracy(given: Sequence[tuple[float, Any, Any]]) -> bool:
    """Whether scores are 1 for just the answers that are the target, and else 0; both have to occur."""
    if {score for score, _, _ in given} != {0.0, 1.0} or any(target in (None, []) for _, _, target in given):
        return False
    return all(
        score == float(answer is not None and exact(answer, Row({"target": target}, target="target")))
        for score, answer, target in given
    )


def _text(label: Any) -> str:
    return label if isinstance(label, str) else json.dumps(label, ensure_ascii=False, default=str)
