"""What earlier studies know counts as far as it fits the scores of the new one, and not at all where it does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.prompts.factors import Factor
from prompt_search.search.encoding import Levels
from prompt_search.search.prior.knowledge import PriorKnowledge, Weights, encoded, joined_factors
from prompt_search.search.surrogate.covariance import between_candidates
from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.likelihood import Likelihood
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.priors import Prior, Variances
from prompt_search.storage.once.prior_studies import PriorStudies, PriorStudy, PriorTrial
from tests.profiles import examples

FACTORS = [
    Factor(name="instruction", kind="choice", options=tuple(f"instruction {n}" for n in range(6))),
    Factor(name="cue", kind="choice", options=("Label:", "Answer:", "")),
    Factor(name="shots", kind="examples", options=(0, 1, 2, 3)),
]
EFFECTS = np.random.default_rng(5).normal(0, 0.15, (3, 6))


def made(count: int, seed: int) -> Levels:
    generator = np.random.default_rng(seed)
    return np.column_stack([generator.integers(0, len(factor.options), count) for factor in FACTORS])


def worth(levels: Levels) -> Floats:
    return np.asarray(sum(EFFECTS[factor, levels[:, factor]] for factor in range(3)))


def trial(levels: Sequence[int], score: float) -> PriorTrial:
    choices = {factor.name: factor.texts[level] for factor, level in zip(FACTORS, levels, strict=True)}
    return PriorTrial(choices=choices, score=score, rows=20)


def study_of(sign: float, seed: int = 1, count: int = 40) -> PriorStudy:
    """An earlier study whose effects are those of the new one, times a sign; 0 for effects of its own."""
    levels = made(count, seed)
    generator = np.random.default_rng(seed)
    own = EFFECTS[:, generator.permutation(6)]
    known = sign * worth(levels) if sign else sum(own[factor, levels[:, factor]] for factor in range(3))
    noise = generator.normal(0, 0.5 / 20**0.5, count)
    scores = (2 * (known + noise)).tolist()
    trials = [trial(each, score) for each, score in zip(levels.tolist(), scores, strict=True)]
    return PriorStudy(study="earlier", options=13, trials=trials)


def observed(count: int = 30, ease: Floats | None = None, sign: float = 1.0) -> Observations:
    """What the new study has seen: one block of ten rows of each candidate, in blocks of their own ease."""
    levels = made(count, 2)
    generator = np.random.default_rng(3)
    block = np.arange(count) % 6
    mean = 0.5 + worth(levels) + generator.normal(0, 0.5 / 10**0.5, count)
    if ease is not None:
        mean += sign * 0.5 * ease[block]
    of_entry = None if ease is None else ease[block]
    return Observations(levels, np.arange(count), block, mean, np.full(count, 10.0), 0.25, ease=of_entry)


def learned(knowledge: PriorKnowledge, own: Observations) -> Weights:
    expected = Weights.expected(knowledge.studies)
    fitted = Surrogate.fit(knowledge.geometry, own.without_ease(expected.ease))
    return knowledge.learned(own, expected, fitted)


def test_reversed_effects_are_forgotten() -> None:
    """An earlier study whose effects are the opposite ones weighs nothing; one with the same effects nearly all."""
    weights = {}
    for sign in (1.0, 0.0, -1.0):
        knowledge = PriorKnowledge(FACTORS, PriorStudies(studies=[study_of(sign)]))
        (weights[sign],) = learned(knowledge, observed()).likeness
    assert weights[-1.0] == 0
    assert weights[0.0] < 0.5 < 0.7 < weights[1.0]


def test_each_study_has_a_weight_of_its_own() -> None:
    """Of two earlier studies the one that fits is kept and the other forgotten."""
    knowledge = PriorKnowledge(FACTORS, PriorStudies(studies=[study_of(-1.0), study_of(1.0, seed=4)]))
    wrong, right = learned(knowledge, observed()).likeness
    assert wrong == 0
    assert right > 0.7


@pytest.mark.parametrize(("sign", "low", "high"), [(1.0, 0.75, 1.0), (-1.0, 0.0, 0.0)])
def test_ease_of_rows_is_learned(sign: float, low: float, high: float) -> None:
    """The ease of rows counts where the new scores go with it, and not where they go against it."""
    ease = np.array([1.5, -1.2, 0.8, -0.9, 1.1, -1.3])
    knowledge = PriorKnowledge(FACTORS, PriorStudies(ease=[(0, 1.0)]))
    own = observed(60, ease, sign)
    assert low <= learned(knowledge, own).ease <= high


@settings(max_examples=examples(20))
@given(seed=st.integers(0, 10**6), likeness=st.sampled_from([0.25, 0.5, 0.95]))
def test_posterior_is_that_of_both_studies(seed: int, likeness: float) -> None:
    """The posterior mean is that of a normal distribution in which two studies have levels of their own and correlated
    effects, computed entry by entry."""
    knowledge = PriorKnowledge(FACTORS, PriorStudies(studies=[study_of(1.0, seed % 7, 9)]))
    own, new = observed(8), made(5, seed)
    both = knowledge.joined(own, Weights((likeness,), 0.0))
    model = Surrogate.fit(knowledge.geometry, both)
    seen = model.geometry.embed(both.levels)
    kernel = between_candidates(model.geometry, seen, seen, model.variances)
    study = np.array([0] * 8 + [1] * 9)
    covariance = np.empty((17, 17))
    for i in range(17):
        for j in range(17):
            same = study[i] == study[j]
            covariance[i, j] = kernel[i, j] * (1 if same else likeness) + model.level_variance * same
            if both.block[i] == both.block[j]:
                covariance[i, j] += model.variances.rows / (both.rows[i] * both.rows[j]) ** 0.5
        covariance[i, i] += model.variances.noise / both.rows[i]
    cross = between_candidates(model.geometry, seen, model.geometry.embed(new), model.variances)
    cross = np.where(study[:, None] == 0, cross + model.level_variance, likeness * cross)
    expected = both.centre + cross.T @ np.linalg.solve(covariance, both.mean - both.centre)
    np.testing.assert_allclose(model.mean(new), expected, atol=1e-6)
    np.testing.assert_allclose(model.mean_of_observed, model.mean(own.levels), atol=1e-6)
    assert len(model.mean_of_observed) == 8


def test_gradient_with_earlier_studies_is_that_of_the_density() -> None:
    """The gradient by which variances are fitted is the slope of the density, with two earlier studies too."""
    knowledge = PriorKnowledge(FACTORS, PriorStudies(studies=[study_of(1.0), study_of(0.0, seed=6)]))
    both = knowledge.joined(observed(), Weights((0.75, 0.25), 0.0))
    likelihood = Likelihood(knowledge.geometry, both, 0.02)
    prior = Prior.for_search(knowledge.geometry, both)
    at = prior.mean + np.random.default_rng(0).normal(0, 0.5, len(prior.mean))
    _, gradient = likelihood.loss(at, prior)
    for place in range(len(at)):
        step = 1e-5 * np.eye(len(at))[place]
        slope = (likelihood.loss(at + step, prior)[0] - likelihood.loss(at - step, prior)[0]) / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_what_weighs_nothing_leaves_nothing() -> None:
    """With weights of 0 the observations are those of the study alone."""
    knowledge = PriorKnowledge(FACTORS, PriorStudies(studies=[study_of(1.0)], ease=[(0, 1.0)]))
    own = observed(ease=np.ones(6))
    assert knowledge.joined(own, Weights((0.0,), 0.0)) is own


def test_options_and_choices_of_earlier_studies_are_added() -> None:
    """Options are the same by the name of the choice and the text; those that only the earlier study has come after the
    others, in a choice of the same list of options too, and numbers get none."""
    pool = tuple(f"shot {n}" for n in range(3))
    factors = [*FACTORS, *(Factor(name=f"slot {n}", kind="choice", options=pool) for n in range(2))]
    trials = [
        PriorTrial(choices={"cue": "", "instruction": "old", "tone": "kind", "slot 0": "shot 2"}, score=1, rows=10),
        PriorTrial(choices={"cue": "Go:", "shots": "2", "tone": "stern", "slot 1": "shot 7"}, score=0, rows=10),
        PriorTrial(choices={"shots": "9"}, score=0, rows=10),
    ]
    joined = joined_factors(factors, trials)
    assert [factor.name for factor in joined] == ["instruction", "cue", "shots", "slot 0", "slot 1", "tone"]
    assert joined[0].texts == (*FACTORS[0].texts, "old")
    assert joined[1].texts == ("Label:", "Answer:", "", "Go:")
    assert joined[2] is FACTORS[2]
    assert joined[3].texts == joined[4].texts == (*pool, "shot 7")
    assert encoded(joined, trials).tolist() == [
        [6, 2, -1, 2, -1, 0],
        [-1, 3, 2, -1, 3, 1],
        [-1, -1, -1, -1, -1, -1],
    ]


def test_known_candidates_have_options_of_the_space_alone() -> None:
    """Candidates of earlier studies that the new one may begin with have none of the options that it lacks, best
    first."""
    trials = [
        PriorTrial(choices={"instruction": "old", "cue": "Answer:", "shots": "1"}, score=0.2, rows=10),
        PriorTrial(choices={"instruction": "instruction 3", "cue": "", "shots": "7"}, score=0.7, rows=10),
    ]
    prior = PriorStudies(studies=[PriorStudy(study="earlier", options=4, trials=trials)])
    assert PriorKnowledge(FACTORS, prior).known_levels.tolist() == [[3, 2, -1], [-1, 1, 1]]


def test_without_new_scores_earlier_ones_decide() -> None:
    """Before any score of the new study, the candidates that did well in the earlier one are expected to be good."""
    knowledge = PriorKnowledge(FACTORS, PriorStudies(studies=[study_of(1.0, count=80)]))
    model = Surrogate.fit(knowledge.geometry, knowledge.alone())
    everyone = made(200, 9)
    assert np.corrcoef(model.mean(everyone), worth(everyone))[0, 1] > 0.8
    assert Variances.of(model.log_variances, Geometry(FACTORS)).noise > 0
