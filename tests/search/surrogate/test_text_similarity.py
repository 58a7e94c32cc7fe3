"""How alike texts are, and what a search expects of a wording that nobody has tried."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.prompts.factors import Factor
from prompt_search.search.surrogate.geometry import Geometry, is_long, similarity
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.text_similarity import text_similarity

WORDINGS = (
    "Classify the message.",
    "Think step by step, then name the label.",
    "Think step by step before you name the label.",
    "Classify this message.",
)


def grown(options: tuple[str, ...], proposed: int) -> Factor:
    return Factor(name="instruction", kind="choice", options=options, grow="tells what to do", grown=proposed)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
def test_similarity_is_a_covariance(texts: list[str]) -> None:
    """For any texts the table is symmetric, 1 on the diagonal, between 0 and 1 and positive semi-definite."""
    found = text_similarity(texts)
    assert (found == found.T).all()
    assert (found.diagonal() == 1).all()
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-12
    assert np.linalg.eigvalsh(found).min() > -1e-12


@given(st.lists(st.text(max_size=30), min_size=2, max_size=6))
def test_order_of_texts_does_not_matter(texts: list[str]) -> None:
    """The similarity of two texts is the same number wherever they stand in the list."""
    found, reverse = text_similarity(texts), text_similarity(texts[::-1])
    assert (found == reverse[::-1, ::-1]).all()


def test_case_and_white_space_do_not_count() -> None:
    """Texts that differ in case and white space alone have similarity 1."""
    assert text_similarity(["Name  the label.", "NAME the\nlabel. "])[0, 1] == pytest.approx(1, abs=1e-12)


def test_rewordings_are_more_alike_than_other_texts() -> None:
    """A text is more similar to its rewording than to a text about something else."""
    found = text_similarity(WORDINGS)
    assert found[0, 3] > 0.5 > found[0, 1]
    assert found[1, 2] > 0.5 > found[1, 0]


def test_words_that_all_texts_have_count_less() -> None:
    """Two texts are more alike by a word that only they have than by one that all texts have."""
    found = text_similarity(["label one", "label two", "label three", "label rare five", "label rare six"])
    assert found[3, 4] > found[0, 1] + 0.1


def test_same_numbers_in_every_process() -> None:
    """The table does not depend on how a process orders sets and hashes texts."""
    code = (
        "from prompt_search.search.surrogate.text_similarity import text_similarity\n"
        f"print(text_similarity({WORDINGS!r}).tolist())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{text_similarity(WORDINGS).tolist()}\n".encode()}


def test_options_of_a_choice_that_has_grown_are_similar_by_their_texts() -> None:
    """With a proposed option, wordings are alike in part, each has a part of its own, and the diagonal is 1."""
    found = similarity(grown(WORDINGS, 1))
    assert (found.diagonal() == 1).all()
    assert (found == found.T).all()
    assert 0 < found[0, 3] < text_similarity(WORDINGS)[0, 3]
    assert np.linalg.eigvalsh(found).min() > 0


def test_choice_that_could_grow_but_has_not_is_as_before() -> None:
    """Without a proposed option, options are similar only to themselves."""
    assert similarity(grown(WORDINGS, 0)).tolist() == np.eye(4).tolist()


def test_grown_lists_have_a_table_for_longer() -> None:
    """A list of 300 wordings, some of them proposed, is similar by texts; without proposals it is a long list."""
    texts = tuple(f"Wording number {index}." for index in range(301))
    assert not is_long(grown(texts[:300], 1))
    assert is_long(grown(texts, 1))
    assert is_long(grown(texts[:65], 0))
    assert Geometry([grown(texts, 1)]).embed(np.array([[300]])).choices.shape == (1, 0)


@pytest.mark.parametrize(("proposed", "expected"), [(1, True), (0, False)])
def test_unseen_wording_is_expected_to_do_as_those_that_it_resembles(proposed: int, expected: bool) -> None:
    """A wording that no candidate has had is expected to be as good as a tried one like it, once a choice has grown."""
    levels = np.array([[0], [1], [2]])
    observations = Observations(
        levels, np.arange(3), np.zeros(3, np.int64), np.array([0.2, 0.8, 0.8]), np.full(3, 100.0), 0.2
    )
    model = Surrogate.fit(Geometry([grown(WORDINGS, proposed)]), observations)
    middle, unseen = model.mean(np.array([[0], [1], [2]])).mean(), model.mean(np.array([[3]]))[0]
    assert (unseen < middle - 0.1) == expected
