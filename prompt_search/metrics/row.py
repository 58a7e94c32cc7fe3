"""How good an answer is: a metric is any callable ``(answer, row)`` that gives bool, float or Score.

It may be ``async``. The ones here compare with the row's target, or another ``column``; a target that is a
list holds several accepted answers, of which the best match counts. All of them lie between 0 and 1.

``macro_f1``, ``matthews``, ``kappa``, ``corpus_bleu`` and ``WorstSlice(metric, by=column)`` are metrics of all rows
together (`prompt_search.metrics.corpus`): the score of a row is then what it adds, so that means are the metric.
"""

from __future__ import annotations

import inspect
import math
import re
import string
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache, partial
from numbers import Real
from typing import Any, ClassVar

from prompt_search.answers.forms import Unparsed, number_in
from prompt_search.data.dataset import Row, references
from prompt_search.errors import InputError, MissingExtra, PromptSearchError
from prompt_search.metrics.corpus import Corpus, CorpusBleu, Kappa, MacroF1, Matthews
from prompt_search.metrics.corpus import WorstSlice as WorstSlice

MOST_MARGIN = 6.0


@dataclass(frozen=True, slots=True)
class Score:
    """A finite number, higher being better, and if one likes, why.

    ``margin`` is for metrics that are either right or wrong: by how much, above 0 where right. The search then
    needs fewer rows to tell prompts apart; no table or verdict uses it.
    """

    value: float | bool
    explanation: str = ""
    margin: float | None = None


Metric = Callable[[Any, Row], "bool | float | Score | Awaitable[bool | float | Score]"]


async def score(metric: Metric, answer: Any, row: Row) -> Score:
    """The metric's score of one answer, as a float. An ``Unparsed`` answer scores 0 and is not shown to it.

    Raises ``InputError`` if the metric raises, or gives NaN, infinity or something that is no number.

    >>> import asyncio
    >>> asyncio.run(score(exact, "Yes", Row({"text": "?", "label": "yes"}, target="label")))
    Score(value=1.0, explanation='', margin=None)
    """
    if isinstance(answer, Unparsed):
        return Score(0.0, f"unparsed: {answer.reason}")
    name = metric_name(metric)
    try:
        result = metric(answer, row)
        if inspect.isawaitable(result):
            result = await result
    except PromptSearchError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise InputError(f"the metric {name} raised {type(error).__name__}: {message}; correct the metric") from error
    explained = result if isinstance(result, Score) else Score(result)
    margin = None if explained.margin is None else _finite(explained.margin, name)
    return Score(_finite(explained.value, name), explained.explanation, margin)


def margin(metric: Metric, probabilities: Mapping[str, float] | None, row: Row) -> float | None:
    """By how much a label is right: the log-odds of the right labels against the likeliest wrong one, -6 to 6.

    ``None`` for another metric than ``Exact``, and where there are no probabilities.

    >>> round(margin(exact, {"yes": 0.75, "no": 0.25}, Row({"text": "?", "label": "no"}, target="label")), 2)
    -1.1
    """
    if probabilities is None or not isinstance(metric, Exact):
        return None
    right = {label for label in probabilities if metric(label, row)}
    if not 0 < len(right) < len(probabilities):
        return None
    likeliest = [
        max(probability for label, probability in probabilities.items() if (label in right) is wanted)
        for wanted in (True, False)
    ]
    least = math.exp(-MOST_MARGIN)  # a label that the server did not list
    odds = math.log(max(likeliest[0], least) / max(likeliest[1], least))
    return max(-MOST_MARGIN, min(MOST_MARGIN, odds))


def metric_name(metric: Metric) -> str:
    """Its ``name``, or that of the function or class.

    >>> metric_name(exact), metric_name(lambda answer, row: True)
    ('exact', '<lambda>')
    """
    if isinstance(metric, partial):
        return metric_name(metric.func)
    name = getattr(metric, "name", None)
    return name if isinstance(name, str) else getattr(metric, "__name__", type(metric).__name__)


