"""The made-up studies of `search_truth.py`: what each candidate is worth, and what it answers on each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace

Floats = NDArray[np.float64]
Levels = tuple[int, ...]

ROWS = 200
QUADRATURE = np.polynomial.hermite.hermgauss(15)


class World(Protocol):
    """A study whose truth is known: what a strategy is tried on."""

    options: list[int]
    """The number of options of each choice."""
    rows: int
    """The number of rows to search on."""

    @property
    def space(self) -> SearchSpace: ...

    def canonical(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of levels with -1 for choices that a candidate does not have."""

    def accuracy(self, levels: Levels) -> float:
        """The true mean score of a candidate."""

    def scores(self, levels: Levels) -> Floats:
        """The score of a candidate on each row."""

    def margins(self, levels: Levels) -> Floats:
        """By how much each row is answered rightly (above 0) or wrongly; NaN where that is not known."""


@dataclass(frozen=True)
class Setting:
    """A kind of study. Shares are parts of the variance between candidates on the logit scale.

    ``bias`` is the standard deviation between candidates of what they lean towards the first of two labels, on the
    same scale: with much of it most candidates give one label to (nearly) every row, as small models do.

    ``gates``: a candidate is worth something only with one option of the shortest choice and one of two of the next,
    and then the longest choice matters much: as the way to read an answer, shots as turns, and which shots do for
    small models.
    """

    choices: float = 0.45
    shots: float = 0.10
    pairs: float = 0.25
    own: float = 0.20
    spread: float = 0.46
    difficulty: float = 1.2
    level: float = 0.25
    slots: int = 4
    pooled: float = 0.5
    conditional: bool = False
    bias: float = 0.0
    gates: bool = False


SETTINGS = {
    "main": Setting(),
    "additive": Setting(choices=0.80, shots=0.20, pairs=0.0, own=0.0),
    "interactions": Setting(choices=0.20, shots=0.10, pairs=0.55, own=0.15),
    "no shots": Setting(choices=0.50, shots=0.0, pairs=0.28, own=0.22, slots=0),
    "unrelated slots": Setting(pooled=0.0),
    "weak": Setting(spread=0.28),
    "own": Setting(choices=0.33, shots=0.08, pairs=0.19, own=0.40),
    "conditional": Setting(conditional=True),
    "mostly own": Setting(choices=0.25, shots=0.05, pairs=0.10, own=0.60),
    "label bias": Setting(level=1.0, difficulty=1.0, bias=5.0),
    "gates": Setting(level=0.85, gates=True),
}
SHUT, LEFT = 2.0, 0.3
"""Where a gate is shut: what a candidate loses, and the part that is left of what sets candidates apart (logits)."""


