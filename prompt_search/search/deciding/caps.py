"""Caps on the costs of prompts in a race: which candidates are not worth a call, and which trials are over a cap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.metrics.objective import Cap, Quantity
from prompt_search.results.objective.caps import CapStanding, MeanCost, joint_standing, mean_costs
from prompt_search.search import wording
from prompt_search.search.encoding import Encoding, Levels
from prompt_search.search.order import random_generator
from prompt_search.search.settings import RaceSettings
from prompt_search.search.trial import DEFAULT_TRIAL, Trial, Trials

MOST_BYTES_PER_TOKEN = 8.0
"""Bytes of a prompt for each of its tokens, at most, where no response was seen yet."""

MOST_OFF = 0.25
"""By what share the tokens of a prompt may be fewer than its size times the tokens for each byte of the others."""

LEAST_OFF = 0.03
"""The same where a line is fitted, at least."""

DEVIATIONS = 3.0
"""Number of standard deviations below its expected cost at which a candidate still has to be over a cap."""

FITTED = 5
"""Number of trials from which on a line is fitted to sizes and costs."""

SIZED_CANDIDATES = 200
"""Number of random candidates whose size is looked at, to tell what each option adds to it."""

Sizes = NDArray[np.float64]


@dataclass(kw_only=True)
class _Known:
    """What is known after some outcomes: the mean costs by quantity and trial, and sizes with costs by model."""

    outcomes: int = -1
    costs: dict[Quantity, dict[int, MeanCost]] = field(default_factory=dict)
    points: dict[tuple[Quantity, str], Sizes] = field(default_factory=dict)


class Caps:
    """The rules of a race about caps; without caps they change nothing.

    The cost of a prompt before any call is expected from the size of its messages: by the tokens for each byte that
    responses to others had, and once there are some of these, by a line through sizes and costs. A candidate that is
    clearly over a cap does not enter. Of one that has entered the usage of its responses decides, see `mean_costs`.

    Args:
        settings: the settings of the race.
        trials: the trials of the race; the rules end them.
    """

    def __init__(self, settings: RaceSettings, trials: Trials) -> None:
        self._goal = settings.goal
        self._caps: list[Cap] = [] if settings.goal is None else settings.goal.objective.caps
        self._settings = settings
        self._trials = trials
        self._known = _Known()
        self._sizes: dict[int, float] = {}
        self._sized: tuple[Encoding, Callable[[Levels], Sizes]] | None = None
        if self._caps:
            trials.expected_over = self._expected_over

    def __bool__(self) -> bool:
        return bool(self._caps)

    def take_space(self, settings: RaceSettings) -> None:
        """Look at candidates of a space that has grown."""
        self._settings = settings

    def standing(self, trial: Trial) -> CapStanding:
        """How a trial stands to the caps, by its outcomes so far."""
        if trial.over_cap:
            return "over"
        costs = self._updated().costs
        found = [(costs[cap.quantity].get(trial.number), cap.most) for cap in self._caps]
        return joint_standing("not known" if cost is None else cost.standing(most) for cost, most in found)

    def able_to_win(self, trials: Sequence[Trial]) -> list[bool]:
        """Which of some trials are shown to keep the caps; all where none is, and without caps."""
        known = [not self._caps or self.standing(trial) == "under" for trial in trials]
        return known if any(known) else [True] * len(trials)

    def close_over(self) -> None:
        """End the trials that are likely to be over a cap. Those that would turn out to be a little under it would need
        very many rows to show that, and only such a trial wins."""
        for trial in self._trials.all if self._caps else ():
            for cap in self._caps:
                cost = self._updated().costs[cap.quantity].get(trial.number)
                if not trial.over_cap and cost is not None and cost.is_likely_over(cap.most):
                    trial.over_cap = True
                    shown, is_default = cost.standing(cap.most) == "over", trial.number == DEFAULT_TRIAL
                    reason = wording.over_cap(cap, cost.expected, cost.rows, shown=shown, is_default=is_default)
                    trial.end("pruned", reason)

    def mask(self, encoding: Encoding) -> Callable[[Levels], NDArray[np.bool_]] | None:
        """Tells which candidates are not clearly over a cap, by what each option adds to a prompt's size; None where
        there are no caps, or nothing is known."""
        points = self._updated().points if self._caps else {}
        if not any(map(len, points.values())):
            return None
        if self._sized is None or self._sized[0] is not encoding:
            self._sized = encoding, self._size_of_levels(encoding)
        size = self._sized[1]
        models = sorted({model for _, model in points})

        def allowed(levels: Levels) -> NDArray[np.bool_]:
            sizes = size(levels)
            of_model = [
                np.all([self._expected(cap.quantity, model, sizes)[1] <= cap.most for cap in self._caps], axis=0)
                for model in models
            ]
            kept: NDArray[np.bool_] = np.any(of_model, axis=0)
            return kept

        return allowed

    def _expected_over(self, prepared: PreparedPrompt) -> str | None:
        """Why a prompt is expected to be over a cap; None where it is not clearly over one."""
        assert self._goal is not None
        size = self._goal.size(prepared)
        for cap in self._caps:
            expected, least = self._expected(cap.quantity, _model(prepared), np.array([size]))
            if least[0] > cap.most:
                return wording.expected_over(cap, float(expected[0]))
        return None

    def _expected(self, quantity: Quantity, model: str, sizes: Sizes) -> tuple[Sizes, Sizes]:
        """What prompts of these sizes are expected to cost, and the least that they may."""
        points = self._updated().points.get((quantity, model), np.zeros((0, 2)))
        known, costs = points[:, 0], points[:, 1]
        if len(points) >= FITTED and np.ptp(known) > 0:
            return _expected_by_line(known, costs, sizes)
        if quantity != "prompt_tokens":
            return np.zeros(len(sizes)), np.zeros(len(sizes))  # answers cost, too, and nothing is known of them
        if not len(points):
            return 2 * sizes / MOST_BYTES_PER_TOKEN, sizes / MOST_BYTES_PER_TOKEN
        expected = sizes * (costs.sum() / known.sum())
        return expected, (1 - MOST_OFF) * expected

    def _updated(self) -> _Known:
        """What is known by now."""
        outcomes = sum(len(trial.outcomes) for trial in self._trials.all)
        if outcomes != self._known.outcomes:
            known = _Known(outcomes=outcomes)
            models = sorted({_model(trial.prepared) for trial in self._trials.all})
            for cap in self._caps:
                known.costs[cap.quantity] = {}
                for model in models:
                    found = self._mean_costs(cap.quantity, model)
                    known.costs[cap.quantity] |= found
                    points = [(self._size(trial), cost.expected) for trial, cost in found.items()]
                    known.points[cap.quantity, model] = np.array(points).reshape(len(points), 2)
            self._known = known
        return self._known

    def _mean_costs(self, quantity: Quantity, model: str) -> dict[int, MeanCost]:
        """The mean cost of each trial of a model that has outcomes."""
        of_model = [trial for trial in self._trials.all if _model(trial.prepared) == model]
        found = [(trial.number, outcome.row, outcome.cost) for trial in of_model for outcome in trial.outcomes]
        values = [getattr(cost, quantity) for _, _, cost in found]
        return mean_costs([trial for trial, _, _ in found], [row for _, row, _ in found], values)

    def _size(self, number: int) -> float:
        if number not in self._sizes:
            assert self._goal is not None
            trial = next(each for each in self._trials.all if each.number == number)
            self._sizes[number] = self._goal.size(trial.prepared)
        return self._sizes[number]

    def _size_of_levels(self, encoding: Encoding) -> Callable[[Levels], Sizes]:
        """The least size that candidates are expected to have, from what each option adds to the size of random ones
        (least squares)."""
        assert self._goal is not None
        sample = encoding.sample(SIZED_CANDIDATES, random_generator(self._settings.seed, "sizes of candidates"))
        space = self._settings.space
        prepared = [self._settings.prepare(space.candidate(encoding.positions(row)))[0] for row in sample]
        sizes = np.array([self._goal.size(each) for each in prepared])
        options = [sorted({*column.tolist()}) for column in sample.T]

        def table(levels: Levels) -> Sizes:
            columns = [levels[:, place] == option for place, known in enumerate(options) for option in known]
            return np.column_stack([np.ones(len(levels)), *columns]).astype(float)

        effects, *_ = np.linalg.lstsq(table(sample), sizes, rcond=None)
        off = DEVIATIONS * float(np.std(sizes - table(sample) @ effects))
        return lambda levels: np.round(table(levels) @ effects - off, 3)


def _expected_by_line(known: Sizes, costs: Sizes, sizes: Sizes) -> tuple[Sizes, Sizes]:
    """What is expected of sizes by the line through known sizes and their costs, and the least that may be."""
    centre, spread = known.mean(), ((known - known.mean()) ** 2).sum()
    slope = ((known - centre) * costs).sum() / spread
    off = costs - costs.mean() - slope * (known - centre)
    deviation = np.sqrt((off**2).sum() / (len(known) - 2))
    expected = costs.mean() + slope * (sizes - centre)
    error = DEVIATIONS * deviation * np.sqrt(1 + 1 / len(known) + (sizes - centre) ** 2 / spread)
    return expected, np.round(expected - np.maximum(error, LEAST_OFF * np.abs(expected)), 6)


def _model(prepared: PreparedPrompt) -> str:
    return f"{prepared.model} at {prepared.endpoint}"
