"""How much of a study's time the decisions of the search take, and how its memory grows.

    python experiments/benchmarks/sampler_time.py [--calls 20000] [--latency 0.2] [--in-flight 64]

A race over 30 choices on an endpoint that takes 200 ms a request, with 64 in flight, until about a thousand
candidates were evaluated. Printed every 2,000 calls: candidates, wall time, the time in which nothing was in
flight because the next round was not decided (``waiting``), the processor time of the thread that decides
(``deciding``), both also as shares of the wall time, and the process's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.made_up_evaluator import MadeUpEvaluator, scored
from prompt_search.answers import Text
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate, Factor
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget, RaceSettings
from prompt_search.search.trial import Trial

ROWS = 1000


class Timed(Race):
    """A race that measures the processor time of its decisions."""

    deciding = 0.0

    def _decide(self, number: int) -> list[Trial]:
        started = time.thread_time()
        try:
            return super()._decide(number)
        finally:
            self.deciding += time.thread_time() - started


class Endpoint(MadeUpEvaluator):
    """A fake endpoint: it answers after the latency, correctly with a probability that the choices decide."""

    def __init__(self, latency: float, in_flight: int, options: Sequence[int]) -> None:
        generator = np.random.default_rng(0)
        self.effects = [generator.normal(0, 0.06, count) for count in options]
        self.latency = latency
        self.gate = asyncio.Semaphore(in_flight)
        self.spent = 0
        self.busy = 0
        self.idle = 0.0
        self._idle_since = time.perf_counter()

    def enter(self, candidate: Candidate) -> tuple[PreparedPrompt, range]:
        chosen = [index for _, index in candidate.positions]
        rate = 0.5 + sum(effect[index] for effect, index in zip(self.effects, chosen, strict=True))
        prompt = Prompt(source=f"{rate} {chosen}")
        return PreparedPrompt(prompt=prompt, answer=Text(), model="timed", endpoint="timed"), range(ROWS)

    async def evaluate(self, jobs: Sequence[tuple[PreparedPrompt, int]], split: str) -> list[Outcome | None]:
        return list(await asyncio.gather(*(self._answer(prepared, row) for prepared, row in jobs)))

    async def _answer(self, prepared: PreparedPrompt, row: int) -> Outcome:
        async with self.gate:
            if not self.busy:
                self.idle += time.perf_counter() - self._idle_since
            self.busy += 1
            self.spent += 1
            await asyncio.sleep(self.latency)
            self.busy -= 1
            if not self.busy:
                self._idle_since = time.perf_counter()
        rate = float(prepared.prompt.source.split()[0])
        right = np.random.default_rng([row, abs(hash(prepared.prompt.source))]).random() < rate
        return scored(row, float(right))


async def measure(calls: int, latency: float, in_flight: int) -> None:
    options = [3 + index % 6 for index in range(30)]
    factors = [
        Factor(name=f"choice {index}", kind="choice", options=tuple(f"{index}.{option}" for option in range(count)))
        for index, count in enumerate(options)
    ]
    names = [factor.name for factor in factors]
    endpoint = Endpoint(latency, in_flight, options)
    started = time.perf_counter()
    printed = 0

    def report(race: Race) -> None:
        nonlocal printed
        assert isinstance(race, Timed)
        if endpoint.spent < printed + 2000 and race.phase == "exploring":
            return
        printed = endpoint.spent
        wall = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {endpoint.spent} | {len(race.trials)} | {wall:.1f} | {endpoint.idle:.2f} | {endpoint.idle / wall:.1%} "
            f"| {race.deciding:.2f} | {race.deciding / wall:.1%} | {memory:.0f} |",
            flush=True,
        )

    print("| calls | candidates | wall, s | waiting, s | of wall | deciding, s | of wall | memory, MB |")
    print("|---|---|---|---|---|---|---|---|")
    settings = RaceSettings(
        space=SearchSpace(factors, lambda values: names), prepare=endpoint.enter, row_order=range(ROWS), seed=0
    )
    budget = CallBudget(limit=lambda: calls, spent=lambda: endpoint.spent)
    race = Timed(settings, evaluator=endpoint, budget=budget, on_round=report)
    await race.run()


def main() -> None:
    parser = argparse.ArgumentParser(description="How much of a study's time the decisions of the search take.")
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.calls, arguments.latency, arguments.in_flight))


if __name__ == "__main__":
    main()
