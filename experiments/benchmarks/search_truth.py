"""How good a prompt each search returns, on made-up studies whose truth is known.

    python experiments/benchmarks/search_truth.py [--studies main weak ...] [--strategies ours tpe ...]
        [--calls 250 500 1500 5000] [--seeds 40] [--output search_truth.csv]

A study has 8 choices of 3 to 8 options and 4 slots for shots that draw from one pool of 40. Whether a candidate
answers a row rightly is decided by a logistic model: effects of options, of shots (half of it the shot's own, half
the slot's), of pairs of choices, of the single prompt, minus the row's difficulty, plus noise that is fixed for each
cell. There are 200 rows to search on. What is reported is the true accuracy of the prompt that a strategy returns,
over the whole population of rows: mean over the seeds and its standard error. A call is one row for one candidate.
``best`` is the best prompt that hill climbing on the truth finds.

Strategies:

- ours: `prompt_search.search.race.Race` as a study runs it;
- ours-soft: the same with a margin for every score (by how much the answer is right), as label log-probabilities give;
- random: 20 rows each, the best mean;
- tpe: Optuna's default sampler, 20 rows each, the best mean; tpe-100: 100 rows each;
- tpe-final: the same with 20 rows, and the last 30% of the calls for the best 8, halved in stages;
- tpe-race: Optuna's sampler in our race (`Study(sampler=TPESampler())`);
- tpe-halving: Optuna's sampler with its successive halving, 10 rows at first, up to 160;
- evolution: crossover and mutation, blocks of 10 rows, a rival is dropped when three others are better by a paired
  t-test (after CAPO, Zehle et al. 2025).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from prompt_search.answers import Text
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate, Factor
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.optuna_adapter import proposals
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget, RaceSettings, RefusalOf

Floats = NDArray[np.float64]
Levels = tuple[int, ...]

ROWS = 200
QUADRATURE = np.polynomial.hermite.hermgauss(15)


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


class Counter:
    """A study's rows, with a count of the calls: an evaluator for `Race`, and scores for simple strategies."""

    def __init__(self, truth: Truth, calls: int, soft: bool = False) -> None:
        self.truth = truth
        self.calls = calls
        self.spent = 0
        self.soft = soft
        self.space = truth.space
        self.names = [factor.name for factor in self.space.factors]
        self.margins = cache(truth.margins)

    def levels(self, candidate: Candidate) -> Levels:
        positions = candidate.to_dict()
        return tuple(positions.get(name, -1) for name in self.names)

    def scores(self, levels: Levels, start: int, stop: int) -> Floats:
        """The scores (1 or 0) on some rows, as far as the calls suffice."""
        stop = min(stop, start + self.calls - self.spent, ROWS)
        self.spent += max(0, stop - start)
        return (self.margins(levels)[start:stop] > 0).astype(float)

    def enter(self, candidate: Candidate) -> tuple[PreparedPrompt, range]:
        prompt = Prompt(source=repr(self.levels(candidate)))
        return PreparedPrompt(prompt=prompt, answer=Text(), model="truth", endpoint="truth"), range(ROWS)

    def price(self, prepared: PreparedPrompt, rows: Sequence[int]) -> list[int]:
        return [1] * len(rows)

    async def ask(self, prepared: PreparedPrompt, row: int, split: str) -> Outcome | None:
        return None

    def refusals(self) -> RefusalOf:
        return lambda prepared, row: None

    def evade(self, prepared: PreparedPrompt, row: int) -> bool:
        return False

    async def reparse(
        self, prepared: PreparedPrompt, outcomes: Sequence[Outcome], split: str
    ) -> tuple[PreparedPrompt, list[Outcome]]:
        return prepared, list(outcomes)

    async def evaluate(self, jobs: Sequence[tuple[PreparedPrompt, int]], split: str) -> list[Outcome | None]:
        self.spent += len(jobs)
        return [self._outcome(prepared, row) for prepared, row in jobs]

    def _outcome(self, prepared: PreparedPrompt, row: int) -> Outcome:
        levels = tuple(int(level) for level in prepared.prompt.source.strip("(,)").split(","))
        margin = float(self.margins(levels)[row])
        return Outcome(
            row=row,
            key="",
            answer=None,
            score=float(margin > 0),
            explanation="",
            unparsed=False,
            error=None,
            cached=False,
            margin=margin if self.soft else None,
        )


