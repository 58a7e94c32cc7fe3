"""Metrics that compare the answer of a row with its target, or with another column."""

from __future__ import annotations

import math
import re
import string
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, ClassVar

from prompt_search.answers.reading.number_reading import number_in, whole_number
from prompt_search.answers.reading.plain_text import cleaned, folded
from prompt_search.data.rows import Row, listed, references
from prompt_search.errors import InputError, MissingExtra
from prompt_search.metrics.base import BuiltInMetric, Metric
from prompt_search.metrics.ranges import SHARE, Range

MOST_MARGIN = 6.0
"""Margins lie between minus this and this: a label that the server did not list has no known probability."""


@dataclass(frozen=True, slots=True)
class ReferenceMetric(BuiltInMetric):
    """A metric that compares an answer with each accepted one; the best match counts. Its values lie between 0 and 1.

    Attributes:
        column: the column with the accepted answer, or a list of them; None for the target.
    """

    name: ClassVar[str]
    score_range: ClassVar[Range] = SHARE
    _: KW_ONLY
    column: str | None = None

    def validate(self, fields: Collection[str]) -> None:
        if self.column is not None and self.column not in fields:
            raise InputError(
                f"the metric {self.name} needs the column {self.column!r}, which is not in the data; "
                f"there are: {listed(sorted(fields))}"
            )

    def __call__(self, answer: Any, row: Row) -> float:
        expected = row.target if self.column is None else row[self.column]
        if expected is None or expected == []:
            what = "the target" if self.column is None else f"the column {self.column!r}"
            raise InputError(f"{what} of a row is empty, and the metric {self.name} needs it; fill it in every row")
        return self._best(answer, expected)

    def _best(self, answer: Any, expected: Any) -> float:
        """The value for the accepted answer that matches best, or for all accepted answers together."""
        return max(self._compare(answer, reference) for reference in references(expected))

    @abstractmethod
    def _compare(self, answer: Any, expected: Any) -> float:
        """The value of an answer where this one answer is accepted, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Exact(ReferenceMetric):
    """1 if the answer is the accepted one, else 0.

    Numbers are compared by value, text without regard to white space, typography, invisible characters and, with
    ``casefold``, case. Where one of the two is a number, text that is one number counts as it, as ``answers.Number``
    reads it: ``1,234.5``, ``1.234,5``, ``3/4``.

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
    """1 if the accepted text occurs in the answer, within a word too, else 0. Text is compared as in ``Exact``.

    >>> Includes()("It is Paris.", Row({"country": "France", "capital": "Paris"}, target="capital"))
    1.0
    """

    name: ClassVar[str] = "includes"
    _: KW_ONLY
    casefold: bool = True

    def _compare(self, answer: Any, expected: Any) -> float:
        # An accent that begins the text belongs to the letter before it, once both are written as one.
        within = _text(expected, self.casefold) in _text(answer, self.casefold)
        return float(within or str(expected) in str(answer))


@dataclass(frozen=True, slots=True)
class Numeric(ReferenceMetric):
    """1 if the number differs from the accepted one by at most ``tolerance`` or ``relative`` times that one, else 0.

    A number is read from text as ``answers.Number`` does. An answer without a number scores 0.

    Raises:
        InputError: a tolerance is negative; or, when an answer is scored, its target holds no number.

    >>> Numeric(relative=0.01)("about 1,005", Row({"q": "?", "n": 1000}, target="n"))
    1.0
    """

    name: ClassVar[str] = "numeric"
    tolerance: float = 1e-6
    relative: float = 0.0

    def __post_init__(self) -> None:
        if not (self.tolerance >= 0 and self.relative >= 0):
            raise InputError(
                f"a tolerance must be 0 or more, not {self.tolerance} and relative {self.relative}; correct it"
            )

    def _compare(self, answer: Any, expected: Any) -> float:
        given, wanted = _read_number(answer), _read_number(expected)
        if wanted is None:
            raise InputError(
                f"the metric numeric needs a number to compare with, not {expected!r}; correct the target, or use "
                "another metric"
            )
        return float(given is not None and abs(given - wanted) <= max(self.tolerance, self.relative * abs(wanted)))


@dataclass(frozen=True, slots=True)
class TokenF1(ReferenceMetric):
    """F1 of the words that both texts have, without case, punctuation and articles (Rajpurkar et al. 2016, SQuAD).

    >>> TokenF1()("the cat sat", Row({"q": "?", "a": "A cat sat down"}, target="a"))
    0.8
    """

    name: ClassVar[str] = "token_f1"

    def _compare(self, answer: Any, expected: Any) -> float:
        given, wanted = _squad_words(str(answer)), _squad_words(str(expected))
        shared = sum((Counter(given) & Counter(wanted)).values())
        if not given or not wanted:
            return float(given == wanted)
        return 2 * shared / (len(given) + len(wanted))


@dataclass(frozen=True, slots=True)
class _Translation(ReferenceMetric):
    """A metric of sacrebleu."""

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

    It needs the extra ``text``. All accepted answers together are its references.
    """

    name: ClassVar[str] = "bleu"


@dataclass(frozen=True, slots=True)
class Chrf(_Translation):
    """Sentence chrF by sacrebleu (Popović 2015), 0 to 1. It needs the extra ``text``."""

    name: ClassVar[str] = "chrf"


exact = Exact()
includes = Includes()
numeric = Numeric()
token_f1 = TokenF1()
bleu = Bleu()
chrf = Chrf()


def margin(metric: Metric, probabilities: Mapping[str, float] | None, row: Row) -> float | None:
    """The log-odds of the likeliest right label against the likeliest wrong one: between -6 and 6, above 0 where the
    answer is right.

    It is None for another metric than ``Exact``, without probabilities, and where all labels or none are right.

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


@lru_cache(maxsize=2)
def _sacrebleu(name: str) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingExtra(f"the metric {name}", package="sacrebleu", extra="text") from error
    return BLEU(effective_order=True) if name == "bleu" else CHRF()


def _text(value: Any, casefold: bool) -> str:
    return _spaced(str(value), casefold)


@lru_cache(maxsize=4)
def _spaced(text: str, casefold: bool) -> str:
    """The text as it is compared; a long answer is compared with each of many accepted ones."""
    return " ".join((folded(text) if casefold else cleaned(text)).split())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    """The value as a number if it is one or is written as one, else ``None``."""
    return float(value) if _is_number(value) else whole_number(str(value))


def _read_number(value: Any) -> float | None:
    return float(value) if _is_number(value) else number_in(str(value))


@lru_cache(maxsize=4)
def _squad_words(text: str) -> Sequence[str]:
    words = "".join(character for character in folded(text) if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", words).split()
