"""Texts that nearly repeat each other."""

from __future__ import annotations

from collections.abc import Sequence

SHINGLE = 5
"""Length, in characters, of the runs that two texts are compared by."""

ALIKE = 0.8
"""The least similarity at which two texts count as near duplicates."""

CHUNK = 256
"""Number of texts that are compared with all others at a time, to bound the memory."""


def near_duplicates(first: Sequence[str], second: Sequence[str], alike: float = ALIKE) -> list[tuple[int, int, float]]:
    """For each text of ``first`` the most similar text of ``second``, where their similarity is at least ``alike``.

    The similarity of two texts, 0 to 1, is the share of common runs of five characters among all runs of both (Broder
    1997, On the resemblance and containment of documents). Case and white space make no difference.

    Returns:
        One tuple per text that has a near duplicate: position in ``first``, position in ``second``, similarity rounded
        to two digits; the most similar first.

    >>> near_duplicates(["A cat sat down."], ["Dogs bark.", "a cat  sat down!"], alike=0.7)
    [(0, 1, 0.83)]
    """
    from scipy import sparse

    known: dict[str, int] = {}
    shingles = [[_shingles(text) for text in texts] for texts in (first, second)]
    for text in (*shingles[0], *shingles[1]):
        for shingle in text:
            known.setdefault(shingle, len(known))

    def matrix(texts: Sequence[set[str]]) -> sparse.csr_array:
        columns = [known[shingle] for text in texts for shingle in text]
        rows = [row for row, text in enumerate(texts) for _ in text]
        return sparse.csr_array(([1.0] * len(rows), (rows, columns)), shape=(len(texts), len(known)))

    one, other = (matrix(texts) for texts in shingles)
    sizes = [[len(text) for text in texts] for texts in shingles]
    found = []
    for start in range(0, len(first), CHUNK):
        shared = (one[start : start + CHUNK] @ other.T).tocoo()
        best: dict[int, tuple[float, int]] = {}
        for row, column, count in zip(shared.row.tolist(), shared.col.tolist(), shared.data.tolist(), strict=True):
            similarity = count / (sizes[0][start + row] + sizes[1][column] - count)
            if similarity >= alike and (similarity, -column) > best.get(row, (0.0, 0)):
                best[row] = similarity, -column
        found += [(start + row, -column, round(similarity, 2)) for row, (similarity, column) in best.items()]
    return sorted(found, key=lambda pair: (-pair[2], pair[0]))


def _shingles(text: str) -> set[str]:
    plain = " ".join(text.casefold().split())
    return {plain[start : start + SHINGLE] for start in range(max(1, len(plain) - SHINGLE + 1))}
