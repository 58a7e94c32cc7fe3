"""The variance components of a score, and what is expected of them before any data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.observations import Observations

SEARCH_SHARES = {"choice": 0.004, "own": 0.006, "rows": 0.15, "noise": 0.85}
"""Prior for the search: the expected shares of a single score's variance that are explained by one choice, by the
candidate's own deviation, by the difficulty of the row, and by noise."""

REPORTING_SHARES, REPORTING_SPREADS = SEARCH_SHARES | {"choice": 0.0007}, (2.5, 0.7)
"""Prior for the final estimates: variance shares, and the standard deviations of the logarithms of the scale that all
choices share and of the scale of each choice. This prior is too conservative during the search: it explores too
little."""

WEAK_SHARES, WEAK_SPREADS = SEARCH_SHARES | {"choice": 0.003, "own": 0.04}, (10.0, 1.2)
"""Weakly informative prior: variance shares and standard deviations as in the prior for the final estimates. The
candidates' own variance shares the scale of the choices, and that scale can have any value. More is expected of
it than of ten choices: with less, choices take a part of it, and options seem to matter where single candidates do."""

GROWN_SHARE = 0.02
"""Prior in the finals: the expected share of a single score's variance that a choice with proposed options explains.
Wordings whose accuracy is known differ that much or more (docs/design/search.md). With such a prior from the start, the
search explores too much."""

MEASURED_SPREADS = {"rows": 0.3, "noise": 0.05}
"""Standard deviations of the logarithms of these variances after they were estimated from single scores. That of rows
is larger because there are few rows."""

ROUNDING_SHARE = 1e-9
"""Share of the scale up to which a measured variance is rounding: equal scores such as 0.3 are not all their mean."""

INTERACTION_RATIO = 6.0
"""Expected variance of a pair of choices, as a multiple of the product of their two variances divided by the variance
of a single score."""

LEVEL_SHARE = 0.1
"""Variance of the level that all candidates have in common, as a share of the variance of a single score. A search
evaluates good candidates most, so the mean of the scores is above that level."""

SEARCH_SPREADS = {"choice": 1.5, "own": 1.0, "interaction": 1.0, "rows": 0.5, "noise": 0.15}
"""Prior for the search: standard deviations of the logarithms of the variances."""


@dataclass(frozen=True)
class Variances:
    """The variance that each component explains.

    Args:
        choices: one for each choice.
        pools: one for each pool.
        own: of what no choice explains of a candidate.
        interaction: the multiple of the product of two choices' variances that their pair explains.
        rows: of the difficulty of a row.
        noise: of a single score.
    """

    choices: Floats
    pools: Floats
    own: float
    interaction: float
    rows: float
    noise: float

    @classmethod
    def of(cls, log_variances: Floats, geometry: Geometry) -> Variances:
        """The variances from one vector of their logarithms."""
        values = np.exp(log_variances)
        choices, pools, rest = np.split(values, np.cumsum([len(geometry.choices), len(geometry.pools)]))
        return cls(choices, pools, *map(float, rest))


@dataclass(frozen=True)
class Prior:
    """A normal distribution of the logarithms of all variances, before any data."""

    mean: Floats
    precision: Floats

    @classmethod
    def for_search(
        cls, geometry: Geometry, observations: Observations, shares: Mapping[str, float] = SEARCH_SHARES
    ) -> Prior:
        """The prior during a search: all variances are independent."""
        kinds = ["choice"] * geometry.component_count + ["own", "interaction", "rows", "noise"]
        shares = {**shares, "interaction": INTERACTION_RATIO / observations.scale**2}
        mean = np.log([shares[kind] * observations.scale for kind in kinds])
        return cls(mean, np.diag([SEARCH_SPREADS[kind] ** -2 for kind in kinds]))

    @classmethod
    def for_grown(
        cls, geometry: Geometry, observations: Observations, rows: float, noise: float, *, in_finals: bool
    ) -> Prior:
        """The prior during a search in which options were proposed.

        These are not scored on rows that led to them, but candidates before them are. How much rows differ in
        difficulty decides how the two compare, so it is what `row_variances` estimated.
        """
        prior = cls.for_search(geometry, observations)
        if in_finals:
            prior.mean[geometry.grown] = np.log(GROWN_SHARE * observations.scale)
        return prior._with_measured(rows, noise, observations.scale)

    @classmethod
    def for_reporting(cls, geometry: Geometry, observations: Observations, rows: float, noise: float) -> Prior:
        """The prior for the final estimates: the variances of choices share one scale, and the variances of rows and
        noise are those that `row_variances` estimated."""
        prior = cls.for_search(geometry, observations, REPORTING_SHARES)
        return prior._with_shared_scale(geometry.component_count, *REPORTING_SPREADS)._with_measured(
            rows, noise, observations.scale
        )

    @classmethod
    def weak(cls, geometry: Geometry, observations: Observations, rows: float, noise: float) -> Prior:
        """As `for_reporting`, but nothing is expected of how much candidates differ, only of how that variance is
        divided among choices and the candidates' own."""
        prior = cls.for_search(geometry, observations, WEAK_SHARES)
        return prior._with_shared_scale(geometry.component_count + 1, *WEAK_SPREADS)._with_measured(
            rows, noise, observations.scale
        )

    def _with_shared_scale(self, count: int, shared: float, own: float) -> Prior:
        """The same prior, in which the first ``count`` variances share one scale (a hierarchical prior).

        Args:
            count: number of variances that share the scale.
            shared: standard deviation of the logarithm of the scale.
            own: standard deviation of the logarithm of each variance around the scale.
        """
        precision = self.precision.copy()
        precision[:count, :count] = np.linalg.inv(shared**2 + own**2 * np.eye(count))
        return replace(self, precision=precision)

    def _with_measured(self, rows: float, noise: float, scale: float) -> Prior:
        """The same prior, in which the variances of rows and noise (the last two) are known nearly; unchanged where
        they are NaN, or beside the scale no more than what rounding leaves of equal scores."""
        total = rows + noise
        if not total > ROUNDING_SHARE * scale:
            return self
        mean, precision = self.mean.copy(), self.precision.copy()
        mean[-2:] = np.log([max(rows, 0.02 * total), max(noise, 0.2 * total)])
        precision[[-2, -1], [-2, -1]] = [MEASURED_SPREADS[kind] ** -2 for kind in ("rows", "noise")]
        return Prior(mean, precision)
