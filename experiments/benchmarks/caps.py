"""Whether a study with an objective returns the best prompt under a cap, where qualities and costs are known.

    python experiments/benchmarks/caps.py [--kinds tokens usd weighed binary ignored] [--studies 200] [--first 0]
        [--calls 900] [--processes 1] [--output caps.csv]

A template has three choices and 48 candidates. Each option adds a known quality and a known number of words, of which
each is a token; longer ones are better on the whole, so that the best prompts cost most. A row adds 4 to 23 words and
an answer 1 to 9 tokens, and one choice makes answers longer. Scores are graded, as a judge's are: the quality of the
prompt and normal noise (standard deviation 0.12). The cap is at a random place between the 15% and the 85% quantile of
the costs of all candidates. Whole studies run. Kinds:

- tokens: a cap on prompt tokens; usd: a cap on US dollars per 1,000 rows, which depend on the answers too;
- binary: as tokens, but an answer is right or wrong with the quality as its probability;
- weighed: no cap, but a weight of dollars, which a winner's value is about;
- ignored: a cap on prompt tokens that the study is not told of.

Columns of the table:

- over: the winner truly costs more than the cap, by its mean over all rows that there could be;
- near: the winner is under the cap and within 0.01 of the best prompt under it;
- or said: that, or the headline says that it is not known of the winner, or of a prompt with a higher estimate, whether
  it is under the cap;
- short: by how much it is worse than that, mean over the studies with their standard error;
- calls over: the share of the search's calls that went to prompts over the cap.

Numbers in brackets are standard errors. A study whose line is in the output already is not run again.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.result_lines import measure_missing, shown
from prompt_search.testing import InProcessExecutor
from prompt_search.testing.responses import Body, completion, prompt_of

KINDS = ("tokens", "usd", "binary", "weighed", "ignored")
CAPPED = ("tokens", "usd", "binary")
NOT_KNOWN = "but the search did not show that it is under the cap"
"""What a headline says of a prompt with a higher estimate than the winner."""

KEY = ["kind", "calls", "seed"]
ROWS = 400
LEAST_WORDS, MOST_WORDS = 4, 23
"""Of a row, its name included."""

LEAST_ANSWER, MOST_ANSWER = 1, 9
"""Tokens of an answer, without what a choice adds to them."""

PRICE = ps.Price(prompt=1.0, completion=4.0)
BASE, NOISE, NEAR = 0.35, 0.12, 0.01
STEPS = {"instruction": (0.08, 4), "guide": (0.06, 4), "style": (0.05, 3)}
"""For each choice the quality between one option and the next better one, and the number of options."""

Choice = tuple[int, ...]


@ps.metrics.metric(low=0, high=1)
def graded(answer: Any, row: Any) -> float:
    """The score that an answer gives itself."""
    return float(answer)


class World:
    """The options of a template, with what they add to quality and cost, and the rows."""

    def __init__(self, kind: str, seed: int) -> None:
        generator = random.Random(f"caps {seed}")
        self.kind, self.seed = kind, seed
        self.options: list[list[tuple[str, float, int]]] = []
        """Of each choice the options: text, quality, words."""
        for name, (step, count) in STEPS.items():
            words = sorted(generator.sample(range(2, 90), count))
            order = sorted(range(count), key=lambda place: place + generator.gauss(0, 0.7))
            self.options.append(
                [
                    (
                        f"{name}-{place} " + " ".join(["word"] * (words[place] - 1)),
                        step * order.index(place),
                        words[place],
                    )
                    for place in generator.sample(range(count), count)
                ]
            )
        self.longer = [generator.randrange(0, 12) for _ in self.options[2]]
        """The tokens that each style adds to answers."""
        sizes = [generator.randint(LEAST_WORDS, MOST_WORDS) for _ in range(ROWS)]
        self.texts = [f"row{row} " + " ".join(["item"] * (size - 1)) for row, size in enumerate(sizes)]
        costs = sorted(map(self.cost, self.candidates))
        least, most = costs[int(0.15 * len(costs))], costs[int(0.85 * len(costs))]
        self.cap = generator.uniform(least, most)

    @cached_property
    def candidates(self) -> list[Choice]:
        return list(product(*(range(len(options)) for options in self.options)))

    def quality(self, chosen: Choice) -> float:
        """The probability of a right answer, or the mean of graded scores."""
        return BASE + sum(options[place][1] for options, place in zip(self.options, chosen, strict=True))

    def prompt_tokens(self, chosen: Choice) -> float:
        """The mean over all rows that there could be."""
        words = sum(options[place][2] for options, place in zip(self.options, chosen, strict=True))
        return words + (LEAST_WORDS + MOST_WORDS) / 2

    def usd(self, chosen: Choice) -> float:
        """US dollars for 1,000 rows, the mean over all rows that there could be."""
        answer = (LEAST_ANSWER + MOST_ANSWER) / 2 + self.longer[chosen[2]]
        return (self.prompt_tokens(chosen) * PRICE.prompt + answer * PRICE.completion) / 1000

    def cost(self, chosen: Choice) -> float:
        """What the cap is about."""
        return self.usd(chosen) if self.kind in ("usd", "weighed") else self.prompt_tokens(chosen)

    @property
    def weight(self) -> float:
        """What a dollar per 1,000 rows is worth in quality."""
        return 1.0 if self.kind == "weighed" else 0.0

    def value(self, chosen: Choice) -> float:
        return self.quality(chosen) - self.weight * self.usd(chosen)

    def keeps(self, chosen: Choice) -> bool:
        return self.kind == "weighed" or self.cost(chosen) <= self.cap

    @property
    def best(self) -> float:
        return max(self.value(chosen) for chosen in self.candidates if self.keeps(chosen))

    @property
    def objective(self) -> ps.Objective | None:
        if self.kind == "ignored":
            return None
        if self.kind == "weighed":
            return ps.Objective(cost=self.weight)
        return ps.Objective(**{"max_usd_per_1000" if self.kind == "usd" else "max_prompt_tokens": self.cap})

    @property
    def source(self) -> str:
        parts = [
            f"{{{{ choice({name!r}, {[text for text, *_ in options]!r}) }}}}"
            for name, options in zip(STEPS, self.options, strict=True)
        ]
        return "\n".join([*parts, "{{ row.text }}"])

    def chosen(self, prompt: str) -> Choice:
        """The options of a prompt, by its text."""
        lines = prompt.splitlines()
        return tuple(
            [text for text, *_ in options].index(lines[place].strip()) for place, options in enumerate(self.options)
        )

    def answer(self, body: Body) -> dict[str, Any]:
        """The answer of the model, the same for the same prompt and row."""
        prompt = prompt_of(body)
        generator = random.Random(f"{self.seed} {prompt}")
        chosen = self.chosen(prompt)
        row = int(prompt.splitlines()[-1].split()[0].removeprefix("row"))
        text = f"{min(1.0, max(0.0, generator.gauss(self.quality(chosen), NOISE))):.4f}"
        if self.kind == "binary":
            text = "ab"[(row + (generator.random() >= self.quality(chosen))) % 2]
        answer = generator.randint(LEAST_ANSWER, MOST_ANSWER) + self.longer[chosen[2]]
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": answer}
        return completion(text, prompt, usage=usage)

    def study(self) -> ps.Study:
        labels = ["ab"[row % 2] for row in range(ROWS)]
        targets: list[Any] = labels if self.kind == "binary" else [row / ROWS for row in range(ROWS)]
        executor = InProcessExecutor(self.answer)
        return ps.Study(
            template=ps.Template(self.source),
            data=ps.Dataset(pd.DataFrame({"text": self.texts, "target": targets}), target="target"),
            model=executor.model(price=PRICE),
            answer=ps.Label(["a", "b"]) if self.kind == "binary" else ps.Number(),
            metric=ps.metrics.exact if self.kind == "binary" else graded,
            seed=self.seed,
            executor=executor,
            objective=self.objective,
        )


def line(job: tuple[str, int, int]) -> dict[str, Any]:
    """What one study came to, which `KEY` names."""
    kind, calls, seed = job
    world = World(kind, seed)
    result = world.study().run(calls)
    winner = world.chosen(result.best.text)
    samples = result.samples_df()
    searched = samples.loc[samples["split"] == "search", "trial"]
    keeps = {trial: world.keeps(world.chosen(result.prompt(trial).text)) for trial in searched.unique().tolist()}
    return {
        "kind": kind,
        "calls": calls,
        "seed": seed,
        "cap": world.cap,
        "cost": world.cost(winner),
        "over": not world.keeps(winner),
        "said": kind in CAPPED and (result.cap != "under" or NOT_KNOWN in result.headline),
        "value": world.value(winner),
        "best": world.best,
        "verdict": str(result.verdict),
        "calls_over": 1 - sum(map(keeps.__getitem__, searched.tolist())) / len(searched),
    }


def table(lines: pd.DataFrame) -> str:
    """The lines of each kind as a row of a table in Markdown."""
    written = ["| kind | calls | studies | over | near | or said | short | calls over |", f"|---|{'---:|' * 7}"]
    for (kind, calls), own in lines.groupby(["kind", "calls"], sort=False):
        short = own["best"] - own["value"]
        near = (short <= NEAR + 1e-9) & ~own["over"]
        counts = [f"{each.sum()} ({each.mean():.1%})" for each in (own["over"], near, near | own["said"])]
        cells = [str(kind), f"{calls:,}", str(len(own)), *counts, shown(short), f"{own['calls_over'].mean():.1%}"]
        written.append(f"| {' | '.join(cells)} |")
    return "\n".join(written)


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether a study returns the best prompt under a cap.")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first study")
    parser.add_argument("--calls", nargs="+", type=int, default=[900])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("caps.csv"))
    given = parser.parse_args()
    jobs = [
        (kind, calls, seed)
        for calls in given.calls
        for seed in range(given.first, given.first + given.studies)
        for kind in given.kinds
    ]
    print(table(measure_missing(jobs, line, KEY, given.output, given.processes)))


if __name__ == "__main__":
    main()
