"""Random studies under random limits: does the server ever see a request, token or dollar above one?

Every setting is a whole study (search, finals, test) over real sockets, at a concurrency, latency and number of
workers drawn at random (none: the study's own process sends), with some requests refused and some cut off after the
server has worked on them. Half of the servers are strict: they refuse two parameters and an option, which the study
learns on its way. The server counts for itself. With ``--grow`` limits are six times as high, a proposer adds options
by operators and with a share drawn at random, and shots are picked by what the model itself answers.

    python experiments/benchmarks/budgets.py [--settings 200] [--seed 0] [--grow]

Prints a line for each kind of limit: what share of the limit was used, and how often it was passed.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import distributed
import optuna
import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.counting_server import PRICE, Server, serving
from prompt_search.errors import RequestRefused
from prompt_search.evaluation import session
from prompt_search.llm.client import Client

WORKERS = (0, 0, 1, 2, 4)

SOURCE = """{{ choice("instruction", ["Classify.", "Read.", "Decide with care.", "Which? 😀😀"]) }}
{% if flag("listed") %}Labels: {{ labels | join(", ") }}{% endif %}
Text: {{ row.text }}
{{ choice("cue", ["Label:", "Answer:", ""]) }}"""


GROWS = SOURCE.replace('😀😀"]', '😀😀"], grow="says how to decide"')
"""A template with a choice that may grow."""
OWN_SHOTS = """
{% for shot in examples("shots", max=2, pickers=["random 1", "solved 1", "hard 1"]) %}
Another: {{ shot.reasoning }} {{ shot.text }} {{ shot.label }}
{% endfor %}"""
"""The end of a template whose shots are picked by what the model itself answers."""


async def brief(seconds: float) -> None:
    """Instead of waiting to try again."""


def data() -> ps.Dataset:
    kinds = [("bad", "negative"), ("good", "positive")]
    texts = [f"{kinds[i % 2][0]} thing {i} {'né ' * (i % 7)}" for i in range(60)]
    return ps.Dataset(pd.DataFrame({"text": texts, "label": [kinds[i % 2][1] for i in range(60)]}), target="label")


@dataclass
class Totals:
    """What all studies came to.

    Attributes:
        shares: used parts of the limits, by kind.
        by_workers: number of studies by number of workers.
        roles: requests by what they are for, as the studies count them.
    """

    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    by_workers: Counter[int] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    failed: int = 0
    refused: int = 0
    most_refused: int = 0
    unanswered: int = 0

    def add(self, server: Server, limits: Mapping[str, float]) -> None:
        """Count what a server saw of one study."""
        counted = {"calls": server.requests, "tokens": server.tokens, "usd": server.usd}
        for name, limit in limits.items():
            self.shares[name].append(counted[name] / limit)
        self.requests += server.requests
        self.failed += server.failed
        self.refused += server.refused
        self.most_refused = max(self.most_refused, server.refused)

    def print(self) -> None:
        """The lines and the table."""
        print(f"{self.by_workers.total()} studies, {self.requests:,} requests, {self.failed:,} failed or cut off")
        print(f"requests that were answered, by role: {dict(self.roles)}")
        print(f"studies of a few calls that all failed: {self.unanswered}")
        print(f"refused by strict servers: {self.refused}, in one study at most {self.most_refused}")
        print(f"studies by number of workers: {dict(sorted(self.by_workers.items()))}\n")
        print("| limit | studies | used on average | used at most | passed |")
        print("|---|---|---|---|---|")
        for name, used in sorted(self.shares.items()):
            passed = sum(share > 1 + 1e-9 for share in used)
            print(f"| {name} | {len(used)} | {sum(used) / len(used):.1%} | {max(used):.2%} | {passed} |")


def drawn_limits(generator: random.Random, scale: int) -> dict[str, float]:
    """Of one, two or three kinds."""
    every = {
        "calls": scale * generator.randint(1, 150),
        "tokens": scale * generator.randint(100, 9_000),
        "usd": scale * generator.uniform(0.2, 12.0),
    }
    names = generator.choice([("calls",), ("tokens",), ("usd",), ("calls", "tokens"), ("tokens", "usd"), tuple(every)])
    return {name: every[name] for name in names}


def drawn_study(generator: random.Random, server: Server, executor: str | None, grow: bool) -> ps.Study:
    """A study on the server, with a proposer drawn at random where it grows."""
    model = ps.Model("counted", base_url=server.base_url, price=PRICE)
    proposer = None
    if grow:
        operators = generator.sample(list(ps.Proposer(model).operators), generator.randint(1, 5))
        share = generator.uniform(0.02, 0.5)
        proposer = ps.Proposer(model, operators=operators, share=share, max_tokens=generator.randint(20, 600))
    return ps.Study(
        template=ps.Template(GROWS + OWN_SHOTS if grow else SOURCE),
        data=data(),
        model=model,
        max_concurrency=generator.randint(1, 48),
        seed=generator.randrange(1000),
        executor=executor,
        request={"presence_penalty": ps.choice([0, 0.5])},
        proposer=proposer,
    )


def run(generator: random.Random, schedulers: Mapping[int, str | None], grow: bool, totals: Totals) -> None:
    """One study under random limits."""
    limits = drawn_limits(generator, 6 if grow else 1)
    workers = generator.choice(WORKERS)
    totals.by_workers[workers] += 1
    latency, failing = generator.choice([0, 0.005, 0.02]), generator.choice([0, 0.2])
    strict = generator.random() < 0.5
    with serving(Server(latency_s=latency, failing=failing, strict=strict)) as server:
        study = drawn_study(generator, server, schedulers.get(workers), grow)
        try:
            ledger = study.run(ps.Budget(**limits)).ledger_df()  # type: ignore[arg-type]
            totals.roles.update(dict(zip(ledger["role"], ledger["calls"].astype(int), strict=True)))
        except RequestRefused:  # the few calls of a small budget all failed
            totals.unanswered += 1
    totals.add(server, limits)


def main() -> None:
    parser = argparse.ArgumentParser(description="Random limits, and what the server saw.")
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grow", action="store_true")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    vars(session)["Client"] = functools.partial(Client, sleep=brief)
    generator, totals = random.Random(arguments.seed), Totals()
    with ExitStack() as stack:
        schedulers: dict[int, str | None] = {
            count: stack.enter_context(
                distributed.LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=count, threads_per_worker=1, dashboard_address=None
                )
            ).scheduler_address
            for count in sorted(set(WORKERS) - {0})
        }
        for _ in range(arguments.settings):
            run(generator, schedulers, arguments.grow, totals)
    totals.print()


if __name__ == "__main__":
    main()
