"""Metrics of all rows together, such as macro F1, which are not the mean of a score per row.

The search compares prompts on few rows, and a verdict compares them row by row: both need a number for each row. The
number of a row is its influence, a pseudo-value of the jackknife (Tukey 1958, Efron 1982): the metric on all rows, plus
n - 1 times the difference between the mean of all leave-one-out values and the value without this row. The mean of the
influences stands for the metric, and their spread gives its standard error.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, ClassVar

from prompt_search.answers import Unparsed
from prompt_search.answers.reading.plain_text import folded
from prompt_search.data.rows import Row, listed, references
from prompt_search.errors import InputError, MissingExtra
from prompt_search.metrics.base import BuiltInMetric
from prompt_search.metrics.ranges import SHARE, UNBOUNDED, Range, metric_range
from prompt_search.metrics.text_answer import comparable

Counts = Counter[Hashable]
"""Sums over rows, by the name of what is counted."""

CORRELATION = Range(-1.0, 1.0)
"""The range of measures of agreement beyond chance."""

MOST_NGRAM = 4
"""The longest word sequence that BLEU counts."""


class Corpus(BuiltInMetric):
    """A metric of all rows together: counts are taken of each row, and the metric is a function of their sums."""

    name: ClassVar[str]

    @property
    def score_range(self) -> Range:
        """The range of the metric of all rows. The influence of a row may lie outside of it."""
        return UNBOUNDED

    @abstractmethod
    def counts(self, answer: Any, row: Row) -> Counts:
        """The counts of one row; ``answer`` may be ``Unparsed``."""

    @abstractmethod
    def value(self, totals: Counts) -> float:
        """The metric for the sums of counts over some rows."""

    def validate(self, fields: Collection[str]) -> None:
        return  # most corpus metrics need no column but the target

    def __call__(self, answer: Any, row: Row) -> float:
        """The metric of a single row."""
        return self.value(self.counts(answer, row))

    def influences(self, pairs: Sequence[tuple[Any, Row]]) -> list[float]:
        """The influence of each (answer, row) pair, in their order; the mean of all is the metric.

        >>> rows = [Row({"x": "", "y": label}, target="y") for label in "aab"]
        >>> found = MacroF1().influences(list(zip("aaa", rows)))
        >>> [round(value, 3) for value in found], round(sum(found) / 3, 3)
        ([0.844, 0.844, -0.489], 0.4)
        """
        if not pairs:
            return []
        counted = [self.counts(answer, row) for answer, row in pairs]
        totals: Counts = Counter()
        for counts in counted:
            totals.update(counts)
        whole = self.value(totals)
        if len(pairs) < 2:
            return [whole] * len(pairs)
        without = []
        for counts in counted:
            rest = totals.copy()
            rest.subtract(counts)
            without.append(self.value(Counter({key: count for key, count in rest.items() if count})))
        middle = sum(without) / len(without)
        return [whole + (len(pairs) - 1) * (middle - value) for value in without]


@dataclass(frozen=True, slots=True)
class _Agreement(Corpus):
    """A metric of how often each target got each answer. Case and white space make no difference."""

    def counts(self, answer: Any, row: Row) -> Counts:
        accepted = [_label(reference) for reference in references(row.target)]
        given = None if isinstance(answer, Unparsed) else _label(answer)
        return Counter({(given if given in accepted else accepted[0], given): 1})

    def value(self, totals: Counts) -> float:
        pairs: dict[tuple[Any, Any], int] = {pair: count for pair, count in totals.items() if isinstance(pair, tuple)}
        targets: Counter[Any] = Counter()
        answers: Counter[Any] = Counter()
        for (target, answer), count in pairs.items():
            targets[target] += count
            answers[answer] += count
        return self._agreement(Counter({t: pairs.get((t, t), 0) for t in targets}), targets, answers)

    @abstractmethod
    def _agreement(self, right: Counter[Any], targets: Counter[Any], answers: Counter[Any]) -> float:
        """The metric, given how often each label is a right answer, a target, and an answer."""


@dataclass(frozen=True, slots=True)
class MacroF1(_Agreement):
    """The mean of F1, the harmonic mean of precision and recall, over the labels among the targets; 0 to 1.

    All labels count alike, however rare they are.
    """

    name: ClassVar[str] = "macro_f1"

    @property
    def score_range(self) -> Range:
        return SHARE

    def _agreement(self, right: Counter[Any], targets: Counter[Any], answers: Counter[Any]) -> float:
        return sum(2 * right[label] / (targets[label] + answers[label]) for label in targets) / len(targets)


@dataclass(frozen=True, slots=True)
class Matthews(_Agreement):
    """Matthews' correlation coefficient, for any number of labels (Gorodkin 2004); -1 to 1, 0 for chance."""

    name: ClassVar[str] = "matthews"

    @property
    def score_range(self) -> Range:
        return CORRELATION

    def _agreement(self, right: Counter[Any], targets: Counter[Any], answers: Counter[Any]) -> float:
        rows = sum(targets.values())
        covariance = sum(right.values()) * rows - sum(targets[label] * answers[label] for label in targets)
        spreads = [rows**2 - sum(count**2 for count in counted.values()) for counted in (targets, answers)]
        return covariance / (spreads[0] * spreads[1]) ** 0.5 if all(spreads) else 0.0


