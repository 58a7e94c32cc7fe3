"""What is known about all candidates at once: a Gaussian process over their choices.

A score is a sum of what each choice adds, of what pairs of choices add together, of what is the candidate's own,
of how hard the rows were, and of noise. Each part has a variance that is learned from the scores. So a candidate
seen on ten rows borrows strength from all others with the same instruction, the same shots, or the same way to read
the answer, and is not blamed for hard rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from prompt_search.prompts.factors import Factor
from prompt_search.search.encoding import Levels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

POOLED = 8
"""Choices that share one list of at least this many options draw from one pool, such as slots for shots."""

PRIOR_SHARES = {"choice": 0.004, "own": 0.006, "rows": 0.15, "noise": 0.85}
"""Before any data: the part of a single score's variance that one choice, what is the candidate's own, the rows'
difficulty and noise are each expected to explain."""

TOLD_SHARES, TOLD_SPREADS = PRIOR_SHARES | {"choice": 0.0007}, (2.5, 0.7)
"""For what is told when a search has ended: the parts, and the standard deviations of the logarithms of what choices'
variances share and of what sets each apart. A search that expects so little of choices looks around too little."""

FREE_SHARES, FREE_SPREADS = PRIOR_SHARES | {"choice": 0.003, "own": 0.003}, (10.0, 1.2)
"""The same where nothing is to be expected of how much candidates differ: what is their own shares in the scale of the
choices, and that can be anything."""

MEASURED_SPREAD = {"rows": 0.3, "noise": 0.05}
"""Standard deviations of the logarithms of these variances once single scores have told them: rows are few."""

PRIOR_INTERACTION = 6.0
"""Before any data: the variance of a pair of choices, as a multiple of the product of their variances over that of
a single score."""

LEVEL_SHARE = 0.1
"""The variance of the level of all candidates over that of a single score. A search looks most at what is good, so the
mean of what was looked at is above that level."""

PRIOR_SPREAD = {"choice": 1.5, "own": 1.0, "interaction": 1.0, "rows": 0.5, "noise": 0.15}
"""Standard deviations of the logarithms of these variances before any data."""

CHUNK = 200
"""Covariances are computed for so many candidates at a time, as each part of them is a matrix of its own."""

MOST_LEARNED = 400
"""From how many looks the variances are learned: they are few numbers, and the time grows with the cube."""


def similarity(factor: Factor) -> Floats:
    """How alike two options are, of shape (options, options), with 1 on the diagonal.

    Numbers are the more alike the nearer they are, but no shots are unlike any number of them; orders are the more
    alike the more pairs of items they have in the same order (Kendall 1938; Jiao and Vert 2018); of anything else an
    option is alike only to itself.
    """
    options = factor.options
    if factor.kind in ("integer", "examples"):
        apart = np.abs(np.subtract.outer(range(len(options)), range(len(options))))
        near = np.asarray(np.exp(-apart / max(1.0, len(options) / 3)))
        if factor.kind == "examples" and options[0] == 0:
            near[0, 1:] = near[1:, 0] = 0
        return near
    if factor.kind == "order":
        places = np.array([[option.index(item) for item in options[0]] for option in options])
        first, second = np.triu_indices(places.shape[1], 1)
        signs = np.sign(places[:, first] - places[:, second])
        return np.asarray((1 + signs @ signs.T / max(1, len(first))) / 2, dtype=np.float64)
    return np.eye(len(options))


def _features(table: Floats) -> Floats:
    """A factor of a positive semi-definite table, with a row of zeros at the end for the inactive level -1."""
    values, vectors = np.linalg.eigh(table)
    kept = values > 1e-10 * max(1.0, values[-1])
    return np.vstack([vectors[:, kept] * np.sqrt(values[kept]), np.zeros(int(kept.sum()))])


@dataclass(frozen=True)
class Embedding:
    """Candidates in the coordinates in which each similarity is an inner product."""

    choices: Floats
    squares: Floats
    pools: Floats
    identity: Integers

    def __getitem__(self, which: slice) -> Embedding:
        return Embedding(self.choices[which], self.squares[which], self.pools[which], self.identity[which])


class Geometry:
    """The similarities of a space: one for each choice, one for each pool that several choices draw from.

    Effects are measured from the mean over all options (tables are centred), so that what pairs add is no part of
    what single choices add; an inactive choice adds nothing.
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        self.choices = [index for index, factor in enumerate(factors) if len(factor.options) > 1]
        shared: dict[tuple[Any, ...], list[int]] = {}
        for index in self.choices:
            if factors[index].kind == "choice" and len(factors[index].options) >= POOLED:
                shared.setdefault(factors[index].texts, []).append(index)
        self.pools = [columns for columns in shared.values() if len(columns) > 1]
        tables = []
        for index in self.choices:
            table = similarity(factors[index])
            centred = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
            tables.append(centred / centred.diagonal().mean())
        self._choice_features = [_features(table) for table in tables]
        self._square_features = [_features(table**2) for table in tables]
        self._pool_features = [self._choice_features[self.choices.index(columns[0])] for columns in self.pools]
        self.choice_groups = _groups(self._choice_features)
        self.square_groups = _groups(self._square_features)
        self.pool_groups = _groups(self._pool_features)
        self._identifiers = np.random.default_rng(0).integers(1, 2**62, len(factors))

    def options(self, place: int) -> Floats:
        """The options of one of `choices` in the coordinates in which their similarity is an inner product."""
        return self._choice_features[place][:-1]

    def chosen(self, place: int, levels: Levels) -> Floats:
        """What candidates chose of one of `choices`, in the same coordinates."""
        return self._choice_features[place][levels[:, self.choices[place]]]

    def embed(self, levels: Levels) -> Embedding:
        def joined(parts: list[Floats]) -> Floats:
            return np.hstack([np.zeros((len(levels), 0)), *parts])

        columns = [levels[:, index] for index in self.choices]
        return Embedding(
            choices=joined([self.chosen(place, levels) for place in range(len(self.choices))]),
            squares=joined([f[column] for f, column in zip(self._square_features, columns, strict=True)]),
            pools=joined(
                [
                    sum((f[levels[:, index]] for index in pool), np.zeros((len(levels), f.shape[1]))) / len(pool) ** 0.5
                    for f, pool in zip(self._pool_features, self.pools, strict=True)
                ]
            ),
            identity=(levels + 2) @ self._identifiers,  # wraps around; equal only where the levels are
        )