def check(metric: Metric, fields: Collection[str]) -> None:
    """Check before a run that a metric can work on rows with these columns; other callables are not asked.

    Raises ``InputError`` for something that is no callable or an unknown column, ``MissingExtra`` for a
    missing package.
    """
    if not callable(metric):
        raise InputError(f"a metric must be callable as metric(answer, row), not {metric!r}; give a function")
    if isinstance(metric, (ReferenceMetric, Corpus)):
        metric.validate(fields)


def _finite(value: Any, name: str) -> float:
    # NumPy's truth values are no Python numbers.
    plain = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(plain, Real) or not math.isfinite(plain):
        raise InputError(
            f"a metric must give a truth value, a finite number or a Score, but {name} gave {value!r}; "
            "return 0 for a worthless answer"
        )
    return float(plain)


@dataclass(frozen=True, slots=True)
class ReferenceMetric(ABC):
    """Compares the answer with each accepted one in ``column`` (the target if ``None``); the best counts."""

    name: ClassVar[str]
    _: KW_ONLY
    column: str | None = None

    def validate(self, fields: Collection[str]) -> None:
        """Check before a run that it can work on rows with these columns.

        Raises ``InputError`` for an unknown column and ``MissingExtra`` for a missing package.
        """
        if self.column is not None and self.column not in fields:
            raise InputError(
                f"the metric {self.name} needs the column {self.column!r}, which is not in the data; "
                f"there are: {', '.join(sorted(fields)) or 'none'}"
            )

    def __call__(self, answer: Any, row: Row) -> float:
        expected = row.target if self.column is None else row[self.column]
        if expected is None or expected == []:
            what = "the target" if self.column is None else f"the column {self.column!r}"
            raise InputError(f"{what} of a row is empty, and the metric {self.name} needs it; fill it in every row")
        return self._best(answer, expected)

    def _best(self, answer: Any, expected: Any) -> float:
        return max(self._compare(answer, reference) for reference in references(expected))

    @abstractmethod
    def _compare(self, answer: Any, expected: Any) -> float: ...


@dataclass(frozen=True, slots=True)
class Exact(ReferenceMetric):
    """1 if the answer is the same, else 0: numbers by value, text without regard to white space and case.

    Where one of the two is a number, text that is written as one counts as it; commas may part groups of three digits
    before the point (``1,234.5``), and stand nowhere else.

    >>> row = Row({"question": "?", "answer": ["New York", "NYC"]}, target="answer")
    >>> Exact()("new  york", row), Exact(casefold=False)("nyc", row)
    (1.0, 0.0)
    """

    name: ClassVar[str] = "exact"
    _: KW_ONLY
    casefold: bool = True

    def _best(self, answer: Any, expected: Any) -> float:
        # A JSON answer can itself be a list.
        same_list = isinstance(answer, list) and answer == expected
        return 1.0 if same_list else ReferenceMetric._best(self, answer, expected)

    def _compare(self, answer: Any, expected: Any) -> float:
        if isinstance(answer, (dict, list)) or isinstance(expected, (dict, list)):
            return float(answer == expected)
        if _is_number(answer) or _is_number(expected):
            numbers = _number(answer), _number(expected)
            if None not in numbers:
                return float(numbers[0] == numbers[1])
        return float(_text(answer, self.casefold) == _text(expected, self.casefold))


@dataclass(frozen=True, slots=True)
class Includes(ReferenceMetric):
    """1 if the expected text occurs in the answer, within a word too, else 0; compared as in ``Exact``.

    >>> Includes()("It is Paris.", Row({"country": "France", "capital": "Paris"}, target="capital"))
    1.0
    """

    name: ClassVar[str] = "includes"
    _: KW_ONLY
    casefold: bool = True

    def _compare(self, answer: Any, expected: Any) -> float:
        return float(_text(expected, self.casefold) in _text(answer, self.casefold))


