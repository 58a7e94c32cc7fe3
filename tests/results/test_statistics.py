"""Intervals and paired comparisons against what they are known to be."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
import random

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import stats

from prompt_search.metrics import UNBOUNDED, Range
from prompt_search.results.cut_prompts import suspected_cut
from prompt_search.results.statistics import (
    POWER,
    _sign_flip_p,
    independent,
    mcnemar_power,
    mean_interval,
    not_worse,
    own_row_test,
    paired_difference,
    t_power,
)
from prompt_search.results.verdict import Verdict
from prompt_search.results.wording import difference_text

shares = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)
scores = st.lists(st.floats(-5, 5), min_size=2, max_size=40)


@given(shares)
def test_share_interval_is_wilsons(values: list[float]) -> None:
    """For right and wrong the bounds solve |mean - p| = z sqrt(p (1 - p) / n), inside [0, 1], around the mean."""
    low, high = mean_interval(values)
    mean, z = float(np.mean(values)), 1.959963984540054
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(mean - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / len(values)), abs=1e-6)


@given(scores.filter(lambda values: not np.isin(values, (0.0, 1.0)).all() and np.ptp(values) > 1e-3))
def test_score_interval_is_students(values: list[float]) -> None:
    """For other scores it is Student's t interval around the mean."""
    low, high = mean_interval(values)
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=max(float(error), 1e-300))
    assert (low, high) == pytest.approx(tuple(expected), abs=1e-6)


@given(st.lists(st.floats(-2, 3), min_size=2, max_size=40), st.lists(st.floats(-2, 3), min_size=2, max_size=40))
def test_intervals_keep_to_the_range_of_the_metric(first: list[float], second: list[float]) -> None:
    """Intervals of scores stay inside the range around their mean, those of differences inside its width."""
    bounds, rows = Range(-2, 3), min(len(first), len(second))
    low, high = mean_interval(first, bounds=bounds)
    assert -2 <= low <= np.mean(first) + 1e-9
    assert np.mean(first) - 1e-9 <= high <= 3
    found = paired_difference(first[:rows], second[:rows], bounds=bounds)
    assert -5 <= found.low <= found.difference + 1e-9
    assert found.difference - 1e-9 <= found.high <= 5
    assert math.isnan(found.detectable) or found.detectable <= 5


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=40), st.floats(-9, 9), st.floats(0.1, 9))
def test_intervals_do_not_depend_on_the_unit_of_scores(values: list[float], low: float, width: float) -> None:
    """Scores in another unit have the interval in that unit."""
    shares = mean_interval(values, bounds=Range(0, 1))
    scaled = mean_interval([low + width * value for value in values], bounds=Range(low, low + width))
    assert scaled == pytest.approx([low + width * end for end in shares], abs=1e-5)


def test_an_interval_without_a_range_is_not_clipped() -> None:
    """The range that was seen is not assumed: without a stated one the interval is Student's; one end is clipped."""
    values = [1.0] * 8 + [0.4] * 2
    free, share = mean_interval(values), mean_interval(values, bounds=Range(0, 1))
    assert free == pytest.approx((0.699, 1.061), abs=0.001)
    assert share == pytest.approx((0.608, 0.972), abs=0.001)
    assert mean_interval(values, bounds=Range(high=1)) == (free[0], 1.0)
    assert mean_interval(values, bounds=UNBOUNDED) == free


@pytest.mark.parametrize(
    ("score", "bounds", "ends"),
    [
        (0.5, Range(0, 1), (0.331, 0.669)),
        (0.9, Range(0, 1), (0.595, 0.934)),
        (0.1 + 0.2, Range(0, 1), (0.198, 0.537)),
        (1.0, Range(0, 2), (0.662, 1.338)),
        (2.0, Range(0, 2), (1.323, 2.0)),
        (0.5, UNBOUNDED, (math.nan, math.nan)),
        (0.5, Range(high=1), (math.nan, math.nan)),
    ],
)
def test_ten_equal_scores_have_no_interval_of_width_0(score: float, bounds: Range, ends: tuple[float, float]) -> None:
    """What was not seen in ten rows may be in a third of all: the interval is that wide where the range is known, as
    wide as of ten right answers at its end, and unknown where the range is."""
    assert mean_interval([score] * 10, bounds=bounds) == pytest.approx(ends, abs=0.001, nan_ok=True)