class Truth:
    """One made-up study: what each candidate is worth, and what it answers on each row."""

    rows = ROWS

    def __init__(self, setting: Setting, seed: int) -> None:
        generator = np.random.default_rng([seed, 7])
        self.seed = seed
        self.setting = setting
        self.options = [int(count) for count in generator.permutation([3, 4, 4, 5, 5, 6, 7, 8])]
        plain = len(self.options)
        self.options += [40] * setting.slots
        variance = setting.spread**2
        shares = generator.dirichlet(np.full(plain, 1.5)) * variance * setting.choices
        effects = [generator.normal(0, share**0.5, count) for share, count in zip(shares, self.options, strict=False)]
        pool = generator.normal(0, 1, 40)
        for _ in range(setting.slots):
            slot = setting.pooled**0.5 * pool + (1 - setting.pooled) ** 0.5 * generator.normal(0, 1, 40)
            effects.append(slot * (variance * setting.shots / setting.slots) ** 0.5)
        self.effects = [effect - effect.mean() for effect in effects]
        together = [(a, b) for a in range(plain) for b in range(a + 1, plain)]
        parts = generator.dirichlet(np.full(len(together), 0.5)) * variance * setting.pairs
        self.pairs = []
        for (a, b), part in zip(together, parts, strict=True):
            table = generator.normal(0, part**0.5, (self.options[a], self.options[b]))
            table -= table.mean(axis=0) + table.mean(axis=1)[:, None] - table.mean()
            self.pairs.append((a, b, table))
        self.difficulty = generator.normal(0, setting.difficulty, ROWS)
        self.label = np.resize([1.0, -1.0], ROWS)
        shares = generator.dirichlet(np.full(plain, 1.5)) * setting.bias**2 * (1 - setting.own)
        self.leanings = [generator.normal(0, share**0.5, n) for share, n in zip(shares, self.options, strict=False)]
        self.gates: list[tuple[int, NDArray[np.bool_]]] = []
        if setting.gates:
            generator = np.random.default_rng([seed, 11])
            shortest, second, *_, longest = np.argsort(self.options[:plain], kind="stable").tolist()
            for index, ways in ((shortest, 1), (second, 2)):
                self.gates.append((index, generator.permutation(np.arange(self.options[index]) < ways)))
            effect = generator.normal(0, 0.5, self.options[longest])
            self.effects[longest] = effect - effect.mean()

    @property
    def space(self) -> SearchSpace:
        """As a study has it. When conditional, the third and fourth choice exist only with the first option of
        the first."""
        pool = tuple(f"shot {index}" for index in range(40))
        plain = len(self.options) - self.setting.slots
        factors = [
            Factor(
                name=f"choice {index}" if index < plain else f"slot {index - plain}",
                kind="choice",
                options=pool if index >= plain else tuple(f"{index}.{option}" for option in range(count)),
            )
            for index, count in enumerate(self.options)
        ]
        names = [factor.name for factor in factors]

        def consult(values: Mapping[str, Any]) -> list[str]:
            present = values.get(names[0], factors[0].options[0]) == factors[0].options[0]
            return [name for name in names if present or name not in names[2:4]]

        if self.setting.conditional:
            return SearchSpace(factors, consult, parents=[names[0]])
        return SearchSpace(factors, lambda values: names)

    def _own(self, levels: Levels) -> np.random.Generator:
        return np.random.default_rng([self.seed, *(level + 1 for level in levels)])

    def open(self, levels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether no gate is shut, for rows of levels."""
        found = np.full(len(levels), True)
        for index, ways in self.gates:
            found &= ways[levels[:, index]]
        return found

    def structured(self, levels: NDArray[np.int64]) -> Floats:
        """The part that options and pairs explain, on the logit scale, for rows of levels."""
        level = self.setting.level
        total = np.full(len(levels), level)
        for index, effect in enumerate(self.effects):
            total += np.append(effect, 0.0)[levels[:, index]]
        for a, b, table in self.pairs:
            total += np.pad(table, ((0, 1), (0, 1)))[levels[:, a], levels[:, b]]
        return np.where(self.open(levels), total, level + LEFT * (total - level) - SHUT)

    def leaning(self, levels: NDArray[np.int64]) -> Floats:
        """The part of the bias that options explain, for rows of levels."""
        total = np.full(len(levels), -self.setting.bias / 2)  # the model likes the second label
        for index, leaning in enumerate(self.leanings):
            total += np.append(leaning, 0.0)[levels[:, index]]
        return total

    def _logits(self, levels: Levels, generator: np.random.Generator) -> tuple[float, float]:
        """Of rows with the first and with the second label."""
        rows = np.array([levels])
        own = self.setting.own**0.5 * (1 if self.open(rows)[0] else LEFT)
        logit = self.structured(rows)[0] + own * self.setting.spread * generator.normal()
        if not self.setting.bias:
            return float(logit), float(logit)
        lean = self.leaning(rows)[0] + own * self.setting.bias * generator.normal()
        return float(logit + lean), float(logit - lean)

    def _accuracy(self, logits: Floats) -> Floats:
        """Over all rows there could be of one label, of the shape of the logits."""
        nodes, weights = QUADRATURE
        spread = self.setting.difficulty * 2**0.5 * nodes
        return np.asarray(expit(logits[..., None] - spread) @ weights / np.pi**0.5)

    def accuracy(self, levels: Levels) -> float:
        """Over all rows there could be."""
        return float(self._accuracy(np.array(self._logits(levels, self._own(levels)))).mean())

    def margins(self, levels: Levels) -> Floats:
        """By how much each of the 200 rows is answered rightly (above 0) or wrongly."""
        generator = self._own(levels)
        first, second = self._logits(levels, generator)
        logits = np.where(self.label > 0, first, second)
        return np.asarray(logits - self.difficulty + generator.logistic(size=ROWS))

    def scores(self, levels: Levels) -> Floats:
        """The score (1 or 0) on each of the 200 rows."""
        return (self.margins(levels) > 0).astype(float)

    def _expected(self, levels: NDArray[np.int64]) -> Floats:
        """What options and pairs explain, for rows of levels: the logit, or with a bias the accuracy."""
        levels = self.canonical(levels)
        logit = self.structured(levels)
        if not self.setting.bias:
            return logit
        lean = self.leaning(levels)
        return np.asarray(self._accuracy(np.stack([logit + lean, logit - lean])).mean(axis=0))

    def best(self) -> float:
        """The accuracy of the best prompt that 20 hill climbs over the structured part find."""
        generator = np.random.default_rng([self.seed, 9])
        found: list[tuple[float, Levels]] = []
        for _ in range(20):
            levels = generator.integers(0, self.options)
            value = -np.inf
            while (now := float(self._expected(levels[None])[0])) > value + 1e-12:
                value = now
                for index, count in enumerate(self.options):
                    tried = np.repeat(levels[None], count, axis=0)
                    tried[:, index] = range(count)
                    levels = tried[self._expected(tried).argmax()]
            found.append((value, tuple(self.canonical(levels[None])[0].tolist())))
        return self.accuracy(max(found)[1])

    def canonical(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self.setting.conditional:
            return levels
        levels = levels.copy()
        levels[np.ix_(levels[:, 0] != 0, [2, 3])] = -1
        return levels
