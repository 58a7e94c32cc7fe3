"""How long the tables of a large study take, and how much memory.

    python experiments/benchmarks/tables.py [--trials 2000] [--rows 100] [--logprobs 0]

Makes up a finished study of so many trials on so many rows each, opens it, and builds every table from the storage.
Printed for each step: seconds, as a multiple of what SQLite alone takes to read the stored texts, and by how much the
process's memory peaked above where it stood with the package loaded. ``--logprobs`` is how many alternatives each
stored response carries: those are never parsed.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import prompt_search as ps
from prompt_search.llm.messages import Message, Request, Response, Usage
from prompt_search.storage.store import Store

LABELS = ("negative", "positive")
OPTIONS = {"instruction": 40, "cue": 8, "layout": 3, "shots": 9}


def made_up(path: Path, *, trials: int, rows: int, logprobs: int = 0, sealed: int = 100) -> None:
    """Write a finished study named ``large`` into a new database."""
    Store(f"sqlite:///{path}").close()
    generator = random.Random(0)
    alternatives = (tuple((f"token {i}", -0.5 - i) for i in range(logprobs)),) if logprobs else ()
    responses: list[tuple[str, str, str]] = []
    calls: list[tuple[str, str, int, str, int, None]] = []
    samples: list[tuple[str, int, int, str, str, str]] = []
    winner = trials - 1
    for trial in range(trials):
        rate = 0.5 + 0.4 * trial / trials
        tested = [("test", rows + row) for row in range(sealed)] if trial in (0, winner) else []
        for split, row in [*(("search", row) for row in range(rows)), *tested]:
            target = LABELS[row % 2]
            answer = target if generator.random() < rate else LABELS[1 - row % 2]
            prompt = f"instruction {trial}: is this review positive or negative? a review with the number {row}"
            request = Request(endpoint="made up", model="made-up", messages=(Message("user", prompt),))
            usage = Usage(prompt_tokens=40 + trial % 50, completion_tokens=1, cached_tokens=0)
            response = Response(text=answer, logprobs=alternatives, usage=usage, latency_s=0.2, cost_usd=1e-5)
            key, number = request.key, len(calls)
            responses.append((key, request.to_json(), response.to_json()))
            calls.append(("large", key, number, split, 1, None))
            record = {
                "trial": trial, "row": row, "split": split, "key": key, "answer": answer, "target": target,
                "score": float(answer == target), "explanation": "", "unparsed": False, "error": None, "cached": False,
            }  # fmt: skip
            samples.append(("large", trial, row, split, key, json.dumps(record)))
    written = [("large", trial, json.dumps(trial_record(trial, trials))) for trial in range(trials)]
    identity = {"data": "made up", "answers": [{}], "models": [["made-up", "made up"]], "metric": "exact"}
    summary = {
        "winner": winner, "baseline": 0, "hand_written": None, "order": list(range(trials))[::-1],
        "budget": {"calls": len(calls)}, "calls": len(calls), "reused": 0, "tokens": 41 * len(calls), "usd": 2.0,
        "seconds": 4000.0, "metric": "exact", "model": "made-up", "template": "made-up.j2",
        "candidates": [8640, True], "search_rows": rows, "held_out_rows": sealed, "tested": True, "sealed": "made up",
        "effects": [], "interactions": [],
    }  # fmt: skip
    with sqlite3.connect(path) as connection:
        insert = connection.executemany
        insert("insert into prompt_search_responses (key, request, response) values (?, ?, ?)", responses)
        insert(
            "insert into prompt_search_calls (study, key, number, split, attempts, failure) values (?, ?, ?, ?, ?, ?)",
            calls,
        )
        insert("insert into prompt_search_trials (study, trial, record) values (?, ?, ?)", written)
        insert(
            "insert into prompt_search_samples (study, trial, row, split, key, record) values (?,?,?,?,?,?)", samples
        )
        connection.execute(
            "insert into prompt_search_studies (study, created, identity) values ('large', 0, ?)",
            (json.dumps(identity),),
        )
        connection.execute(
            "insert into prompt_search_versions (study, version, created, settings, summary) "
            "values ('large', 1, 0, '{}', ?)",
            (json.dumps(summary),),
        )
    connection.close()


def trial_record(trial: int, trials: int) -> dict[str, object]:
    """What the store keeps of a trial."""
    positions = {name: trial // (index + 1) % count for index, (name, count) in enumerate(OPTIONS.items())}
    choices = {name: f"option {position} of {name}" for name, position in positions.items()}
    text = f"instruction {trial}: is this review positive or negative? {{{{ row.text }}}}"
    prompt = {"source": text, "choices": choices, "parameters": {}, "answer": None, "model": "made-up", "name": "x"}
    return {
        "trial": trial, "state": "complete", "reason": "made up", "choices": choices, "positions": positions,
        "prompt": prompt, "text": text, "estimate": 0.5 + 0.4 * trial / trials, "uncertainty": 0.05,
    }  # fmt: skip


def peak() -> float:
    """The most memory that the process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--logprobs", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.db"
        made_up_apart(path, arguments)
        started = time.perf_counter()
        read_alone(path)
        alone = time.perf_counter() - started
        print(f"{arguments.trials} trials, {arguments.rows} rows each, {arguments.logprobs} alternatives a response")
        print(f"{'step':<14}{'seconds':>8}{'times SQLite alone':>20}{'peak MB above start':>21}")
        print(f"{'SQLite alone':<14}{alone:>8.2f}{1.0:>20.1f}{0:>21.0f}")
        opened: list[ps.Result] = []
        before = peak()

        def step(name: str, work: Callable[[], object]) -> None:
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
            print(f"{name:<14}{seconds:>8.2f}{seconds / alone:>20.1f}{peak() - before:>21.0f}", flush=True)

        step("open_result", lambda: opened.append(ps.open_result(f"sqlite:///{path}", "large")))
        (result,) = opened
        tables: dict[str, Callable[[], object]] = {
            "samples_df": result.samples_df,
            "trials_df": result.trials_df,
            "calls_df": result.calls_df,
            "pareto_df": result.pareto_df,
            "ledger_df": result.ledger_df,
            "progress_df": result.progress_df,
            "difficulty_df": result.difficulty_df,
            "headline": lambda: result.headline,
            "_repr_html_": result._repr_html_,
        }
        for name, work in tables.items():
            step(name, work)


def made_up_apart(path: Path, arguments: argparse.Namespace) -> None:
    """`made_up` in another process, whose memory is not ours."""
    import multiprocessing

    sizes = {"trials": arguments.trials, "rows": arguments.rows, "logprobs": arguments.logprobs}
    process = multiprocessing.get_context("spawn").Process(target=made_up, args=(path,), kwargs=sizes)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def read_alone(path: Path) -> None:
    """Take every text that the tables need from the database."""
    with sqlite3.connect(path) as connection:
        for query in (
            "select record from prompt_search_samples order by trial, split, row",
            "select c.key, r.response from prompt_search_calls c left join prompt_search_responses r on c.key = r.key",
        ):
            for _ in connection.execute(query):
                pass
    connection.close()


if __name__ == "__main__":
    main()
