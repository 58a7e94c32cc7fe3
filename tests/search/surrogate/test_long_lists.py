"""Choices of long lists of options are modelled as short ones are, without tables that grow with their square."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prompt_search.prompts.factors import Factor
from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate import geometry as geometry_module
from prompt_search.search.surrogate import interactions as interactions_module
from prompt_search.search.surrogate.effects import effects
from prompt_search.search.surrogate.geometry import Geometry
from prompt_search.search.surrogate.interactions import interactions
from prompt_search.search.surrogate.likelihood import Likelihood
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.priors import Prior

OPTIONS = (12, 20, 20, 3)


FIRST_AND_LAST = np.log([0.05, 1e-4, 1e-4, 0.05, 1e-4, 1e-4, 20, 1e-3, 0.02])
"""Variances by which the first and the last choice matter, and their pair."""


def factors(options: tuple[int, ...] = OPTIONS) -> list[Factor]:
    """Choices of so many options; those of equal numbers share a pool."""
    return [
        Factor(name=f"choice {index}", kind="choice", options=tuple(f"{count} {option}" for option in range(count)))
        for index, count in enumerate(options)
    ]


def candidates(count: int) -> Levels:
    """Random candidates, some without the first choice."""
    generator = np.random.default_rng(0)
    levels = np.column_stack([generator.integers(0, had, count) for had in (4, 18, 18, 3)])
    levels[::7, 0] = -1
    return levels


def observed(count: int = 40) -> Observations:
    levels = candidates(count)
    means = 0.5 + 0.2 * (levels[:, 1] % 2) + 0.3 * ((levels[:, 0] == 1) & (levels[:, 3] == 1))
    rows = np.full(count, 30.0)
    return Observations(levels, np.arange(count), np.zeros(count, dtype=np.int64), means, rows, 0.2)


@pytest.fixture(params=[5, 15])
def models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Surrogate, Surrogate]:
    """The same surrogate with tables of all choices, and without those of lists above a number of options."""
    observations = observed()
    tabled = Surrogate.fit(Geometry(factors()), observations)
    monkeypatch.setattr(geometry_module, "MOST_TABLED", request.param)
    long = Surrogate(Geometry(factors()), observations, tabled.log_variances, tabled.level_variance)
    assert long.geometry.long_choices
    assert long.geometry.long_pools
    return tabled, long


def test_posterior_is_that_of_tables(models: tuple[Surrogate, Surrogate]) -> None:
    """Means and covariances of candidates do not depend on whether a list counts as long."""
    tabled, long = models
    for one, other in zip(tabled.posterior(candidates(60)), long.posterior(candidates(60)), strict=True):
        assert other == pytest.approx(one, abs=1e-9)


def test_loss_and_gradient_are_those_of_tables(models: tuple[Surrogate, Surrogate]) -> None:
    """The variances are fitted to the same density, along the same gradient."""
    losses = []
    for model in models:
        prior = Prior.for_search(model.geometry, model.observations)
        likelihood = Likelihood(model.geometry, model.observations, model.level_variance)
        losses.append(likelihood.loss(prior.mean + 0.3, prior))
    assert losses[1][0] == pytest.approx(losses[0][0])
    assert losses[1][1] == pytest.approx(losses[0][1])


def test_effects_are_those_of_tables(models: tuple[Surrogate, Surrogate]) -> None:
    """The effects of every option are the same, also of options that no candidate has."""
    for one, other in zip(*map(effects, models), strict=True):
        assert other.choice == one.choice
        assert other.importance == pytest.approx(one.importance, rel=1e-5)
        for name in ("mean", "low", "high", "p", "expected"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-3, abs=1e-6, nan_ok=True)
            assert len(getattr(other, name)) == OPTIONS[one.choice]


def test_interactions_are_those_that_some_candidate_has(models: tuple[Surrogate, Surrogate]) -> None:
    """Of long lists the pairs of options that some candidate has are tested; they have the same estimates."""
    tabled, long = (interactions(replace(model, log_variances=FIRST_AND_LAST)) for model in models)
    assert long
    known = {(each.choices, each.options): each for each in tabled}
    shared = [each for each in long if (each.choices, each.options) in known]
    assert shared
    assert [each.mean for each in shared] == pytest.approx(
        [known[each.choices, each.options].mean for each in shared], abs=1e-8
    )


def test_geometry_of_ten_thousand_options_has_no_table() -> None:
    """What a geometry keeps of a list of 10,000 options has no entry for each two of them."""
    geometry = Geometry(factors((10_000, 3)))
    assert geometry.embed(np.array([[9_999, 0], [0, 2]])).choices.shape == (2, 2)
    condensed, levels, where = geometry.condensed(np.array([[9_999, 0], [5, 2], [-1, 1]]))
    assert levels.tolist() == [[1, 0], [0, 2], [-1, 1]]
    assert [len(condensed.options(place)) for place in range(2)] == [3, 3]
    assert (len(where[0]), where[0][5], where[0][9_999], where[0][0]) == (10_000, 0, 1, 2)


def test_interactions_are_looked_for_where_choices_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many pairs of options, those of the choices with the largest variances are tested."""
    model = Surrogate(Geometry(factors()), observed(), FIRST_AND_LAST, 0.02)
    everything = interactions(model)
    monkeypatch.setattr(interactions_module, "MAX_TESTED", 12 * 3)
    assert {each.choices for each in interactions(model)} == {(0, 3)}
    assert interactions(model) == [each for each in everything if each.choices == (0, 3)]