@dataclass(frozen=True)
class Found:
    """What a strategy returned, and the seconds that it thought."""

    levels: Levels
    seconds: float = 0.0
    candidates: int = 0


def race(counter: Counter, seed: int, sampler: optuna.samplers.BaseSampler | None = None) -> Found:
    started = time.perf_counter()
    settings = RaceSettings(
        space=counter.space,
        prepare=counter.enter,
        row_order=range(ROWS),
        seed=seed,
        propose=None if sampler is None else proposals(sampler),
    )
    budget = CallBudget(limit=lambda: counter.calls, spent=lambda: counter.spent)
    search = Race(settings, evaluator=counter, budget=budget, on_round=lambda race: None)
    winner = asyncio.run(search.run())
    return Found(counter.levels(winner.candidate), time.perf_counter() - started, len(search.trials))


def sampled(counter: Counter, sampler: optuna.samplers.BaseSampler, rows: int, final: float = 0.0) -> Found:
    """Ask an Optuna sampler, score on the same first rows, take the best mean; or let the best 8 go on."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    seen: dict[Levels, Floats] = {}
    seconds = 0.0
    while counter.calls * (1 - final) - counter.spent >= rows:
        started = time.perf_counter()
        trial = study.ask()
        levels = counter.levels(counter.space.suggest(trial))
        seconds += time.perf_counter() - started
        if levels not in seen:
            seen[levels] = counter.scores(levels, 0, rows)
        elif len(study.trials) > counter.calls:
            break
        started = time.perf_counter()
        study.tell(trial, seen[levels].mean())
        seconds += time.perf_counter() - started
    ranked = sorted(seen, key=lambda levels: -seen[levels].mean())
    finalists = ranked[: 8 if final else 1]
    while len(finalists) > 1:
        stages = len(finalists).bit_length() - 1
        more = (counter.calls - counter.spent) // stages // len(finalists)
        if not more or all(len(seen[levels]) == ROWS for levels in finalists):
            break
        for levels in finalists:
            done = len(seen[levels])
            seen[levels] = np.append(seen[levels], counter.scores(levels, done, done + more))
        finalists = sorted(finalists, key=lambda levels: -seen[levels].mean())[: len(finalists) // 2]
    return Found(finalists[0], seconds, len(seen))


def halving(counter: Counter, seed: int) -> Found:
    """Optuna's sampler and its successive halving."""
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=10, reduction_factor=2),
    )
    seen: dict[Levels, Floats] = {}
    while counter.spent < counter.calls and len(study.trials) < counter.calls:
        trial = study.ask()
        levels = counter.levels(counter.space.suggest(trial))
        scores = seen.get(levels, np.array([]))
        for rows in range(10, 170, 10):
            if len(scores) < rows:
                scores = np.append(scores, counter.scores(levels, len(scores), rows))
            if not len(scores):
                break
            trial.report(scores[:rows].mean(), rows)
            if trial.should_prune():
                break
        if len(scores):
            seen[levels] = scores
            study.tell(trial, scores.mean())
    return Found(max(seen, key=lambda levels: (len(seen[levels]), seen[levels].mean())), candidates=len(seen))


