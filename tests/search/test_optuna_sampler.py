"""The surrogate as an Optuna sampler."""

from __future__ import annotations

import random

import optuna
import pytest

from prompt_search.search.optuna_sampler import RANDOM_TRIALS, SurrogateSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

OPTIONS = [f"option {index}" for index in range(6)]
WORTH = {"a": 4, "b": 1, "c": 5}
"""The option of each parameter that raises the score."""


def accuracy(trial: optuna.Trial) -> float:
    """The share of 10 rows that are answered correctly, higher for every parameter at its best option."""
    right = sum(trial.suggest_categorical(name, OPTIONS) == OPTIONS[best] for name, best in WORTH.items())
    for name in ("d", "e"):  # without effect
        trial.suggest_categorical(name, OPTIONS)
    shots: int = trial.suggest_int("shots", 0, 8, step=2)
    rate = 0.2 + 0.2 * right + 0.02 * shots
    rows = random.Random(trial.number)
    trial.set_user_attr("rows", 10)
    return sum(rows.random() < rate for _ in range(10)) / 10


def searched(sampler: optuna.samplers.BaseSampler, trials: int = 60, sign: int = 1) -> optuna.Study:
    study = optuna.create_study(direction="maximize" if sign == 1 else "minimize", sampler=sampler)
    study.optimize(lambda trial: sign * accuracy(trial), n_trials=trials)
    return study


def worth(study: optuna.Study) -> float:
    """Number of parameters at their best option, averaged over the last ten trials."""
    trials = study.trials[-10:]
    found = sum(trial.params[name] == OPTIONS[best] for trial in trials for name, best in WORTH.items())
    return float(found) / len(trials)


@pytest.mark.parametrize("sign", [1, -1], ids=["maximize", "minimize"])
def test_it_finds_the_options_that_raise_the_score(sign: int) -> None:
    """After 60 noisy trials most suggestions have the best options, in either direction."""
    assert worth(searched(SurrogateSampler(seed=1), sign=sign)) > 1.5
    assert worth(searched(optuna.samplers.RandomSampler(seed=1))) < 1


def test_same_seed_suggests_the_same() -> None:
    """Suggestions depend on the seed and the trials seen, nothing else."""
    first, second, other = (searched(SurrogateSampler(seed=seed), 16) for seed in (0, 0, 1))
    assert [trial.params for trial in first.trials] == [trial.params for trial in second.trials]
    assert [trial.params for trial in first.trials] != [trial.params for trial in other.trials]


def test_nothing_is_suggested_twice_while_there_is_something_new() -> None:
    """Finished and running trials are not suggested again, until there is no other candidate."""
    study = optuna.create_study(direction="maximize", sampler=SurrogateSampler())
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "a": optuna.distributions.CategoricalDistribution(OPTIONS),
        "b": optuna.distributions.CategoricalDistribution(OPTIONS),
    }
    for index in range(RANDOM_TRIALS):
        params = {"a": OPTIONS[index % 6], "b": OPTIONS[index // 6]}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=index / 10))
    asked = [tuple(study.ask(space).params.values()) for _ in range(36 - RANDOM_TRIALS)]
    assert len(set(asked)) == 36 - RANDOM_TRIALS
    assert study.ask(space).params["a"] in OPTIONS


def test_parameters_of_other_kinds_are_sampled_at_random() -> None:
    """Floats, and parameters that only some trials have, do not disturb the others, and are sampled independently."""

    def score(trial: optuna.Trial) -> float:
        first, second = trial.suggest_float("first", 0, 1), trial.suggest_float("second", 0, 1)
        assert first != second
        value = trial.suggest_categorical("a", OPTIONS)
        if value == OPTIONS[0]:
            trial.suggest_categorical("only then", OPTIONS)
        return float(value == OPTIONS[3])

    study = optuna.create_study(direction="maximize", sampler=SurrogateSampler())
    study.optimize(score, n_trials=20)
    assert study.best_params["a"] == OPTIONS[3]


def test_several_objectives_are_refused() -> None:
    """A study with two objectives has no single best option."""
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=SurrogateSampler())
    with pytest.raises(ValueError, match="multi-objective"):
        study.optimize(lambda trial: (trial.suggest_int("a", 0, 3), 1), n_trials=12)