@dataclass(frozen=True, slots=True)
class Numeric(ReferenceMetric):
    """1 if the numbers differ by at most ``tolerance``, or ``relative`` times the expected one, else 0.

    Text is read as ``answers.Number`` does; an answer without a number scores 0, a target without one is an
    ``InputError``, as is a negative tolerance.

    >>> Numeric(relative=0.01)("about 1,005", Row({"q": "?", "n": 1000}, target="n"))
    1.0
    """

    name: ClassVar[str] = "numeric"
    tolerance: float = 1e-6
    relative: float = 0.0

    def __post_init__(self) -> None:
        if not (self.tolerance >= 0 and self.relative >= 0):
            raise InputError(
                f"a tolerance must be 0 or more, not {self.tolerance} and relative {self.relative}; fix it"
            )

    def _compare(self, answer: Any, expected: Any) -> float:
        given, wanted = _read_number(answer), _read_number(expected)
        if wanted is None:
            raise InputError(f"the metric numeric needs a number to compare with, not {expected!r}; use another")
        return float(given is not None and abs(given - wanted) <= max(self.tolerance, self.relative * abs(wanted)))


@dataclass(frozen=True, slots=True)
class TokenF1(ReferenceMetric):
    """F1 of the words shared, without case, punctuation and articles (Rajpurkar et al. 2016, SQuAD).

    >>> TokenF1()("the cat sat", Row({"q": "?", "a": "A cat sat down"}, target="a"))
    0.8
    """

    name: ClassVar[str] = "token_f1"

    def _compare(self, answer: Any, expected: Any) -> float:
        given, wanted = _squad_words(answer), _squad_words(expected)
        shared = sum((Counter(given) & Counter(wanted)).values())
        if not given or not wanted:
            return float(given == wanted)
        return 2 * shared / (len(given) + len(wanted))


@dataclass(frozen=True, slots=True)
class _Translation(ReferenceMetric):
    def validate(self, fields: Collection[str]) -> None:
        ReferenceMetric.validate(self, fields)
        _sacrebleu(self.name)

    def _best(self, answer: Any, expected: Any) -> float:
        accepted = [str(reference) for reference in references(expected)]
        percent: float = _sacrebleu(self.name).sentence_score(str(answer), accepted).score
        return min(1.0, percent / 100)  # rounding can leave it a little above

    def _compare(self, answer: Any, expected: Any) -> float:
        return self._best(answer, expected)


@dataclass(frozen=True, slots=True)
class Bleu(_Translation):
    """Sentence BLEU by sacrebleu with effective order (Papineni et al. 2002; Post 2018), 0 to 1.

    Needs the extra ``text``. All accepted answers are its references together.
    """

    name: ClassVar[str] = "bleu"


@dataclass(frozen=True, slots=True)
class Chrf(_Translation):
    """Sentence chrF by sacrebleu (Popović 2015), 0 to 1. Needs the extra ``text``."""

    name: ClassVar[str] = "chrf"


exact = Exact()
includes = Includes()
numeric = Numeric()
token_f1 = TokenF1()
bleu = Bleu()
chrf = Chrf()
macro_f1 = MacroF1()
matthews = Matthews()
kappa = Kappa()
corpus_bleu = CorpusBleu()


@lru_cache(maxsize=2)
def _sacrebleu(name: str) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingExtra(f"the metric {name}", package="sacrebleu", extra="text") from error
    return BLEU(effective_order=True) if name == "bleu" else CHRF()


def _text(value: Any, casefold: bool) -> str:
    text = " ".join(str(value).split())
    return text.casefold() if casefold else text


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_GROUPED = re.compile(r"\s*[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?(?:e[-+]?\d+)?\s*", re.IGNORECASE)
"""A number whose digits before the point are in groups of three: ``1,234`` is one, ``1,2`` and ``0,123`` are not."""


def _number(value: Any) -> float | None:
    """The value as a number if it is one or is written as one, else ``None``."""
    if _is_number(value):
        return float(value)
    text = str(value)
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        return None if "_" in text else float(text)  # Python alone groups digits by underscores
    except ValueError:
        return None


def _read_number(value: Any) -> float | None:
    return float(value) if _is_number(value) else number_in(str(value))


def _squad_words(value: Any) -> list[str]:
    text = "".join(character for character in str(value).lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()