def test_equal_differences_have_no_interval_of_width_0() -> None:
    """Two prompts that score the same on each of 30 rows may differ on others."""
    same = paired_difference([0.5] * 30, [0.5] * 30, bounds=Range(0, 1))
    assert (same.low, same.high) == pytest.approx((-0.122, 0.122), abs=0.001)


def test_right_and_wrong_answers_of_another_range_are_scores_like_others() -> None:
    """Scores of 0 and 1 are shares only where the metric may give no others."""
    assert mean_interval([0, 1, 1], bounds=Range(0, 1)) == mean_interval([0, 1, 1])
    assert mean_interval([0, 1, 1], bounds=Range(0, 5))[1] > 1
    assert mean_interval([5, 5, 5, 5], bounds=Range(0, 5))[0] < 5


@pytest.mark.parametrize(("a", "b"), [(0.4, 0.4), (4, 0.4), (9, 1), (12, 12)])
def test_intervals_near_the_ends_of_the_range_cover(a: float, b: float) -> None:
    """Of 1,000 samples of 30 scores about 95% of the intervals hold the mean, near the ends of the range too."""
    drawn = np.random.default_rng(1).beta(a, b, (1_000, 30))
    ends = [mean_interval(values, bounds=Range(0, 1)) for values in drawn.tolist()]
    assert 0.92 <= np.mean([low <= a / (a + b) <= high for low, high in ends]) <= 0.98


def test_interval_covers_as_often_as_it_says() -> None:
    """Of 400 samples of 40 rows with 70% right about 95% of the intervals hold 0.7."""
    generator = random.Random(1)
    held = 0
    for _ in range(400):
        low, high = mean_interval([float(generator.random() < 0.7) for _ in range(40)])
        held += low <= 0.7 <= high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize("values", [[], [math.nan], [0.5], [math.nan, 0.25]])
def test_too_few_scores_have_no_interval(values: list[float]) -> None:
    """No score, or one that is neither 0 nor 1, says nothing about the spread."""
    assert all(math.isnan(bound) for bound in mean_interval(values))


def test_missing_scores_are_left_out() -> None:
    """NaN is no zero."""
    assert mean_interval([1, 0, math.nan, 1]) == mean_interval([1, 0, 1])


def test_other_level_is_wider_or_narrower() -> None:
    """A higher level gives a wider interval."""
    values = [1.0] * 7 + [0.0] * 3
    assert mean_interval(values, 0.99)[0] < mean_interval(values)[0] < mean_interval(values, 0.5)[0]


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=60))
def test_right_and_wrong_are_compared_exactly(pairs: list[tuple[float, float]]) -> None:
    """McNemar's exact p; difference, won and lost rows as counted; the verdict follows p and sign."""
    first, second = zip(*pairs, strict=True)
    found = paired_difference(first, second)
    won, lost = sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
    assert (found.rows, found.won, found.lost) == (len(pairs), won, lost)
    assert found.difference == pytest.approx((won - lost) / len(pairs))
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert found.p == pytest.approx(expected)
    assert -1 <= found.low <= found.high <= 1
    assert found.verdict == ("not shown" if found.p >= 0.05 else "better" if won > lost else "worse")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=11))
@example([(0.0, 0.0), (0.5, 0.5)])
@example([(0.5, 0.5), (0.0, 1.0)])
def test_comparison_is_symmetric(pairs: list[tuple[float, float]]) -> None:
    """Swapping the two prompts swaps the sign and nothing else."""
    first, second = zip(*pairs, strict=True)
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9, nan_ok=True)
    assert there.p == pytest.approx(back.p)
    assert {there.verdict, back.verdict} in ({"not shown"}, {"better", "worse"})


def test_other_scores_are_compared_by_permutation() -> None:
    """Eight rows that all gain something have two of 256 sign patterns as extreme."""
    first = [0.1, 0.2, 0.3, 0.4, 0.5, 0.15, 0.25, 0.35]
    found = paired_difference(first, [score + 0.1 + index / 100 for index, score in enumerate(first)])
    assert found.p == pytest.approx(2 / 256)
    assert found.verdict == "better"