def evolution(counter: Counter, seed: int) -> Found:
    """A population of 10 with racing against each other on blocks of 10 rows."""
    generator = np.random.default_rng(seed)
    options = np.array(counter.truth.options)
    seen: dict[Levels, Floats] = {}

    def canonical(levels: NDArray[np.int64]) -> Levels:
        return tuple(counter.truth.canonical(levels[None])[0].tolist())

    def survivors(rivals: list[Levels], count: int) -> list[Levels]:
        for block in range(10):
            for levels in rivals:
                done = len(seen.setdefault(levels, np.array([])))
                seen[levels] = np.append(seen[levels], counter.scores(levels, done, max(done, 10 * (block + 1))))
            shared = min(len(seen[levels]) for levels in rivals)
            if len(rivals) <= count or not shared:
                break

            def beaten(levels: Levels, rivals: list[Levels] = rivals, shared: int = shared) -> int:
                others = [seen[rival][:shared] - seen[levels][:shared] for rival in rivals if rival != levels]
                return sum(bool(d.mean() > 0 and stats.ttest_1samp(d, 0).pvalue < 0.2) for d in others if d.std() > 0)

            losers = sorted((rival for rival in rivals if beaten(rival) >= 3), key=lambda rival: seen[rival].mean())
            dropped = losers[: len(rivals) - count]
            rivals = [rival for rival in rivals if rival not in dropped]
            if counter.spent >= counter.calls:
                break
        return sorted(rivals, key=lambda rival: -(seen[rival].mean() if len(seen[rival]) else 0.0))[:count]

    population = [canonical(generator.integers(0, options)) for _ in range(10)]
    population = survivors(list(dict.fromkeys(population)), 10)
    while counter.spent < counter.calls:
        children = []
        for _ in range(4):
            first, second = (np.array(population[generator.integers(len(population))]) for _ in range(2))
            child = np.where(generator.random(len(options)) < 0.5, first, second)
            child = np.where(child < 0, generator.integers(0, options), child)
            changed = generator.integers(len(options))
            child[changed] = generator.integers(options[changed])
            children.append(canonical(child))
        population = survivors(list(dict.fromkeys([*population, *children])), 10)
        if all(len(seen[levels]) >= 100 for levels in population) and len(seen) > counter.calls:
            break
    best = max((levels for levels in population if len(seen[levels])), key=lambda levels: seen[levels].mean())
    return Found(best, candidates=len(seen))


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


STRATEGIES: dict[str, Callable[[Counter, int], Found]] = {
    "ours": race,
    "ours-soft": lambda counter, seed: race(Counter(counter.truth, counter.calls, soft=True), seed),
    "random": lambda counter, seed: sampled(counter, optuna.samplers.RandomSampler(seed=seed), 20),
    "tpe": lambda counter, seed: sampled(counter, tpe(seed), 20),
    "tpe-100": lambda counter, seed: sampled(counter, tpe(seed), 100),
    "tpe-final": lambda counter, seed: sampled(counter, tpe(seed), 20, final=0.3),
    "tpe-race": lambda counter, seed: race(counter, seed, tpe(seed)),
    "tpe-halving": halving,
    "evolution": evolution,
}


def measure(job: tuple[str, str, int, int]) -> dict[str, Any]:
    """One strategy on one study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, strategy, calls, seed = job
    truth = Truth(SETTINGS[study], seed)
    if strategy == "best":
        return {"study": study, "strategy": strategy, "calls": calls, "seed": seed, "accuracy": truth.best()}
    found = STRATEGIES[strategy](Counter(truth, calls), seed)
    return {
        "study": study,
        "strategy": strategy,
        "calls": calls,
        "seed": seed,
        "accuracy": truth.accuracy(found.levels),
        "candidates": found.candidates,
        "seconds": found.seconds,
    }


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy and standard error, a line per study and strategy, a column per number of calls."""
    groups = frame.groupby(["study", "strategy", "calls"], sort=False).accuracy
    text = groups.mean().map("{:.3f}".format) + groups.sem().map(" ({:.3f})".format)
    return text.unstack("calls").fillna("")


def main() -> None:
    parser = argparse.ArgumentParser(description="How good a prompt each search returns, with the truth known.")
    parser.add_argument("--studies", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--calls", nargs="+", type=int, default=[250, 500, 1500, 5000])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", default="search_truth.csv")
    arguments = parser.parse_args()
    jobs = [
        (study, strategy, calls, seed)
        for study in arguments.studies
        for strategy in ["best", *arguments.strategies]
        for calls in (arguments.calls if strategy != "best" else [0])
        for seed in range(arguments.seeds)
    ]
    with ProcessPoolExecutor(arguments.processes) as pool:
        frame = pd.DataFrame(pool.map(measure, jobs, chunksize=5))
    frame.to_csv(arguments.output, index=False)
    print(table(frame).to_string())
    print()
    print("seconds in the search itself, a study:")
    print(frame.groupby(["strategy", "calls"], sort=False).seconds.mean().unstack("calls").round(2).to_string())


if __name__ == "__main__":
    main()
