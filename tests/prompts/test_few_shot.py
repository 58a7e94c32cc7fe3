"""Few-shot pickers: deterministic, nested, balanced, and never the scored row."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.prompts.few_shot import ExamplePool
from tests.prompts.examples import pool_of

FIXED = ["random 1", "random 2", "random 3", "balanced 1", "balanced 2", "balanced 3", "diverse"]


@pytest.mark.parametrize("picker", FIXED)
def test_a_fixed_picker_gives_the_same_examples_in_equal_pools(picker: str) -> None:
    """Two pools with equal rows show the same examples, whatever was picked from them before."""
    fresh, used = pool_of(40), pool_of(40)
    used.pick("random 2", 7)
    used.pick(picker, 1)

    assert fresh.pick(picker, 6) == used.pick(picker, 6)


@pytest.mark.parametrize("picker", FIXED)
def test_fewer_shots_are_the_first_of_more_shots(picker: str) -> None:
    """A picker is a ranking: n shots are the first n of n + 1, without repeats."""
    pool = pool_of(24)
    ranking = pool.pick(picker, 24)

    assert [pool.pick(picker, count) for count in range(25)] == [ranking[:count] for count in range(25)]
    assert {row["text"] for row in ranking} == {row["text"] for row in pool.examples}


def test_numbers_tell_sets_apart_and_default_to_one() -> None:
    """Another number is another set; a picker without a number is its first set."""
    pool = pool_of(60)

    assert pool.pick("random 1", 8) != pool.pick("random 2", 8)
    assert pool.pick("balanced 1", 8) != pool.pick("balanced 2", 8)
    assert pool.pick("random", 8) == pool.pick("random 1", 8)


def test_pickers_are_the_same_in_every_process() -> None:
    """A stored study means the same examples after a restart, whatever the hash seed."""
    code = """
        from prompt_search.prompts.few_shot import ExamplePool
        rows = tuple({"text": f"word{i % 7} text {i}", "label": "abc"[i % 3]} for i in range(30))
        pool = ExamplePool(rows, "label")
        print([[row["text"] for row in pool.pick(p, 5)] for p in pool.pickers() if p != "nearest"])
    """
    outputs = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(outputs) == 1


@given(st.integers(1, 8), st.integers(2, 4), st.integers(1, 3))
def test_balanced_sets_differ_by_at_most_one_in_label_counts(count: int, labels: int, number: int) -> None:
    """While every label has examples left, no label is shown twice more than another."""
    shown = pool_of(40, "abcd"[:labels]).pick(f"balanced {number}", count)
    counts = Counter(dict.fromkeys("abcd"[:labels], 0)) + Counter(row["label"] for row in shown)

    assert max(counts.values()) - min(counts.get(label, 0) for label in "abcd"[:labels]) <= 1


def test_balanced_goes_on_when_a_label_is_used_up() -> None:
    """A rare label does not end the ranking."""
    rows = tuple({"text": f"text {i}", "label": "rare" if i == 0 else "common"} for i in range(12))

    shown = ExamplePool(rows, "label").pick("balanced 1", 12)

    assert Counter(row["label"] for row in shown) == {"rare": 1, "common": 11}
    assert "rare" in {row["label"] for row in shown[:2]}


def test_diverse_takes_what_shares_no_words_first() -> None:
    """The next example is the one farthest from those chosen."""
    texts = ["a b c", "a b d", "a b c d", "x y z"]
    pool = ExamplePool(tuple({"text": text, "label": i} for i, text in enumerate(texts)), "label")

    assert [row["text"] for row in pool.pick("diverse", 2)] == ["a b c", "x y z"]


def test_the_pickers_offered_fit_the_target() -> None:
    """Balanced sets are offered only where the target has few values."""
    free_text = ExamplePool(tuple({"input": f"word {i}", "output": f"mot {i}"} for i in range(10)), "output")

    assert pool_of(10).pickers()[0] == "balanced 1"
    assert free_text.pickers() == ("random 1", "random 2", "random 3", "diverse", "nearest")
    assert ExamplePool((), "label").fields == ()
    assert len(ExamplePool((), "label")) == 0


@pytest.mark.parametrize("picker", ["best", "random x", "balanced -1", ""])
def test_an_unknown_picker_is_refused(picker: str) -> None:
    """The error names the pickers there are."""
    with pytest.raises(ValueError, match=r"a picker must be 'random 1', 'balanced 1'.*'diverse' or 'nearest', got"):
        pool_of(4).pick(picker, 1)
