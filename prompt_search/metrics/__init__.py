"""How good an answer is: a metric is any callable ``(answer, row)`` that gives bool, float or Score.

It may be ``async``. The ones here compare with the row's target, or another ``column``; a target that is a
list holds several accepted answers, of which the best match counts. All of them lie between 0 and 1.

``macro_f1``, ``matthews``, ``kappa``, ``corpus_bleu`` and ``WorstSlice(metric, by=column)`` are metrics of all rows
together (`prompt_search.metrics.corpus`): the score of a row is then what it adds, so that means are the metric.
"""

from prompt_search.metrics.corpus import Corpus, WorstSlice
from prompt_search.metrics.row import (
    MOST_MARGIN,
    Bleu,
    Chrf,
    Exact,
    Includes,
    Metric,
    Numeric,
    ReferenceMetric,
    Score,
    TokenF1,
    bleu,
    check,
    chrf,
    corpus_bleu,
    exact,
    includes,
    kappa,
    macro_f1,
    margin,
    matthews,
    metric_name,
    numeric,
    score,
    token_f1,
)

__all__ = [
    "MOST_MARGIN",
    "Bleu",
    "Chrf",
    "Corpus",
    "Exact",
    "Includes",
    "Metric",
    "Numeric",
    "ReferenceMetric",
    "Score",
    "TokenF1",
    "WorstSlice",
    "bleu",
    "check",
    "chrf",
    "corpus_bleu",
    "exact",
    "includes",
    "kappa",
    "macro_f1",
    "margin",
    "matthews",
    "metric_name",
    "numeric",
    "score",
    "token_f1",
]
