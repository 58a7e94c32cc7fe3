"""Metrics of single rows on hand-worked cases."""

import math
import sys
from collections import Counter
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search import metrics
from prompt_search.data.rows import Row
from prompt_search.errors import InputError, MissingExtra
from prompt_search.metrics import Bleu, Chrf, Exact, Includes, Numeric, TokenF1
from prompt_search.metrics.row import _sacrebleu

BUILT_IN = [
    metrics.exact,
    metrics.includes,
    metrics.token_f1,
    metrics.bleu,
    metrics.chrf,
]


def row(target: Any, **others: Any) -> Row:
    return Row({"text": "?", **others, "answer": target}, target="answer")


class TestExact:
    @pytest.mark.parametrize(
        ("answer", "target", "same"),
        [
            ("Yes", "yes", True),
            (" New\n York ", "new york", True),
            ("yes.", "yes", False),
            (18.0, 18, True),
            (18.0, "18", True),
            (1234.0, "1,234.0", True),
            ("1,234", 1234, True),
            (" -1,234,567.5e1\n", -12345675, True),
            ("12,345.", 12345, True),
            ("+.5", 0.5, True),
            ("1,2", 12, False),
            ("12,34", 1234, False),
            ("1234,567", 1234567, False),
            ("1,2345", 12345, False),
            ("1,,234", 1234, False),
            (",234", 234, False),
            ("1,234,", 1234, False),
            ("1.234,567", 1.234567, False),
            ("0,123", 123, False),
            ("1_2", 12, False),
            ("1_234", 1234, False),
            (12, "1,2", False),
            ("18", 18, True),
            (18.0, "eighteen", False),
            ("True", True, True),
            (["a", "b"], ["a", "b"], True),
            ("b", ["a", "b"], True),
            ("c", ["a", "b"], False),
            ({"a": 1}, {"a": 1}, True),
            ({"a": 1}, {"a": 2}, False),
            ("nan", "nan", True),
            ("Don’t know", "don't know", True),
            ("cafe\u0301", "café", True),
            ("yes\u200b", "yes", True),
            ("ｙｅｓ", "yes", True),
            ("a–b", "a-b", True),
            ("STRASSE", "Straße", True),
            ("oﬃce", "office", True),
            ("1", 1.0, True),
            ("1.0", 1, True),
            (1.0, "1", True),
            ("3/4", 0.75, True),
            ("1.234,56", 1234.56, True),
            ("12,5", 12.5, True),
            ("−3", -3, True),
            ("2×10^3", 2000, True),
            ("18 apples", 18, False),
            ("3-4", 4, False),
            ("v1", 1, False),
        ],
    )
    def test_compares_numbers_by_value_and_text_without_case(self, answer: Any, target: Any, same: bool) -> None:
        """White space and case do not matter, numbers are equal by value, one of several targets suffices."""
        assert metrics.exact(answer, row(target)) == float(same)

    def test_case_can_matter(self) -> None:
        """With casefold=False case is compared too."""
        assert Exact(casefold=False)("Yes", row("yes")) == 0

    @given(st.text(min_size=1))
    def test_a_text_equals_itself(self, text: str) -> None:
        """An answer that repeats its target gets everything from each of them."""
        assert metrics.exact(text, row(text)) == 1
        assert metrics.includes(f"x{text}x", row(text)) == 1
        assert metrics.token_f1(text, row(text)) == 1


class TestIncludes:
    def test_finds_the_text_anywhere(self) -> None:
        """The target may stand anywhere in the answer, white space and case aside."""
        assert metrics.includes("It is NEW\nYork.", row("new york")) == 1
        assert metrics.includes("York", row("new york")) == 0
        assert Includes(casefold=False)("PARIS", row("Paris")) == 0


class TestNumeric:
    @pytest.mark.parametrize(
        ("answer", "target", "options", "value"),
        [
            (18.0, 18, {}, 1),
            ("so $1,234", "1234", {}, 1),
            (18.1, 18, {}, 0),
            (18.1, 18, {"tolerance": 0.2}, 1),
            (101, 100, {"relative": 0.01}, 1),
            (-98.9, -100, {"relative": 0.01}, 0),
            ("none", 18, {}, 0),
            (4, [3, 4], {}, 1),
            ("\\boxed{1{,}000}", "1.000,0", {}, 1),
            ("Answer: 3/4", 0.75, {}, 1),
            ("from 3 to 4", 4, {}, 0),
        ],
    )
    def test_within_tolerance(self, answer: Any, target: Any, options: dict[str, Any], value: float) -> None:
        """The difference may be the absolute or the relative tolerance, whichever is larger."""
        assert Numeric(**options)(answer, row(target)) == value

    def test_refuses_what_cannot_work(self) -> None:
        """A target without a number and a negative or NaN tolerance are errors."""
        with pytest.raises(InputError, match="numeric needs a number to compare with, not 'many'"):
            metrics.numeric(1.0, row("many"))
        for tolerance in (-1, math.nan):
            with pytest.raises(InputError, match=f"a tolerance must be 0 or more, not {tolerance}"):
                Numeric(tolerance)