def _groups(features: Sequence[Floats]) -> Integers:
    """To which part each coordinate belongs."""
    return np.repeat(np.arange(len(features)), [part.shape[1] for part in features])


@dataclass(frozen=True)
class Variances:
    """What each part explains: the choices and pools one by one, the candidate's own, pairs, rows, noise."""

    choices: Floats
    pools: Floats
    own: float
    interaction: float
    rows: float
    noise: float

    @classmethod
    def of(cls, logs: Floats, geometry: Geometry) -> Variances:
        values = np.exp(logs)
        choices, pools, rest = np.split(values, np.cumsum([len(geometry.choices), len(geometry.pools)]))
        return cls(choices, pools, *map(float, rest))


@dataclass(frozen=True)
class Looks:
    """What was seen: an entry for every candidate and block of rows.

    Args:
        levels: the candidates, of shape (candidates, factors).
        candidate: which of them, of shape (looks,).
        block: which block of rows; the same number means (nearly) the same rows.
        mean: the mean score.
        rows: how many rows are behind it.
        spread: the variance of single scores.
    """

    levels: Levels
    candidate: Integers
    block: Integers
    mean: Floats
    rows: Floats
    spread: float

    def thinned(self, most: int) -> Looks:
        """At most so many of the looks, evenly taken from first to last."""
        if len(self.mean) <= most:
            return self
        kept = np.linspace(0, len(self.mean) - 1, most).astype(np.int64)
        which, candidate = np.unique(self.candidate[kept], return_inverse=True)
        return replace(
            self,
            levels=self.levels[which],
            candidate=candidate,
            block=self.block[kept],
            mean=self.mean[kept],
            rows=self.rows[kept],
        )

    @cached_property
    def centre(self) -> float:
        """The mean of all scores seen."""
        return float(np.average(self.mean, weights=self.rows))

    @property
    def scale(self) -> float:
        """The variance of single scores, above 0 also where all are equal."""
        return max(self.spread, 1e-6 * max(1.0, self.centre**2))

    def of_the_same_rows(self, other: Looks) -> bool:
        """Whether both saw the same candidates, told apart by their place, on as many rows of the same blocks."""
        names = ("candidate", "block", "rows")
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    @cached_property
    def blocks(self) -> list[tuple[Integers, Floats]]:
        """The looks of each block, and what they share of their rows' difficulty, for a variance of 1 a row; looks of
        different blocks share nothing."""
        root = 1 / np.sqrt(self.rows)
        order = np.argsort(self.block, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.block[order])) + 1)
        return [(group, np.outer(root[group], root[group])) for group in groups]