@given(st.lists(st.integers(-10, 10), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_p_of_graded_scores_is_exact(tenths: list[int], generator: random.Random) -> None:
    """It is the share of sign patterns that are as extreme, counted in whole numbers, in whatever order and unit the
    scores are given: 0.1 + 0.2 ties with 0.3."""
    assume(any(tenths))
    sums = [abs(sum(map(operator.mul, signs, tenths))) for signs in itertools.product((-1, 1), repeat=len(tenths))]
    exact = sum(each >= abs(sum(tenths)) for each in sums) / len(sums)
    shuffled = generator.sample(tenths, len(tenths))
    for change in (
        [each / 10 for each in tenths],
        [each / 10 for each in shuffled],
        [each * 7e5 / 3 for each in tenths],
    ):
        assert _sign_flip_p(np.array(change)) == pytest.approx(exact)


@given(st.integers(0, 2**32 - 1))
def test_p_of_many_rows_does_not_depend_on_their_order(seed: int) -> None:
    """Where signs are drawn, the same rows in another order have the same p, near that of the t test."""
    generator = np.random.default_rng(seed)
    change = generator.normal(0.2, 1.0, 60)
    p = _sign_flip_p(change)
    assert _sign_flip_p(generator.permutation(change)) == p
    t = change.mean() / (change.std(ddof=1) / math.sqrt(len(change)))
    assert p == pytest.approx(2 * stats.t.sf(abs(t), len(change) - 1), abs=0.03)


def test_rows_without_both_scores_are_left_out() -> None:
    """A row on which one request failed compares nothing."""
    found = paired_difference([0, math.nan, 1, 0], [1, 1, math.nan, 0])
    assert (found.rows, found.won, found.lost, found.difference) == (2, 1, 0, 0.5)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_show_nothing(rows: int) -> None:
    """Below two rows nothing is shown, and p is 1."""
    found = paired_difference([0.0] * rows, [1.0] * rows)
    assert (found.rows, found.p, found.verdict) == (rows, 1.0, "not shown")
    assert math.isnan(found.low)
    assert math.isnan(found.detectable)


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_equal_prompts_show_nothing(score: float) -> None:
    """Without any difference p is 1."""
    found = paired_difference([score] * 9, [score] * 9)
    assert (found.difference, found.p, found.verdict) == (0.0, 1.0, "not shown")


# Power


@pytest.mark.parametrize(("rows", "discordant", "difference"), [(45, 0.4, 0.3), (100, 0.3, 0.1), (150, 0.2, 0.2)])
def test_power_of_the_exact_test_is_that_of_simulated_ones(rows: int, discordant: float, difference: float) -> None:
    """Of 4,000 simulated comparisons as many are shown to be better as the power says, within three standard errors."""
    generator = np.random.default_rng(0)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    won, lost, _ = generator.multinomial(rows, shares, size=4_000).T
    p = [stats.binomtest(ours, ours + theirs).pvalue for ours, theirs in zip(won.tolist(), lost.tolist(), strict=True)]
    shown = np.mean((won > lost) & (np.array(p) < 0.05))
    assert shown == pytest.approx(mcnemar_power(rows, discordant, difference), abs=3 * math.sqrt(0.25 / 4_000))


def test_power_for_other_scores_is_that_of_simulated_comparisons() -> None:
    """As for right and wrong, with 200 comparisons by permutation of 30 rows."""
    generator = np.random.default_rng(0)
    changes = generator.normal(0.1, 0.2, size=(200, 30))
    shown = np.mean([paired_difference([0.0] * 30, change).verdict == "better" for change in changes.tolist()])
    assert shown == pytest.approx(t_power(30, 0.2, 0.1), abs=3 * math.sqrt(0.25 / 200))


@given(shares.filter(lambda values: len(values) > 11), st.integers(0, 60))
def test_detectable_difference_is_shown_four_times_in_five(values: list[float], shift: int) -> None:
    """Its power, with as many rows that differ as were seen, is `POWER`."""
    other = values[shift % len(values) :] + values[: shift % len(values)]
    found = paired_difference(values, other)
    discordant = (found.won + found.lost + 1) / (found.rows + 2)
    assert mcnemar_power(found.rows, discordant, found.detectable) == pytest.approx(POWER, abs=1e-3)


def test_more_rows_detect_smaller_differences() -> None:
    """With four times the rows about half the difference can be shown, for shares and for other scores."""
    for first, second in [([0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]), ([0.1, 0.4, 0.2], [0.2, 0.3, 0.4])]:
        few, many = (paired_difference(first * count, second * count).detectable for count in (30, 120))
        assert many == pytest.approx(few / 2, rel=0.15)


def test_five_rows_can_show_no_difference_between_right_and_wrong() -> None:
    """Even if all five speak for one prompt p is 0.0625."""
    assert math.isnan(paired_difference([0.0] * 5, [1.0] * 5).detectable)


def test_own_row_test_is_that_of_random_pairings() -> None:
    """Where answers have nothing to do with rows, p is uniform, also with several prompts on the same rows."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(400):
        answers = [generator.integers(0, 2, (10, 1)) for _ in range(3)]
        targets = [generator.permutation([0, 1] * 5) for _ in range(3)]
        lucky = [np.where(generator.random((10, 1)) < 0.2, 1 - answer, answer) for answer in answers]
        blocks = [
            np.array([given == target, other == target], dtype=float)
            for given, other, target in zip(answers, lucky, targets, strict=True)
        ]
        found.append(own_row_test(blocks))
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.median(found) == pytest.approx(0.5, abs=0.06)


def test_own_row_test_finds_answers_that_fit() -> None:
    """Answers right four times in five are told from chance with thirty rows; one label for all rows tells nothing."""
    generator = np.random.default_rng(0)
    targets = [generator.permutation([0, 1] * 5) for _ in range(3)]
    answers = [np.where(np.arange(10) < 8, target, 1 - target) for target in targets]
    fitting = [(answer[:, None] == target)[None].astype(float) for answer, target in zip(answers, targets, strict=True)]
    assert own_row_test(fitting) < 0.001
    constant = [(np.zeros((10, 1)) == target)[None].astype(float) for target in targets]
    assert math.isnan(own_row_test(constant))
    assert own_row_test([*fitting, *constant]) == own_row_test(fitting)


def test_more_uncertainty_is_never_surer() -> None:
    """What is no worse with some uncertainty is no worse with less, and no worse within a wider margin."""
    assert not_worse(-0.01, 0.006, margin=0.02)
    assert not_worse(-0.01, 0.005, margin=0.02)
    assert not_worse(-0.01, 0.006, margin=0.03)
    assert not not_worse(-0.01, 0.007, margin=0.02)


def test_rows_that_one_prompt_is_missing_cannot_decide() -> None:
    """A difference that is gone when the missing rows count as wrong is not shown; its numbers stay."""
    nan = math.nan
    whole = paired_difference([0] * 10 + [1] * 10, [1] * 10 + [1] * 10)
    assert (whole.verdict, whole.missing, whole.guarded) == ("better", 0, False)
    second_missing = paired_difference([0] * 10 + [1] * 10 + [1] * 8, [1] * 10 + [1] * 10 + [nan] * 8)
    assert (second_missing.verdict, second_missing.missing, second_missing.guarded) == ("not shown", 8, True)
    numbers = ("difference", "low", "high", "p", "rows", "won", "lost")
    assert all(getattr(second_missing, name) == getattr(whole, name) for name in numbers)
    few = paired_difference([0] * 10 + [1] * 10 + [1], [1] * 10 + [1] * 10 + [nan])
    assert (few.verdict, few.missing, few.guarded) == ("better", 1, False)
    both = paired_difference([0] * 10 + [nan] * 50, [1] * 10 + [nan] * 50)
    assert (both.verdict, both.missing, both.guarded) == ("better", 50, False)
    first_missing = paired_difference([1] * 10 + [nan] * 8, [0] * 10 + [1] * 8)
    assert (first_missing.verdict, first_missing.guarded) == ("not shown", True)


def test_a_guarded_verdict_says_what_keeps_it_back() -> None:
    """The sentence of a difference that missing rows could take away says so instead of what could be detected."""
    guarded = Verdict.of(paired_difference([0] * 10 + [1] * 18, [1] * 20 + [math.nan] * 8))
    assert difference_text(guarded, "test rows") == (
        "difference +0.500 (+0.228 to +0.681), p = 0.002; 8 test rows without an answer left out: counted as wrong, "
        "they would leave no such difference"
    )


@pytest.mark.parametrize(
    ("sizes", "tokens", "cut"),
    [
        ([4000, 7000, 9000, 10000, 11000, 12000, 13000], [1000, 1750, 2048, 2048, 2048, 2048, 2048], 2048),
        ([9000, 10000, 11000, 12000, 14000], [2048] * 5, 2048),
        ([9000, 9500, 10000, 11000, 14000, 300], [2047, 2047, 2047, 2047, 2047, 80], 2047),
        (list(range(400, 12000, 400)), [min(4096, size // 4) for size in range(400, 12000, 400)], None),
        (list(range(400, 32000, 400)), [min(4096, size // 4) for size in range(400, 32000, 400)], 4096),
        ([8000, 8010, 8020, 8030, 8040, 8050], [2000] * 6, None),
        ([8000] * 50, [2000] * 50, None),
        ([900, 1000, 1100, 1200, 1300], [10] * 5, None),
        ([40, 44, 48, 52, 56, 60, 64], [10, 12, 12, 12, 12, 12, 14], None),
        ([9000, 10000, 11000, 12000, 14000, 15000], [2048] * 5 + [2000], None),
        ([9000, 10000, 11000], [2048] * 3, None),
        ([9000, 10000, 11000, 12000, 14000], [None] * 5, None),
        ([9000, 10000, 11000, 12000, 14000, 20000], [2048] * 5 + [None], 2048),
        ([], [], None),
    ],
)
def test_a_count_that_stops_growing_is_suspected(sizes: list[int], tokens: list[int | None], cut: int | None) -> None:
    """Five prompts or more of clearly different length with the same highest count, and none longer, are a sign."""
    assert suspected_cut([prose(size) for size in sizes], tokens) == cut


def prose(size: int) -> str:
    """A text of so many characters."""
    return ("word " * size)[:size]


@given(st.lists(st.lists(st.integers(1, 40), max_size=30), max_size=60))
def test_a_count_of_words_is_never_suspected(lengths: list[list[int]]) -> None:
    """Where a server counts words, long words are no cut."""
    prompts = [" ".join("w" * length for length in words) for words in lengths]
    assert suspected_cut(prompts, [len(prompt.split()) for prompt in prompts]) is None
    assert suspected_cut([*("w" * 50 * n + " some" for n in range(1, 9)), "one"], [2] * 8 + [1]) is None


def test_a_text_without_spaces_is_suspected_by_its_length() -> None:
    """Where a count is much higher than the number of words, words are not what is counted."""
    assert suspected_cut(["字" * size for size in range(500, 2600, 300)], [500, 800] + [1024] * 5) == 1024


@given(st.lists(st.tuples(st.integers(20, 9000), st.floats(2.5, 5.0)), max_size=60))
def test_tokens_that_follow_the_length_are_never_suspected(texts: list[tuple[int, float]]) -> None:
    """Where tokens are in proportion to the text, however roughly, nothing is suspected."""
    sizes = [size for size, _ in texts]
    tokens = [int(size / rate) for size, rate in texts]
    if len(set(tokens)) == len(tokens):
        assert suspected_cut([prose(size) for size in sizes], tokens) is None


@pytest.mark.parametrize("unit", [0.1, 1e200])
def test_equal_and_huge_differences_have_no_detectable_one(unit: float) -> None:
    """Differences that are equal but for rounding, and scores too large to be squared, say nothing of what would be
    detected, without a warning."""
    found = paired_difference([unit, 2 * unit, 3 * unit, 5 * unit], [2 * unit, 3 * unit, 4 * unit, 6 * unit])
    assert found.p == 0.125
    assert math.isnan(found.detectable)


# Rows that repeat each other


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=12),
    st.integers(2, 4),
    st.randoms(use_true_random=False),
)
def test_repeated_rows_are_no_evidence(pairs: list[tuple[float, float]], times: int, generator: random.Random) -> None:
    """Every row several times, in any order, gives the comparison of the different rows; only rows are counted."""
    whole = [(*pair, row) for row, pair in enumerate(pairs)] * times
    generator.shuffle(whole)
    first, second, requests = zip(*whole, strict=True)
    found = paired_difference(first, second, requests=requests)
    expected = paired_difference([one for one, _ in pairs], [other for _, other in pairs])
    counts = {"rows": times * expected.rows, "won": times * expected.won, "lost": times * expected.lost}
    assert found.distinct == expected.rows
    for name, value in dataclasses.asdict(expected).items():
        assert getattr(found, name) == pytest.approx(counts.get(name, value), nan_ok=True, abs=1e-12), name


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=30))
def test_independent_scores_have_the_mean_of_all_rows(rows: list[tuple[float, int]]) -> None:
    """However often each request occurs, the mean stays that of the rows."""
    scores, requests = zip(*rows, strict=True)
    found = independent(np.array(scores), requests)
    assert len(found) == len(set(requests))
    assert found.mean() == pytest.approx(np.mean(scores))


def test_comparison_says_that_rows_repeat() -> None:
    """A comparison on repeated rows names the number of different ones."""
    verdict = Verdict.of(paired_difference([0, 0, 0, 0], [1, 1, 1, 1], requests=["a", "a", "b", "b"]))
    assert difference_text(verdict, "test rows") == (
        "difference +1.000 (-0.193 to +1.000), p = 0.5; only 2 of the test rows are different, and rows that repeat "
        "each other count as one; with so few test rows no difference would be detected with 80% power"
    )