class TestTokenF1:
    @pytest.mark.parametrize(
        ("answer", "target", "value"),
        [
            ("the cat sat", "A cat sat down", 0.8),
            ("The Cat!", "cat", 1),
            ("dog", "cat", 0),
            ("the", "a", 1),
            ("the", "cat", 0),
            ("b b c", "b b b", 2 / 3),
            ("cat", ["dog", "cat nap", "bird"], 2 / 3),
        ],
    )
    def test_hand_worked(self, answer: str, target: Any, value: float) -> None:
        """Words are shared as often as both have them; articles and punctuation are not words."""
        assert metrics.token_f1(answer, row(target)) == pytest.approx(value)

    @given(st.lists(st.sampled_from("bcd")), st.lists(st.sampled_from("bcd"), min_size=1))
    def test_is_the_harmonic_mean_of_precision_and_recall(self, given: list[str], wanted: list[str]) -> None:
        """The value equals F1 computed from its definition."""
        shared = sum((Counter(given) & Counter(wanted)).values())
        expected = 0.0
        if shared:
            precision, recall = shared / len(given), shared / len(wanted)
            expected = 2 * precision * recall / (precision + recall)
        assert metrics.token_f1(" ".join(given), row(" ".join(wanted))) == pytest.approx(expected)


class TestTranslation:
    def test_equals_sacrebleu(self) -> None:
        """The values are sacrebleu's own, divided by 100; accepted answers are references together."""
        from sacrebleu import sentence_bleu, sentence_chrf

        answer, target = "the cat sat on a mat", ["a cat sat on the mat", "the cat was on the mat"]
        expected = sentence_bleu(answer, target, use_effective_order=True).score / 100
        assert metrics.bleu(answer, row(target)) == pytest.approx(expected)
        assert metrics.chrf(answer, row(target)) == pytest.approx(sentence_chrf(answer, target).score / 100)

    @pytest.mark.parametrize("metric", [Bleu(), Chrf()], ids=lambda metric: metric.name)
    def test_one_and_zero(self, metric: Any) -> None:
        """The same text scores exactly 1, a wholly different one 0."""
        assert metric("le petit chat noir dort", row("le petit chat noir dort")) == 1
        assert metric("xyz", row("chat")) == 0
        assert metric("chat", row("chat")) == 1

    def test_without_sacrebleu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A missing package is found before the run and names the extra."""
        _sacrebleu.cache_clear()
        monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
        with pytest.raises(MissingExtra, match=r"the metric bleu needs the package 'sacrebleu'.*\[text\]"):
            metrics.check(metrics.bleu, ["text"])


class TestColumns:
    def test_another_column_than_the_target(self) -> None:
        """A metric can compare with any column of the row."""
        assert Exact(column="city")("Paris", row("France", city="paris")) == 1
        assert TokenF1(column="city")("France", row("France", city="paris")) == 0

    def test_unknown_columns_are_refused_before_the_run(self) -> None:
        """The error lists the columns there are; known ones and other callables pass."""
        with pytest.raises(InputError, match=r"exact needs the column 'town', which is not .*: city, text"):
            metrics.check(Exact(column="town"), ["text", "city"])
        with pytest.raises(InputError, match=r"callable as metric.answer, row., not 'exact'; give a function"):
            metrics.check("exact", ["text"])  # type: ignore[arg-type]
        for metric in (Exact(column="text"), Bleu(column="text"), metrics.chrf, lambda answer, row: True):
            metrics.check(metric, ["text"])

    def test_an_empty_column_is_refused(self) -> None:
        """A row with nothing to compare with is an error that names the column."""
        with pytest.raises(InputError, match="the column 'city' of a row is empty, and the metric exact needs it"):
            Exact(column="city")("Paris", row("x", city=None))
        with pytest.raises(InputError, match="the target of a row is empty"):
            metrics.exact("Paris", row([]))

    @given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=3))
    def test_values_lie_between_zero_and_one(self, answer: str, target: list[str]) -> None:
        """Whatever the texts, each metric of text stays in its range, and more targets never hurt."""
        for metric in BUILT_IN:
            assert 0 <= metric(answer, row(target)) <= 1
        assert metrics.exact(answer, row(target)) >= metrics.exact(answer, row(target[0]))


class TestMargin:
    def test_is_the_log_odds_of_the_right_labels(self) -> None:
        """A margin is above 0 where a right label is the likeliest, and at most 6 where the others are not listed."""
        probabilities = {"yes": 0.6, "Yes": 0.1, "no": 0.3, "maybe": 0.0}
        assert metrics.margin(metrics.exact, probabilities, row("yes")) == pytest.approx(math.log(2))
        assert metrics.margin(metrics.exact, probabilities, row(["no", "maybe"])) == pytest.approx(-math.log(2))
        assert metrics.margin(metrics.exact, {"yes": 1.0, "no": 0.0}, row("yes")) == 6
        assert metrics.margin(metrics.exact, {"yes": 1.0, "no": 0.0}, row("no")) == -6

    def test_is_none_where_there_is_nothing_to_compare(self) -> None:
        """Without probabilities, with right labels only or none, and for other metrics there is no margin."""
        assert metrics.margin(metrics.exact, None, row("yes")) is None
        assert metrics.margin(metrics.exact, {"yes": 0.5, "no": 0.5}, row("perhaps")) is None
        assert metrics.margin(metrics.exact, {"yes": 0.5, "no": 0.5}, row(["yes", "no"])) is None
        assert metrics.margin(metrics.includes, {"yes": 0.5, "no": 0.5}, row("yes")) is None


@pytest.mark.parametrize("metric", [metrics.exact, metrics.includes, metrics.token_f1])
def test_long_answer_is_prepared_once_for_all_accepted_ones(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million characters beside a thousand accepted answers take no longer than beside a few."""
    folded = Mock(side_effect=str.casefold)
    monkeypatch.setattr("prompt_search.metrics.row.folded", folded)
    answer = f"another {metric.name} "  # the prepared texts of the last few answers are kept
    metric(answer, row([f"accepted {number}" for number in range(50)]))
    assert [call.args for call in folded.call_args_list].count((answer,)) == 1
