"""Scores of the answer to each row by the target of each other row: whether answers belong to their rows at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.metrics import ReferenceMetric

Floats = NDArray[np.float64]

MIN_PROBABILITY = 1e-4
"""Probability of a label that the server did not list among the likeliest tokens."""


def pairing_scores(
    evaluator: Evaluator, prepared: PreparedPrompt, outcomes: Sequence[Outcome], *, plain: bool = False
) -> Floats | None:
    """Scores of the answer to each row (first axis) by the target of each row (second axis), without a call.

    Where label probabilities are known, it is the logarithm of the probability of the target's label.

    Args:
        evaluator: has the rows, the metric and the responses.
        prepared: the prompt.
        outcomes: its outcomes that are no errors.
        plain: whether to give the metric's own scores in any case.

    Returns:
        an array of shape (n, n) for n outcomes; None for a metric that is not from `prompt_search.metrics`: it may
        cost money, and is called once a row.
    """
    metric = evaluator.settings.metric
    if not isinstance(metric, ReferenceMetric):
        return None
    rows = [evaluator.settings.rows[outcome.row] for outcome in outcomes]
    table = []
    known = [None] * len(rows) if plain else _probabilities(evaluator, prepared, outcomes)
    for outcome, probabilities in zip(outcomes, known, strict=True):
        if probabilities is None:
            table.append([0.0 if outcome.unparsed else metric(outcome.answer, row) for row in rows])
        else:
            right = [sum(p for label, p in probabilities.items() if metric(label, row)) for row in rows]
            table.append([math.log(max(probability, MIN_PROBABILITY)) for probability in right])
    return np.array(table)


def _probabilities(
    evaluator: Evaluator, prepared: PreparedPrompt, outcomes: Sequence[Outcome]
) -> list[Mapping[str, float] | None]:
    """The probabilities of the labels in the response to each row; None where they are not known, as with a task, which
    may answer with something else."""
    keys = [[key for _, key in evaluator.requests((prepared, outcome.row))] for outcome in outcomes]
    responses = evaluator.responder.responses({key for of_row in keys for key in of_row})
    found = [[responses[key] for key in of_row] for of_row in keys]
    return [prepared.answer.probabilities(each[-1], each[0] if each[1:] else None) if each else None for each in found]
