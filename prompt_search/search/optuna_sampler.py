"""The surrogate as a sampler for any Optuna study."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.encoding import Encoding
from prompt_search.search.surrogate.acquisition import thompson, unseen
from prompt_search.search.surrogate.geometry import Geometry
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import Observations

RANDOM_TRIALS = 10
"""Number of random trials before the surrogate makes the first suggestion."""

MAX_INTEGERS = 100
"""The highest number of values of an integer parameter that the surrogate models; others are sampled at random."""


class SurrogateSampler(BaseSampler):
    """Thompson sampling from a Gaussian process over choices, for noisy scores and small budgets.

    It does in any Optuna study what `Study` does in its search. Categorical and integer parameters are modelled
    together; other parameters are sampled at random. The user attribute ``rows`` of a trial may hold the number of
    rows that its value is the mean of; without it all values count as equally exact.

    Args:
        seed: seed of the random generator; suggestions depend on it, on the trial's number and on the other trials.

    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
    >>> study = optuna.create_study(direction="maximize", sampler=SurrogateSampler(seed=0))
    >>> options = ["a", "b", "c", "d"]
    >>> def score(trial):
    ...     return sum(trial.suggest_categorical(name, options) == "c" for name in ("x", "y", "z"))
    >>> study.optimize(score, n_trials=25)
    >>> study.best_params
    {'x': 'c', 'y': 'c', 'z': 'c'}
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._intersection = IntersectionSearchSpace()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        found = self._intersection.calculate(study)
        return {name: distribution for name, distribution in found.items() if _options(distribution) is not None}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Suggest values for the parameters that every trial has.

        Raises:
            ValueError: the study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        trials = [past for past in trials if past.value is not None and search_space.keys() <= past.params.keys()]
        if len(trials) < RANDOM_TRIALS or not search_space:
            return {}
        options = {name: _options(distribution) or () for name, distribution in search_space.items()}
        factors = [
            Factor(
                name=name, kind="integer" if isinstance(search_space[name], IntDistribution) else "choice", options=o
            )
            for name, o in options.items()
        ]
        encoding = Encoding(SearchSpace(factors, lambda values: list(options)))
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        known = np.array(
            [_levels(past.params, options) for past in [*trials, *running] if options.keys() <= past.params.keys()]
        )
        values = sign * np.array([past.value for past in trials], dtype=float)
        levels, which = np.unique(known[: len(trials)], axis=0, return_inverse=True)
        observations = Observations(
            levels=levels,
            candidate=which,
            block=np.zeros(len(trials), dtype=np.int64),
            mean=values,
            rows=np.array([float(past.user_attrs.get("rows", 1)) for past in trials]),
            score_variance=float(values.var()),
        )
        model = Surrogate.fit(Geometry(factors), observations)
        generator = np.random.default_rng([self._seed, trial.number])
        pool = unseen(model, encoding, known, generator)
        if not len(pool):
            pool = levels
        best = thompson(model, pool, 1, generator)[0][0]
        return {name: options[name][level] for name, level in zip(options, pool[best], strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value for any other parameter, and for all of them in the first trials."""
        generator = np.random.default_rng([self._seed, trial.number, zlib.crc32(param_name.encode())])
        sampler = RandomSampler(seed=int(generator.integers(2**31)))
        return sampler.sample_independent(study, trial, param_name, param_distribution)


def _options(distribution: BaseDistribution) -> tuple[Any, ...] | None:
    """The values of a distribution, where the surrogate can model them as options; else None."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    if isinstance(distribution, IntDistribution):
        values = range(distribution.low, distribution.high + 1, distribution.step)
        return tuple(values) if len(values) <= MAX_INTEGERS else None
    return None


def _levels(params: Mapping[str, Any], options: Mapping[str, tuple[Any, ...]]) -> list[int]:
    return [values.index(params[name]) for name, values in options.items()]
