"""Texts that nearly repeat each other are found, others are not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prompt_search.data.duplicates import near_duplicates

texts = st.lists(st.text(alphabet="ab c\n", max_size=30), max_size=12)


@given(texts, texts)
def test_similarity_is_the_share_of_common_runs(first: list[str], second: list[str]) -> None:
    """For each text the best of all comparisons made one by one, if it is alike enough."""

    def runs(text: str) -> set[str]:
        plain = " ".join(text.casefold().split())
        return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}

    expected = {}
    for index, text in enumerate(first):
        alike = [len(runs(text) & runs(other)) / len(runs(text) | runs(other)) for other in second]
        if alike and max(alike) >= 0.5:
            expected[index] = round(max(alike), 2)
    found = near_duplicates(first, second, alike=0.5)
    assert {one: similarity for one, _, similarity in found} == expected
    assert [pair[2] for pair in found] == sorted((pair[2] for pair in found), reverse=True)


def test_case_and_space_make_no_difference() -> None:
    """The same words written otherwise are wholly alike; many texts are compared in parts."""
    assert near_duplicates(["Where  is my\nparcel?"], ["where is my parcel?"]) == [(0, 0, 1.0)]
    many = [f"text number {index} of its own {index**3}" for index in range(600)]
    assert near_duplicates(many, many, alike=1.0) == [(index, index, 1.0) for index in range(600)]