def row_variances(scores: Floats) -> tuple[float, float]:
    """What the rows' difficulty adds to the variance of a candidate's single scores, and what all else adds.

    Two candidates have nothing in common on a row but its difficulty, so that the products of their scores, each less
    its candidate's mean, tell its variance (analysis of variance with rows as blocks; Henderson 1953).

    Args:
        scores: of shape (candidates, rows); NaN where a candidate was not scored on a row.

    NaN where nothing tells: no candidate has two scores, or no two of them have rows in common.

    >>> row_variances(np.array([[1.0, 0, 1, 0], [1, 0, 1, 0]]))
    (0.3333333333333333, 0.0)
    """
    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    scores, known, count = scores[count > 1], known[count > 1].astype(np.float64), count[count > 1]
    if not len(scores):
        return np.nan, np.nan
    away = np.where(known > 0, scores - np.nanmean(scores, axis=1, keepdims=True), 0.0)
    total = float((away**2).sum() / (count - 1).sum())
    shared, products, pairs = known @ known.T, away @ away.T, np.triu_indices(len(scores), 1)
    share = shared / count  # of the rows of the second
    told = float((shared - share - share.T + share * share.T)[pairs].sum())
    if told <= 0:
        return np.nan, total
    rows = min(max(float(products[pairs].sum()) / told, 0.0), total)
    return rows, total - rows


@dataclass(frozen=True)
class Prior:
    """What is expected of the logarithms of the variances before any look: that they are jointly normal."""

    mean: Floats
    precision: Floats

    @classmethod
    def of(cls, geometry: Geometry, looks: Looks, shares: Mapping[str, float] = PRIOR_SHARES) -> Prior:
        """While a search goes on: each for itself."""
        choices = len(geometry.choices) + len(geometry.pools)
        kinds = ["choice"] * choices + ["own", "interaction", "rows", "noise"]
        shares = {**shares, "interaction": PRIOR_INTERACTION / looks.scale**2}
        mean = np.log([shares[kind] * looks.scale for kind in kinds])
        return cls(mean, np.diag([PRIOR_SPREAD[kind] ** -2 for kind in kinds]))

    @classmethod
    def told(cls, geometry: Geometry, looks: Looks, rows: float, noise: float) -> Prior:
        """When a search has ended: the variances of choices have a scale in common, those of rows and of noise are as
        `row_variances` has them."""
        choices = len(geometry.choices) + len(geometry.pools)
        return cls.of(geometry, looks, TOLD_SHARES)._of_one_scale(choices, *TOLD_SPREADS)._measured(rows, noise)

    @classmethod
    def free(cls, geometry: Geometry, looks: Looks, rows: float, noise: float) -> Prior:
        """As `told`, with nothing expected of how much candidates differ, only of how that is shared out."""
        apart = len(geometry.choices) + len(geometry.pools) + 1
        return cls.of(geometry, looks, FREE_SHARES)._of_one_scale(apart, *FREE_SPREADS)._measured(rows, noise)

    def _of_one_scale(self, count: int, common: float, apart: float) -> Prior:
        """Expect that the first of the variances have a scale in common."""
        precision = self.precision.copy()
        precision[:count, :count] = np.linalg.inv(common**2 + apart**2 * np.eye(count))
        return replace(self, precision=precision)

    def _measured(self, rows: float, noise: float) -> Prior:
        """Expect of the last two, those of rows and noise, what was measured; nothing else where that is NaN."""
        total = rows + noise
        if not total > 0:
            return self
        mean, precision = self.mean.copy(), self.precision.copy()
        mean[-2:] = np.log([max(rows, 0.02 * total), max(noise, 0.2 * total)])
        precision[[-2, -1], [-2, -1]] = [MEASURED_SPREAD[kind] ** -2 for kind in ("rows", "noise")]
        return Prior(mean, precision)


