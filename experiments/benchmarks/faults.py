"""A study on a server that fails in every way, against the same study on one that does not.

10,000 requests, 64 in flight, of which 5% get a 429 (half with Retry-After), 3% a 500, 2% no answer, 1% a cut
connection, 1% something that is no JSON. What the server counted, what the ledger says and what the tables show are
held against each other; the exit code is 1 where they differ. With ``--dialect`` the server also refuses what one of
`prompt_search.testing.FakeServer`'s dialects does.

    python experiments/benchmarks/faults.py [--calls 10000] [--dialect openai-reasoning]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

import prompt_search as ps
from prompt_search.llm.client import InProcess
from prompt_search.llm.transport import Transport
from prompt_search.testing import FakeServer, Faults, chance, truth_model

FAULTS = Faults(
    rate_limited=0.025,
    retry_after=0.025,
    server_error=0.03,
    hang=0.02,
    cut=0.01,
    not_json=0.01,
    retry_after_s=0.05,
    hang_s=60.0,
)
LATENCY_S = 0.02
REQUEST_TIMEOUT_S = 5.0
LABELS = ("refund", "delivery", "account", "other")
SOURCE = """{{ choice("instruction", instructions) }}
{% if flag("list_labels") %}Labels: {{ labels | join(", ") }}{% endif %}
{{ row.text }}
{{ choice("cue", ["Label:", "Answer:", "Category:"]) }}"""
CANDIDATES = 12 * 2 * 3


def data(rows: int) -> ps.Dataset:
    frame = pd.DataFrame({"text": [f"message number {row} of a customer" for row in range(rows)]})
    frame["label"] = [LABELS[int(chance("label", row) * len(LABELS))] for row in range(rows)]
    return ps.Dataset(frame, target="label")


def accuracy(wording: str) -> float:
    """How good a prompt truly is, by its words."""
    return 0.5 + 0.1 * ("Sort" in wording) + 0.1 * ("Labels:" in wording) + 0.05 * ("Answer:" in wording)


class ShortTimeout(InProcess):
    """Attempts are made by this process, and end earlier than the client asks for."""

    async def connect(
        self, model: ps.Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        return await super().connect(
            model, max_concurrency=max_concurrency, request_timeout=REQUEST_TIMEOUT_S, on_capacity=on_capacity
        )


def study(server: FakeServer, rows: ps.Dataset, storage: str, concurrency: int) -> ps.Study:
    verbs = ("Classify", "Sort", "Label", "Read", "Tag", "File")
    return ps.Study(
        template=ps.Template(SOURCE),
        data=rows,
        model=server.model(price=ps.Price(prompt=1.0, completion=2.0)),
        context={"instructions": [f"{verb} the message{end}" for verb in verbs for end in (".", ", please.")]},
        storage=storage,
        max_concurrency=concurrency,
        executor=ShortTimeout(),
    )


class Run:
    """A study on a server, and what both have counted."""

    def __init__(
        self, faults: Faults | None, rows: ps.Dataset, calls: int, concurrency: int, storage: str, dialect: str
    ) -> None:
        truth = truth_model({str(row["text"]): str(row.target) for row in rows.rows}, accuracy)
        started = time.perf_counter()
        with FakeServer(truth, latency=LATENCY_S, faults=faults, dialect=dialect) as server:
            self.study = study(server, rows, storage, concurrency)
            self.result = self.study.run(ps.Budget(calls=calls))
            self.server = server
        self.seconds = time.perf_counter() - started
        self.calls: pd.DataFrame = self.result.calls_df()
        self.samples: pd.DataFrame = self.result.samples_df()

    @property
    def asked(self) -> list[str]:
        """Every body that arrived, once."""
        return sorted({repr(sorted(body.items())) for body in self.server.bodies})


def without_times(frame: pd.DataFrame) -> pd.DataFrame:
    """What must not depend on faults: all but seconds, attempts, and the order in which answers came."""
    kept = frame.drop(columns=[name for name in ("latency_s", "attempts", "call") if name in frame])
    keys = [name for name in ("key", "trial", "split", "row") if name in frame]
    return kept.sort_values(keys).reset_index(drop=True) if keys else kept


def checks(clean: Run, faulty: Run) -> dict[str, bool]:
    """What must hold, in words."""
    server, calls = faulty.server, faulty.calls
    errors = faulty.samples["error"].dropna()
    paid_twice = server.answered - calls["error"].isna().sum()
    kinds = ("server: ", "timeout: ", "malformed: ")
    return {
        "every row is answered or has a typed error": bool(
            (faulty.samples["score"].notna() | faulty.samples["error"].notna()).all()
            and errors.str.startswith(kinds).all()
        ),
        "answers of the server = responses stored: none is paid twice": paid_twice == 0,
        "requests that the server counted = attempts in calls_df": server.count == calls["attempts"].sum(),
        "... = calls in the ledger": server.count == faulty.result.summary["calls"],
        "tokens that the server counted = tokens in the ledger": server.tokens == faulty.result.summary["tokens"],
        "the same requests as without faults": faulty.asked == clean.asked,
        "samples_df equals that without faults": without_times(faulty.samples).equals(without_times(clean.samples)),
        "trials_df equals that without faults": without_times(faulty.result.trials_df()).equals(
            without_times(clean.result.trials_df())
        ),
        "effects_df equals that without faults": faulty.result.effects_df().equals(clean.result.effects_df()),
        "the verdict equals that without faults": repr(faulty.result.verdict) == repr(clean.result.verdict),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=260, help="rows of the data; the requests grow with them")
    parser.add_argument("--calls", type=int, default=10_000, help="requests that there are to be, at least")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--dialect", default="openai")
    given = parser.parse_args()
    rows = data(given.rows)
    # Retries count as calls: a budget that binds would leave the faulty run with fewer requests.
    budget = 20 * max(given.calls, CANDIDATES * given.rows)
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Run] = {
            name: Run(faults, rows, budget, given.concurrency, f"sqlite:///{Path(folder) / name}.db", given.dialect)
            for name, faults in (("without", None), ("with", FAULTS))
        }
        clean, faulty = runs["without"], runs["with"]
        lines: list[tuple[str, Any, Any]] = [
            ("requests answered", clean.server.answered, faulty.server.answered),
            ("requests that arrived", clean.server.count, faulty.server.count),
            *((f"of these: {kind}", 0, count) for kind, count in sorted(faulty.server.faults_made.items())),
            ("most in flight", clean.server.most_in_flight, faulty.server.most_in_flight),
            ("rows without an answer", clean.samples["error"].notna().sum(), faulty.samples["error"].notna().sum()),
            ("US dollars in the ledger", clean.result.summary["usd"], faulty.result.summary["usd"]),
            ("seconds", round(clean.seconds), round(faulty.seconds)),
        ]
        print("| | without faults | with faults |\n|---|---|---|")
        for name, *values in lines:
            print(f"| {name} | {values[0]} | {values[1]} |")
        print("\n| what must hold | |\n|---|---|")
        found = {**checks(clean, faulty), f"at least {given.calls:,} requests": faulty.server.answered >= given.calls}
        for name, holds in found.items():
            print(f"| {name} | {'yes' if holds else '**no**'} |")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
