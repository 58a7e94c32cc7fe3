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
from prompt_search.search.acquisition import thompson, unseen
from prompt_search.search.encoding import Encoding
from prompt_search.search.surrogate import Geometry, Looks, Surrogate

RANDOM_FIRST = 10
MOST_INTEGERS = 100


class SurrogateSampler(BaseSampler):
    """Thompson sampling from a Gaussian process over choices, for noisy scores and small budgets.

    What `Study` does inside its race, for Optuna studies of one's own: categorical and integer parameters are
    modelled together, others drawn at random. A trial may say in the user attribute ``rows`` how many rows its
    value is the mean of; without it all values are taken as equally exact.

    Args:
        seed: for all that is left to chance; suggestions depend on it, the trial's number and the trials seen.

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
        """Raises ``ValueError`` for a study with several objectives."""
        self._raise_error_if_multi_objective(study)
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        trials = [past for past in trials if past.value is not None and search_space.keys() <= past.params.keys()]
        if len(trials) < RANDOM_FIRST or not search_space:
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
        looks = Looks(
            levels=levels,
            candidate=which,
            block=np.zeros(len(trials), dtype=np.int64),
            mean=values,
            rows=np.array([float(past.user_attrs.get("rows", 1)) for past in trials]),
            spread=float(values.var()),
        )
        model = Surrogate.learn(Geometry(factors), looks)
        generator = np.random.default_rng([self._seed, trial.number])
        pool = unseen(model, encoding, known, generator)
        if not len(pool):
            pool = levels
        best = thompson(model, pool, 1, generator)[0][0]
        return {name: options[name][level] for name, level in zip(options, pool[best], strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        generator = np.random.default_rng([self._seed, trial.number, zlib.crc32(param_name.encode())])
        sampler = RandomSampler(seed=int(generator.integers(2**31)))
        return sampler.sample_independent(study, trial, param_name, param_distribution)


def _options(distribution: BaseDistribution) -> tuple[Any, ...] | None:
    """The values of a distribution that the surrogate can take as options."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    if isinstance(distribution, IntDistribution):
        values = range(distribution.low, distribution.high + 1, distribution.step)
        return tuple(values) if len(values) <= MOST_INTEGERS else None
    return None


def _levels(params: Mapping[str, Any], options: Mapping[str, tuple[Any, ...]]) -> list[int]:
    return [values.index(params[name]) for name, values in options.items()]