@dataclass(frozen=True)
class Surrogate:
    """The posterior over all candidates' true mean scores, given looks and the logarithms of the variances."""

    geometry: Geometry
    looks: Looks
    logs: Floats
    level: float
    """The variance of the level of all candidates."""

    @classmethod
    def learn(
        cls, geometry: Geometry, looks: Looks, prior: Prior | None = None, start: Floats | None = None
    ) -> Surrogate:
        """Learn the variances: their posterior mode, by the analytic gradient (Rasmussen and Williams 2006, chapter 5;
        additive interactions: Duvenaud et al. 2011)."""
        prior = prior or Prior.of(geometry, looks)
        level = LEVEL_SHARE * looks.spread
        blank = cls(geometry, looks.thinned(MOST_LEARNED), prior.mean, level)
        found = optimize.minimize(
            blank._loss,
            prior.mean if start is None else start,
            args=(prior,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(value - 7, value + 7) for value in prior.mean],
            options={"maxiter": 25},
        )
        return cls(geometry, looks, found.x, level)

    def after(self, looks: Looks) -> Surrogate:
        """The same variances with other looks; what was computed of the same candidates and rows is taken over, and
        the rest let go, as it is most of a search's memory."""
        found = replace(self, looks=looks)
        same_levels = np.array_equal(looks.levels, self.looks.levels)
        for name, same in (
            ("_apart_among_seen", same_levels),
            ("factor", same_levels and looks.of_the_same_rows(self.looks)),
        ):
            computed = self.__dict__.pop(name, None)
            if same and computed is not None:
                self.__dict__[name] = found.__dict__[name] = computed
        return found

    def foreseeing(self, looks: Looks) -> Surrogate:
        """`after`, with all computed that does not depend on the looks' scores."""
        found = self.after(looks)
        _ = found.factor
        return found

    @cached_property
    def variances(self) -> Variances:
        return Variances.of(self.logs, self.geometry)

    @cached_property
    def _seen(self) -> Embedding:
        return self.geometry.embed(self.looks.levels)

    def _parts(self, first: Embedding, second: Embedding, given: Variances) -> tuple[Floats, Floats, Floats, Booleans]:
        """Covariances of what choices, pools, pairs (before their factor) and the candidates themselves add."""
        geometry = self.geometry
        choices = (first.choices * given.choices[geometry.choice_groups]) @ second.choices.T
        pairs = choices**2
        pairs -= (first.squares * given.choices[geometry.square_groups] ** 2) @ second.squares.T
        pairs /= 2
        pools = (first.pools * given.pools[geometry.pool_groups]) @ second.pools.T
        return choices, pools, pairs, first.identity[:, None] == second.identity[None, :]

    def _covariance(self, first: Embedding, second: Embedding) -> Floats:
        covariance = self._apart(first, second)
        covariance += self.level
        return covariance

    def _apart(self, first: Embedding, second: Embedding) -> Floats:
        """The covariance of what sets candidates apart: all but their common level."""
        given = self.variances
        found = np.empty((len(first.identity), len(second.identity)))
        for start in range(0, len(found), CHUNK):
            part = slice(start, start + CHUNK)
            choices, pools, pairs, own = self._parts(first[part], second, given)
            found[part] = choices + pools + given.interaction * pairs + given.own * own
        return found

    def _of_looks(self, covariance: Floats, given: Variances) -> Floats:
        """From the covariance of what sets candidates apart to that of the looks' means."""
        which = self.looks.candidate
        between = covariance[np.ix_(which, which)]
        between += self.level
        for group, shared in self.looks.blocks:
            between[np.ix_(group, group)] += given.rows * shared
        between[np.diag_indices_from(between)] += given.noise / self.looks.rows
        return between

    def _loss(self, logs: Floats, prior: Prior) -> tuple[float, Floats]:
        """The negative logarithm of the posterior density, and its gradient."""
        looks, geometry, seen = self.looks, self.geometry, self._seen
        given = Variances.of(logs, geometry)
        choices, pools, pairs, own = self._parts(seen, seen, given)
        total = choices + pools + given.interaction * pairs + given.own * own
        factor = linalg.cho_factor(self._of_looks(total, given), lower=True)
        target = looks.mean - looks.centre
        solved = linalg.cho_solve(factor, target)
        inner = linalg.cho_solve(factor, np.eye(len(target))) - np.outer(solved, solved)
        sums = np.zeros((len(looks.levels), len(target)))
        np.add.at(sums, looks.candidate, inner)
        by_candidate = np.zeros((len(looks.levels), len(looks.levels)))
        np.add.at(by_candidate.T, looks.candidate, sums.T)

        def inner_products(matrix: Floats, features: Floats, groups: Integers, count: int) -> Floats:
            return np.asarray(np.bincount(groups, ((matrix @ features) * features).sum(axis=0), count), np.float64)

        count = len(geometry.choices)
        single = inner_products(
            by_candidate * (1 + given.interaction * choices), seen.choices, geometry.choice_groups, count
        )
        squared = inner_products(by_candidate, seen.squares, geometry.square_groups, count)
        gradient = np.concatenate(
            [
                given.choices * single - given.interaction * given.choices**2 * squared,
                given.pools * inner_products(by_candidate, seen.pools, geometry.pool_groups, len(geometry.pools)),
                [
                    given.own * (by_candidate * own).sum(),
                    given.interaction * (by_candidate * pairs).sum(),
                    given.rows * sum((inner[np.ix_(group, group)] * shared).sum() for group, shared in looks.blocks),
                    given.noise * (inner.diagonal() / looks.rows).sum(),
                ],
            ]
        )
        away = logs - prior.mean
        pull = prior.precision @ away
        likelihood = 0.5 * target @ solved + np.log(np.diag(factor[0])).sum()
        return float(likelihood + 0.5 * away @ pull), 0.5 * gradient + pull

    @cached_property
    def _apart_among_seen(self) -> Floats:
        return self._apart(self._seen, self._seen)

    @cached_property
    def factor(self) -> tuple[Floats, bool]:
        """The Cholesky factor of the covariance of the looks' means, as scipy's ``cho_factor`` gives it."""
        covariance = self._of_looks(self._apart_among_seen, self.variances)
        factor: tuple[Floats, bool] = linalg.cho_factor(covariance.T, lower=True, overwrite_a=True)  # without a copy
        return factor

    @cached_property
    def solved(self) -> Floats:
        """By what each candidate's covariance with anything is weighted in its expectation, of shape (candidates,)."""
        weights = linalg.cho_solve(self.factor, self.looks.mean - self.looks.centre)
        return np.asarray(np.bincount(self.looks.candidate, weights, len(self.looks.levels)), dtype=np.float64)

    @cached_property
    def expected(self) -> Floats:
        """The expected true mean scores of those that were looked at, of shape (candidates,)."""
        return np.asarray(self._mean(self._apart_among_seen) + self.level * self.solved.sum())

    def mean(self, levels: Levels) -> Floats:
        """Candidates' expected true mean scores, of shape (n,)."""
        return self._mean(self._covariance(self._seen, self.geometry.embed(levels)))

    def _mean(self, covariance: Floats) -> Floats:
        return np.asarray(self.looks.centre + covariance.T @ self.solved)

    def posterior(self, levels: Levels) -> tuple[Floats, Floats]:
        """Mean, of shape (n,), and covariance, of shape (n, n), of candidates' true mean scores."""
        embedded = self.geometry.embed(levels)
        cross = self._covariance(self._seen, embedded)
        half = linalg.solve_triangular(self.factor[0], cross[self.looks.candidate], lower=True)
        covariance = self._covariance(embedded, embedded) - half.T @ half
        return self._mean(cross), np.asarray(covariance)

    def draw(self, levels: Levels, count: int, scale: float, generator: np.random.Generator) -> Floats:
        """Joint draws of candidates' true means, of shape (count, n), their spread times a scale."""
        mean, covariance = self.posterior(levels)
        jitter = 1e-8 + 1e-6 * covariance.diagonal().max()
        root = linalg.cholesky(covariance + jitter * np.eye(len(mean)), lower=True)
        return np.asarray(mean + scale * generator.standard_normal((count, len(mean))) @ root.T)
