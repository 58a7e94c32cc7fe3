"""Which rows a model answers rightly by itself, and with what reasoning: what pickers of shots need to know."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prompt_search.answers.reading.reasoning import reasoning_before
from prompt_search.evaluation.outcome import Outcome
from prompt_search.llm.messages import Response
from prompt_search.metrics.ranges import Range
from prompt_search.prompts.few_shot import OwnAnswers


def own_answers(outcomes: Mapping[int, Outcome | None], responses: Mapping[str, Response], scores: Range) -> OwnAnswers:
    """How the model answered the rows of a pool.

    A row is solved with a score in the highest third of the scores that is better than that of an unread answer. Any
    other is hard with a score in the lowest third that is not the best there is. Where every answer is right or wrong,
    these are the right ones and the wrong ones. A request that failed says nothing about its row.

    Args:
        outcomes: by position in the pool; None where the budget left no room.
        responses: by key of the request.
        scores: the range of the metric.
    """
    scored = {
        position: (outcome.score, outcome.key)
        for position, outcome in outcomes.items()
        if outcome is not None and outcome.error is None and outcome.score is not None
    }
    ordered = sorted(score for score, _ in scored.values())
    if not ordered:
        return OwnAnswers()
    third = (len(ordered) - 1) // 3
    low, high = ordered[third], ordered[-1 - third]
    best = scores.high if math.isfinite(scores.high) else ordered[-1]
    right = {at: key for at, (score, key) in scored.items() if score >= high and score > scores.wrong}
    wrong = {at for at, (score, _) in scored.items() if score <= low and score < best}
    return OwnAnswers(
        right={position: reasoning_before(responses[key].text) for position, key in right.items()},
        wrong=frozenset(wrong - right.keys()),
    )
