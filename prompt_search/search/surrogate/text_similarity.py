"""How alike texts are: TF-IDF of their words, word pairs and character 4-grams (Salton and Buckley 1988)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from prompt_search.prompts.growing.likeness import grams

Floats = NDArray[np.float64]

WORD = re.compile(r"\w+|[^\w\s]")
"""A word or a punctuation mark."""

STEPS = 1_000
"""Weights are multiples of 1 / STEPS. Sums of whole numbers are the same on every processor and in any order."""


def text_similarity(texts: Sequence[str]) -> Floats:
    """How alike each two texts are, of shape (texts, texts), with 1 on the diagonal.

    It is the mean of three cosines between weighted counts: of words, of word pairs and of character 4-grams. Case and
    white space do not count. A feature that few of the texts have weighs more. The table is positive semi-definite, as
    a mean of tables of inner products is.

    >>> text_similarity(["Answer yes or no.", "Answer yes or no!", "Be brief."]).round(2).tolist()
    [[1.0, 0.73, 0.07], [0.73, 1.0, 0.0], [0.07, 0.0, 1.0]]
    """
    plain = [" ".join(text.casefold().split()) for text in texts]
    words = [WORD.findall(text) for text in plain]
    tables = [
        _cosines(features)
        for features in (words, [pairwise(each) for each in words], [grams(f" {text} ") for text in plain])
    ]
    return np.asarray(sum(tables[1:], tables[0]) / len(tables))


def _cosines(features: Iterable[Iterable[object]]) -> Floats:
    """The cosine between the weights of each two texts, given the features of each, repeated as they occur."""
    counts = [Counter(each) for each in features]
    texts_with = Counter(feature for each in counts for feature in each)
    places = {feature: place for place, feature in enumerate(texts_with)}
    rarity = {each: math.log((1 + len(counts)) / (1 + having)) + 1 for each, having in texts_with.items()}
    entries = [
        (text, places[feature], round(STEPS * (1 + math.log(count)) * rarity[feature]))
        for text, each in enumerate(counts)
        for feature, count in each.items()
    ]
    rows, columns, weights = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    shape = (len(counts), max(1, len(places)))
    weighted: sparse.csr_matrix = sparse.csr_matrix((weights, (rows, columns)), shape=shape)
    products = (weighted @ weighted.T).toarray().astype(np.float64)
    lengths = np.sqrt(products.diagonal())
    lengths[lengths == 0] = 1  # a text without features is like no other
    cosines = np.asarray(products / np.outer(lengths, lengths))
    np.fill_diagonal(cosines, 1)
    return cosines
