"""Random studies under random limits: does the server ever see a request, token or dollar above one?

Every setting is a whole study (search, finals, test) over real sockets, at a concurrency, latency and number of
workers drawn at random (none: the study's own process sends), with some requests refused and some cut off after the
server has worked on them. Half of the servers are strict: they refuse two parameters and an option, which the study
learns on its way. The server counts for itself.
Prints a line for each kind of limit: what share of the limit was used, and how often it was passed.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack
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


async def brief(seconds: float) -> None:
    """Instead of waiting to try again."""


def data() -> ps.Dataset:
    kinds = [("bad", "negative"), ("good", "positive")]
    texts = [f"{kinds[i % 2][0]} thing {i} {'né ' * (i % 7)}" for i in range(60)]
    return ps.Dataset(pd.DataFrame({"text": texts, "label": [kinds[i % 2][1] for i in range(60)]}), target="label")


def drawn_limits(generator: random.Random) -> dict[str, float]:
    """Of one, two or three kinds."""
    every = {
        "calls": generator.randint(1, 150),
        "tokens": generator.randint(100, 9_000),
        "usd": generator.uniform(0.2, 12.0),
    }
    names = generator.choice([("calls",), ("tokens",), ("usd",), ("calls", "tokens"), ("tokens", "usd"), tuple(every)])
    return {name: every[name] for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description="Random limits, and what the server saw.")
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    vars(session)["Client"] = functools.partial(Client, sleep=brief)
    generator = random.Random(arguments.seed)
    shares: dict[str, list[float]] = defaultdict(list)
    by_workers: Counter[int] = Counter()
    requests = failed = refused = most_refused = unanswered = 0
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
            limits = drawn_limits(generator)
            workers = generator.choice(WORKERS)
            by_workers[workers] += 1
            latency, failing = generator.choice([0, 0.005, 0.02]), generator.choice([0, 0.2])
            strict = generator.random() < 0.5
            with serving(Server(latency_s=latency, failing=failing, strict=strict)) as server:
                study = ps.Study(
                    template=ps.Template(SOURCE),
                    data=data(),
                    model=ps.Model("counted", base_url=server.base_url, price=PRICE),
                    max_concurrency=generator.randint(1, 48),
                    seed=generator.randrange(1000),
                    executor=schedulers.get(workers),
                    request={"presence_penalty": ps.choice([0, 0.5])},
                )
                try:
                    study.run(ps.Budget(**limits))  # type: ignore[arg-type]
                except RequestRefused:  # the few calls of a small budget all failed
                    unanswered += 1
            counted = {"calls": server.requests, "tokens": server.tokens, "usd": server.usd}
            for name, limit in limits.items():
                shares[name].append(counted[name] / limit)
            requests, failed = requests + server.requests, failed + server.failed
            refused += server.refused
            most_refused = max(most_refused, server.refused)
    print(f"{arguments.settings} studies, {requests:,} requests, {failed:,} of them failed or cut off")
    print(f"studies of a few calls that all failed: {unanswered}")
    print(f"refused by strict servers: {refused}, in one study at most {most_refused}")
    print(f"studies by number of workers: {dict(sorted(by_workers.items()))}\n")
    print("| limit | studies | used on average | used at most | passed |")
    print("|---|---|---|---|---|")
    for name, used in sorted(shares.items()):
        passed = sum(share > 1 + 1e-9 for share in used)
        print(f"| {name} | {len(used)} | {sum(used) / len(used):.1%} | {max(used):.2%} | {passed} |")


if __name__ == "__main__":
    main()
