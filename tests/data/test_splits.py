"""Splits and folds: repeated rows stay together, classes stay in proportion."""

from __future__ import annotations

import random
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.data.dataset import Dataset
from prompt_search.data.splits import Splits
from prompt_search.errors import DataError, InputError
from tests.data.conftest import Write, make
from tests.profiles import examples


def test_few_repeated_plain_targets_are_categorical() -> None:
    """A target is a class if it has few values, hardly any of them only once, and none is a list."""
    assert make(list("abcd"), list("xyxy")).is_categorical
    assert not make(list("abc"), list("xyx")).is_categorical
    assert not make(list("ab"), [["x"], ["x"]]).is_categorical
    assert not make(["a"] * 102, [i // 2 for i in range(102)]).is_categorical
    assert make(["a"] * 20, ["x", "y"] * 9 + ["x", "z"]).is_categorical
    assert not make(["a"] * 20, ["x", "y"] * 9 + ["w", "z"]).is_categorical


def test_class_with_one_row_is_on_one_side() -> None:
    """A class of a single row does not keep the others from being split in proportion."""
    data = make([f"text {i}" for i in range(61)], ["x", "y"] * 30 + ["z"])
    splits = data.splits(0.3, 0)
    targets = [data.rows[index].target for index in splits.test]
    assert [targets.count(label) for label in "xy"] == [9, 9]
    assert data.labels == ["x", "y", "z"]
    assert sorted([*splits.search, *splits.test]) == list(range(61))


def test_is_stratified_and_exact() -> None:
    """Each class has its share of the test, which has the requested size."""
    data = make([f"t{i}" for i in range(100)], ["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    split = data.splits(0.3, 0)
    assert Counter(data.rows[index].target for index in split.test) == {"a": 18, "b": 9, "c": 3}
    assert len(data.splits(31, 0).test) == 31


def test_depends_on_seed_and_content_not_on_order() -> None:
    """The same rows in another order are split alike, another seed splits them otherwise."""
    texts = [f"t{i}" for i in range(40)]
    shuffled = random.Random(1).sample(texts, len(texts))

    def test_texts(texts: list[str], seed: int) -> set[str]:
        data = make(texts, [text[-1] in "02468" for text in texts])
        return {data.rows[index].text for index in data.splits(10, seed).test}

    assert test_texts(texts, 0) == test_texts(shuffled, 0)
    assert test_texts(texts, 0) != test_texts(texts, 1)


@settings(max_examples=examples(100))
@given(
    st.lists(st.tuples(st.sampled_from(["A b", "a  B", "c", "d", "E", "e ", "f", "g"]), st.sampled_from("xyz"))),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_repeated_rows_stay_together(pairs: list[tuple[str, str]], test: float, seed: int) -> None:
    """Both sides are disjoint and cover all, the test is no larger than asked, no row is on both."""
    if len(pairs) < 4 or len({text.casefold().replace(" ", "") for text, _ in pairs}) < 4:
        return
    data = make([text for text, _ in pairs], [label for _, label in pairs])
    try:
        split = data.splits(test, seed)
    except DataError:
        return  # the smallest group is larger than the test
    assert sorted(split.search + split.test) == list(range(len(pairs)))
    assert 1 <= len(split.test) <= max(1, round(test * len(pairs)))

    def texts(indices: tuple[int, ...]) -> set[str]:
        return {" ".join(pairs[index][0].casefold().split()) for index in indices}

    assert not texts(split.search) & texts(split.test)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from("ab")), min_size=4, max_size=60),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_folds_part_all_rows(content: list[tuple[int, str]], count: int, seed: int) -> None:
    """Every row is in one fold, repeated rows in the same one; folds and classes in them are of nearly one size."""
    data = Dataset(
        pd.DataFrame([(f"text {n}", label) for n, label in content], columns=["text", "label"]), target="label"
    )
    distinct = {number for number, _ in content}
    if len(distinct) < max(count, 4):
        with pytest.raises(DataError, match=f"{count} folds need at least {max(count, 4)} distinct rows"):
            data.folds(count, seed)
        return
    folds = data.folds(count, seed)
    assert sorted(row for fold in folds for row in fold) == list(range(len(data)))
    held = [{data.rows[row]["text"] for row in fold} for fold in folds]
    assert sum(map(len, held)) == len(distinct)
    assert data.folds(count, seed) == folds
    for fold in folds:
        assert data.splits(fold, seed).test == fold
    if len(distinct) == len(content):
        for label in "ab" if data.is_categorical else ():
            sizes = [sum(data.rows[row].target == label for row in fold) for fold in folds]
            assert max(sizes) - min(sizes) <= 1


def test_listed_test_rows() -> None:
    """Rows given by number are the test, none may be; unknown ones and half of a repetition are refused."""
    data = Dataset(pd.DataFrame({"text": ["one", "two", "three", "Two ", "five"], "label": "a"}), target="label")
    assert data.splits((4, 0), 0).test == (0, 4)
    assert data.splits((), 0).search == (0, 1, 2, 3, 4)
    with pytest.raises(
        InputError, match="test rows must be row numbers from 0 to 4 and leave at least 2 search rows; got 1 from 5"
    ):
        data.splits((5,), 0)
    with pytest.raises(InputError, match="got 4 from 0 to 3"):
        data.splits((0, 1, 2, 3), 0)
    with pytest.raises(DataError, match="row 1 and row 3 repeat each other, so both or none can be test rows"):
        data.splits((1,), 0)


def test_folds_refused() -> None:
    """One fold is none, and a user's own split is not overruled."""
    rows = pd.DataFrame({"text": list("abcdef"), "label": "a", "split": ["test", "test", *["search"] * 4]})
    with pytest.raises(InputError, match="at least 2 folds, not 1"):
        Dataset(rows, target="label").folds(1, 0)
    with pytest.raises(
        DataError, match="the split column 'split' fixes the test rows, so cross_fit cannot choose others"
    ):
        Dataset(rows, target="label", split="split").folds(2, 0)


def test_a_given_split_is_kept() -> None:
    """A split column decides, whatever the requested size and seed are."""
    frame = pd.DataFrame({"text": list("abcd"), "label": list("xyxy"), "side": ["search", "Test ", "test", "search"]})
    assert Dataset(frame, target="label", split="side").splits(1, 0) == Splits((0, 3), (1, 2))


def test_a_row_on_both_sides_is_refused(write: Write) -> None:
    """A duplicate across the two sides of a given split is an error that names both lines."""
    path = write("a.csv", "text,label,side\na b,x,search\nb,y,test\nc,x,test\nA  b,x,test\n")
    with pytest.raises(DataError, match=r"a.csv line 5: this row repeats line 2 .* put both on one side"):
        Dataset.read(path, target="label", split="side").splits(1, 0)
    frame = pd.DataFrame({"text": list("abca"), "label": list("xyxy"), "side": ["search"] * 3 + ["test"]})
    with pytest.raises(DataError, match=r"row 3 .* repeats row 0"):
        Dataset(frame, target="label", split="side").splits(1, 0)


def test_impossible_splits() -> None:
    """Too few rows, too few distinct ones, an empty side or a wrong size are errors."""
    data = make(list("abcd"), list("xyxy"))
    with pytest.raises(DataError, match="needs at least 4 rows, not 3; add rows"):
        data.head(3).splits(1, 0)
    for size in (0, 3):
        with pytest.raises(InputError, match=f"between 1 and 2 of the 4 rows, not {size}"):
            data.splits(size, 0)
    with pytest.raises(InputError, match=r"between 0 and 1, not 1\.5"):
        data.splits(1.5, 0)
    with pytest.raises(
        DataError, match=r"no set of at most 1 of the 4 rows can be the test rows, .* \(2 distinct rows\)"
    ):
        make(["a", "A", "b", "B"], list("xyxy")).splits(1, 0)
    frame = pd.DataFrame({"text": list("abcd"), "label": list("xyxy"), "side": ["test"] * 4})
    with pytest.raises(DataError, match="must put rows on both sides, not 0 on search and 4 on test"):
        Dataset(frame, target="label", split="side").splits(1, 0)