@dataclass(frozen=True, slots=True)
class Kappa(_Agreement):
    """Cohen's kappa (Cohen 1960): agreement beyond the agreement of chance; at most 1, 0 for chance."""

    name: ClassVar[str] = "kappa"

    @property
    def score_range(self) -> Range:
        return CORRELATION

    def _agreement(self, right: Counter[Any], targets: Counter[Any], answers: Counter[Any]) -> float:
        rows = sum(targets.values())
        chance = sum(targets[label] * answers[label] for label in targets) / rows**2
        return (sum(right.values()) / rows - chance) / (1 - chance) if chance < 1 else 0.0


@dataclass(frozen=True, slots=True)
class CorpusBleu(Corpus):
    """BLEU of all rows together by sacrebleu (Papineni et al. 2002; Post 2018), 0 to 1. It needs the extra ``text``."""

    name: ClassVar[str] = "corpus_bleu"

    @property
    def score_range(self) -> Range:
        return SHARE

    def validate(self, fields: Collection[str]) -> None:
        _bleu()

    def counts(self, answer: Any, row: Row) -> Counts:
        given = "" if isinstance(answer, Unparsed) else str(answer)
        # The effective order does not change the counts; without it sacrebleu logs a warning for each short answer.
        accepted = [str(reference) for reference in references(row.target)]
        found = _bleu()(effective_order=True).sentence_score(given, accepted)
        counts: Counts = Counter({"answer": found.sys_len, "reference": found.ref_len})
        for length, (shared, total) in enumerate(zip(found.counts, found.totals, strict=True)):
            counts["shared", length] = shared
            counts["total", length] = total
        return counts

    def value(self, totals: Counts) -> float:
        shared, total = ([totals[kind, length] for length in range(MOST_NGRAM)] for kind in ("shared", "total"))
        found = _bleu().compute_bleu(shared, total, totals["answer"], totals["reference"], smooth_method="exp")
        return min(1.0, float(found.score) / 100)


@dataclass(frozen=True, slots=True, repr=False)
class WorstSlice(Corpus):
    """The mean of a metric over the rows of the group that does worst.

    Args:
        metric: a metric of single rows that is no coroutine function.
        by: name of the column that groups the rows; it may be the target.

    Raises:
        InputError: when a run begins: there is no such column, or the metric is a coroutine function.
    """

    metric: Callable[[Any, Row], Any]
    by: str
    name: ClassVar[str] = "worst_slice"

    @property
    def score_range(self) -> Range:
        return metric_range(self.metric)

    def __repr__(self) -> str:
        """A text that is the same in every process. A function's own text holds its address."""
        metric = repr(self.metric) if is_dataclass(self.metric) else getattr(self.metric, "__name__", "metric")
        return f"WorstSlice({metric}, by={self.by!r})"

    def validate(self, fields: Collection[str]) -> None:
        if self.by not in fields:
            raise InputError(
                f"the metric {self.name} groups by the column {self.by!r}, which is not in the data; "
                f"there are: {listed(sorted(fields))}"
            )
        if inspect.iscoroutinefunction(self.metric):
            raise InputError(
                f"the metric {self.name} cannot use a coroutine function as its metric; give a plain function"
            )

    def counts(self, answer: Any, row: Row) -> Counts:
        seen = answer if isinstance(self.metric, BuiltInMetric) else comparable(answer, row)
        given = self.score_range.wrong if isinstance(answer, Unparsed) else self.metric(seen, row)
        group = str(row[self.by])
        return Counter({("rows", group): 1, ("score", group): float(getattr(given, "value", given))})

    def value(self, totals: Counts) -> float:
        groups = [key[1] for key in totals if isinstance(key, tuple) and key[0] == "rows"]
        return min((totals["score", group] / totals["rows", group] for group in groups), default=0.0)


macro_f1 = MacroF1()
matthews = Matthews()
kappa = Kappa()
corpus_bleu = CorpusBleu()


def _label(value: Any) -> str:
    text = " ".join(folded(str(value)).split())
    # Tables turn the label 1 into 1.0.
    return text.removesuffix(".0") if text.removesuffix(".0").removeprefix("-").isdigit() else text


def _bleu() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise MissingExtra("the metric corpus_bleu", package="sacrebleu", extra="text") from error
    return BLEU
