"""Samplers and pruners of Optuna in place of ours.

The Optuna study that they read is rebuilt in memory for every round, because a finished Optuna trial can neither
receive a better estimate nor be resumed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from prompt_search.prompts.space import WRITTEN, SearchSpace

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


OptunaSampler: TypeAlias = "optuna.samplers.BaseSampler"
"""The type of Optuna's samplers, for modules that do not import Optuna."""

OptunaPruner: TypeAlias = "optuna.pruners.BasePruner"
"""The type of Optuna's pruners, for modules that do not import Optuna."""


@dataclass(frozen=True)
class ObservedTrial:
    """What a sampler or pruner of Optuna sees of one trial.

    Args:
        positions: position of the option of every choice; 0 for inactive choices.
        state: "running", "complete", "pruned" or "failed".
        scores: the scores of its rows, in the common order.
        estimate: the surrogate's posterior mean, which varies less than a mean over few rows.
    """

    positions: Mapping[str, int]
    state: str
    scores: Sequence[float]
    estimate: float


Propose = Callable[[SearchSpace, Sequence[ObservedTrial], int], list[Mapping[str, int]]]
"""Takes the space as it is now, all trials and a count, returns that many assignments."""

Stop = Callable[[SearchSpace, Sequence[ObservedTrial]], list[bool]]
"""Takes the space as it is now and all trials, returns for each of them whether it is running and should be stopped."""


def proposals(sampler: optuna.samplers.BaseSampler) -> Propose:
    """A function that asks a copy of an Optuna sampler for assignments."""
    import optuna

    given = copy.deepcopy(sampler)  # a second run of the same study starts where the first one did
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def propose(space: SearchSpace, trials: Sequence[ObservedTrial], count: int) -> list[Mapping[str, int]]:
        distributions = _distributions(space)
        observed = [trial for trial in trials if not trial.positions.get(WRITTEN)]  # which have no choices to learn of
        study = _study([_frozen(space, distributions, trial, "complete") for trial in observed], given)
        return [space.suggest(study.ask(distributions)).to_dict() for _ in range(count)] if distributions else []

    return propose


def stops(pruner: optuna.pruners.BasePruner, batch_rows: int) -> Stop:
    """A function that asks a copy of an Optuna pruner which trials it stops.

    The pruner sees the running mean after every ``batch_rows`` rows. Optuna's Wilcoxon pruner compares row by row, and
    sees the score of each row.
    """
    import optuna

    given = copy.deepcopy(pruner)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    every = 1 if isinstance(pruner, optuna.pruners.WilcoxonPruner) else batch_rows

    def reports(scores: Sequence[float]) -> dict[int, float]:
        if every == 1:
            return dict(enumerate(scores))
        return {rows: sum(scores[:rows]) / rows for rows in range(every, len(scores) + 1, every)}

    def stop(space: SearchSpace, trials: Sequence[ObservedTrial]) -> list[bool]:
        distributions = _distributions(space)
        study = _study([_frozen(space, distributions, trial, trial.state, reports(trial.scores)) for trial in trials])
        frozen = study.get_trials(deepcopy=False)
        return [
            trial.state == "running" and given.prune(study, each) for trial, each in zip(trials, frozen, strict=True)
        ]

    return stop


def _distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution

    return {factor.name: CategoricalDistribution(factor.ids) for factor in space.factors if factor.proposed > 1}


def _frozen(
    space: SearchSpace,
    distributions: Mapping[str, BaseDistribution],
    trial: ObservedTrial,
    state: str,
    reports: Mapping[int, float] | None = None,
) -> optuna.trial.FrozenTrial:
    import optuna
    from optuna.trial import TrialState

    states = {"running": TrialState.RUNNING, "complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    return optuna.trial.create_trial(
        state=states.get(state, TrialState.FAIL),
        params={name: space.by_name[name].ids[trial.positions[name]] for name in distributions},
        distributions=dict(distributions),
        value=trial.estimate if state in ("complete", "pruned") else None,
        intermediate_values=dict(reports or {}),
    )


def _study(
    trials: Sequence[optuna.trial.FrozenTrial], sampler: optuna.samplers.BaseSampler | None = None
) -> optuna.Study:
    import optuna

    study = optuna.create_study(direction="maximize", sampler=sampler, study_name="race")
    study.add_trials(trials)
    return study
