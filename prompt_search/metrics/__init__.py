"""Metrics: how good an answer is. A metric is any callable ``(answer, row)`` that gives bool, float or Score.

A metric may be a coroutine function. The metrics here compare the answer with the row's target, or with another
``column``. A target that is a list holds several accepted answers, and the best match counts.

``macro_f1``, ``matthews``, ``kappa``, ``corpus_bleu`` and ``WorstSlice(metric, by=column)`` are metrics of all rows
together (`prompt_search.metrics.corpus`). With them, the score of a row is its influence on the metric, so that the
mean of the scores is the metric.

``metric(low=0, high=1)`` decorates a metric of your own with the range of its scores, which all intervals then keep to.
"""

from prompt_search.metrics.base import Metric, Score, check, check_reachable, metric_name, score
from prompt_search.metrics.corpus import Corpus, WorstSlice, corpus_bleu, kappa, macro_f1, matthews
from prompt_search.metrics.json_fields import Fields, fields
from prompt_search.metrics.named import description, metric_named, recorded_metric, stored_metric
from prompt_search.metrics.ranges import UNBOUNDED, Range, metric, metric_range
from prompt_search.metrics.row import (
    MOST_MARGIN,
    Bleu,
    Chrf,
    Exact,
    Includes,
    Numeric,
    ReferenceMetric,
    TokenF1,
    bleu,
    chrf,
    exact,
    includes,
    margin,
    numeric,
    token_f1,
)

__all__ = [
    "MOST_MARGIN",
    "UNBOUNDED",
    "Bleu",
    "Chrf",
    "Corpus",
    "Exact",
    "Fields",
    "Includes",
    "Metric",
    "Numeric",
    "Range",
    "ReferenceMetric",
    "Score",
    "TokenF1",
    "WorstSlice",
    "bleu",
    "check",
    "check_reachable",
    "chrf",
    "corpus_bleu",
    "description",
    "exact",
    "fields",
    "includes",
    "kappa",
    "macro_f1",
    "margin",
    "matthews",
    "metric",
    "metric_name",
    "metric_named",
    "metric_range",
    "numeric",
    "recorded_metric",
    "score",
    "stored_metric",
    "token_f1",
]
