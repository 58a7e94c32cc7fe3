"""Held-out score of this search, of simple ones and of other packages, at equal numbers of requests.

    python experiments/benchmarks/matched_calls.py --data-dir DIR [--peers-python peers/bin/python]

Every method asks the same server through an endpoint of ours, which counts the requests of each run and refuses the
one after the last. The prompt that a method returns is then scored by us, on held-out rows that no method saw, the
same for all methods of a data set and seed. README.md beside this file says how each method is used and read.

The csv (``--output``) has a line for each data set, method, seed and number of calls; lines that are there are not
measured again. A failed run has its ``error`` and no score; delete its line to try it again.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import importlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from scipy import stats

import prompt_search as ps
from prompt_search import metrics
from prompt_search.data.rows import Row
from prompt_search.llm import local
from prompt_search.llm.messages import Message, Response
from prompt_search.prompts.factors import Candidate
from prompt_search.results.statistics import mean_interval

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.public_sets.run import CONTEXT, make

PEERS = ("mipro", "gepa", "capo", "evoprompt")
ROWS = 20  # a candidate, in the plain searches
REQUESTS = 16  # in flight for final scores, over all lines: a slow server would let more of them time out
PEER_SECONDS = 12 * 3600.0
KEY = ["set", "method", "seed", "calls", "model", "held_out"]


@dataclass
class Run:
    """What one method has asked; ``sent`` is the body of the last request for each held-out row."""

    score: Callable[[str, str], float]
    limit: int
    left: int
    refused: int = 0
    sent: dict[int, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Use up a call, if there is one left."""
        with self.lock:
            granted = self.left > 0
            self.left -= granted
            self.refused += not granted
        return granted


class Endpoint(http.server.ThreadingHTTPServer):
    """A counting endpoint on a free port of the loopback interface, in front of ``upstream``.

    A run's requests go to ``{url}/RUN/v1/chat/completions``. Beside it are ``RUN/left`` and ``RUN/score`` (the
    metric), and for its final prompt, uncounted and noted, ``RUN/held-out/ROW/v1`` (answered by the server) and
    ``RUN/noted/ROW/v1`` (answered with nothing real).
    """

    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.runs: dict[str, Run] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def reply(self, path: str, body: bytes) -> tuple[int, Any]:
        """Status and body."""
        name, *rest = path.strip("/").split("/")
        run = self.runs[name]
        match rest:
            case ["left"]:
                return 200, {"left": run.left}
            case ["score"]:
                given = json.loads(body)
                return 200, {"score": run.score(given["answer"], given["target"])}
            case [("held-out" | "noted") as mode, row, "v1", "chat", "completions"]:
                run.sent[int(row)] = json.loads(body)
                noted = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "noted"}}]}
                return self._pass_on(body) if mode == "held-out" else (200, noted)
            case ["v1", "chat", "completions"] if run.take():
                return self._pass_on(body)
            case ["v1", "chat", "completions"]:
                return 403, _error(f"the {run.limit} calls of this run are used up", "calls_used_up")
        return 404, _error(f"there is nothing at {path}", "not_found")

    def _pass_on(self, body: bytes) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.upstream}/chat/completions", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=3600) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 502, _error(f"no answer from {self.upstream}: {error}", "bad_gateway")


class Handler(http.server.BaseHTTPRequestHandler):
    """The HTTP side of `Endpoint`."""

    server: Endpoint
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, found = self.server.reply(self.path, sent)
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is given: a study whose model is the counting endpoint, and the number of calls."""

    study: ps.Study
    run: Run
    url: str

    def scored(self, prompt: ps.Prompt, rows: list[int]) -> tuple[float, ps.Prompt]:
        """The mean score, and the prompt with what its answer form has learned from the rows."""
        study = self.study
        found = ps.evaluate(prompt, study.data, model=study.models[0], metric=study.metric, rows=rows)
        return found.score, found.prompt


def ours(task: Task) -> ps.Prompt:
    """The study as it comes, all calls for the search: everybody's prompt is scored on the held-out rows here."""
    return task.study.run(ps.Budget(calls=task.run.limit), test=False).best


def growing(task: Task) -> ps.Prompt:
    """The same, with options that the model itself proposes; these requests count, too."""
    study = task.study.replace(proposer=task.study.models[0])
    return study.run(ps.Budget(calls=task.run.limit), test=False).best


def hand_written(task: Task) -> ps.Prompt:
    """The instructions of the template, everything else at its default: the best mean on the same rows."""
    texts = task.study.space().by_name["instruction"].texts
    rows = task.study.search_rows[: task.run.limit // len(texts)]
    prompts = [task.study.prompt({"instruction": text}) for text in texts]
    return max((task.scored(prompt, rows) for prompt in prompts), key=lambda found: found[0])[1]


def sampled(task: Task, sampler: optuna.samplers.BaseSampler) -> ps.Prompt:
    """What an Optuna sampler proposes, on the same 20 rows each: the best mean."""
    space = task.study.space()
    search = optuna.create_study(direction="maximize", sampler=sampler)
    seen: dict[Candidate, tuple[float, ps.Prompt]] = {}
    while len(search.trials) < task.run.limit:
        trial = search.ask()
        candidate = space.suggest(trial)
        if candidate not in seen:
            if task.run.left < ROWS:
                break
            seen[candidate] = task.scored(task.study.prompt(space.texts(candidate)), task.study.search_rows[:ROWS])
        search.tell(trial, seen[candidate][0])
    return max(seen.values(), key=lambda found: found[0])[1]


METHODS: dict[str, Callable[[Task], ps.Prompt]] = {
    "ours": ours,
    "growing": growing,
    "random": lambda task: sampled(task, optuna.samplers.RandomSampler(seed=task.study.seed)),
    "hand-written": hand_written,
    "tpe": lambda task: sampled(task, optuna.samplers.TPESampler(seed=task.study.seed)),
}


def peer(task: Task, method: str, stem: Path, arguments: argparse.Namespace) -> str:
    """Run a peer's search; its prompt for people. What it asks for the held-out rows is in ``task.run.sent``."""
    study, form = task.study, task.study.answers[0]
    labels = list(form.labels) if isinstance(form, ps.Label) else []
    options = f"\nOptions: {', '.join(labels)}" if labels else ""  # as in the template's default
    instructions = [text + options for text in study.space().by_name["instruction"].texts]
    name = study.data.fields[0]
    rows = [study.data.rows[index] for index in study.search_rows]
    spec = {
        "url": task.url,
        "model": study.models[0].name,
        "seed": study.seed,
        "calls": task.run.limit,
        "labels": labels,
        "instructions": instructions,
        "input": name,
        "output": study.data.target,
        "rows": [{"x": str(row[name]), "y": str(row.target)} for row in rows],
        "held_out": [str(study.data.rows[index][name]) for index in study.test_rows],
        "tokens": arguments.peer_tokens,
    }
    source, target, log = (stem.with_name(f"{stem.name}.{end}") for end in ("spec.json", "out.json", "log"))
    source.write_text(json.dumps(spec), encoding="utf-8")
    target.unlink(missing_ok=True)
    command = [arguments.peers_python, Path(__file__).with_name("matched_calls_peers.py"), method, source, target]
    environment = {**os.environ, "OPENAI_API_KEY": "unused", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with log.open("w", encoding="utf-8") as said:
        ended = subprocess.run(command, stdout=said, stderr=said, env=environment, timeout=PEER_SECONDS)
    if not target.is_file():
        raise RuntimeError(f"ended with exit code {ended.returncode}; see {log.name}")
    found = json.loads(target.read_text(encoding="utf-8"))
    if "error" in found:
        raise RuntimeError(found["error"])
    return str(found["prompt"])


class Sent(ps.Prompt):
    """The messages that a peer sent for a row, exactly."""

    def render(self, row: Any) -> tuple[Message, ...]:
        return tuple(Message(message["role"], message["content"]) for message in row["messages"])


def score_sent(task: Task, **asked: Any) -> list[float]:
    """Our scores of what a peer asked for the held-out rows: the same messages and parameters, read by us.

    ``asked`` goes to `prompt_search.evaluate`.
    """
    study, sent, form = task.study, task.run.sent, task.study.answers[0]
    if len(sent) < len(study.test_rows):
        raise RuntimeError(f"its prompt asked something for {len(sent)} of {len(study.test_rows)} held-out rows only")
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, index in enumerate(study.test_rows):
        body = {key: value for key, value in sent[number].items() if key not in ("model", "messages")}
        record = {"messages": sent[number]["messages"], "target": study.data.rows[index].target}
        groups.setdefault(json.dumps(body, sort_keys=True), []).append(record)
    # What follows the marker of DSPy's two formats or of promptolution, or else the first line.
    marker = rf'\[\[ ## {study.data.target} ## \]\]|"{study.data.target}":\s*"|<final_answer>'
    text = ps.Regex(rf'(?:[\s\S]*?(?:{marker})\s*|\s*)([^\n"\[<{{]+)')
    scores: list[float] = []
    for parameters, records in groups.items():
        scores += ps.evaluate(
            Sent(source="", parameters=json.loads(parameters)),
            ps.Dataset(pd.DataFrame(records), target="target"),
            answer=form if isinstance(form, ps.Label) else text,
            **asked,
        ).scores
    return scores


def measure(key: dict[str, Any], model: ps.Model, endpoint: Endpoint, arguments: argparse.Namespace) -> dict[str, Any]:
    """One line of the csv."""
    name, method, limit = key["set"], key["method"], key["calls"]
    run_id = f"{name}-{method}-{key['seed']}-{limit}"
    url = f"{endpoint.url}/{run_id}"
    counted = ps.Model(model.name, base_url=f"{url}/v1")
    study = make(name, arguments.data_dir, model=counted, seed=key["seed"], storage="sqlite://")
    study = study.replace(test=arguments.held_out)

    def score(answer: str, target: str) -> float:
        row, read = Row({"target": target}, target="target"), study.answers[0].parse(Response(text=answer))
        return float(asyncio.run(metrics.score(study.metric, read, row)).value)

    run = endpoint.runs[run_id] = Run(score, limit, limit)
    task = Task(study=study, run=run, url=url)
    stem = arguments.output.with_name(f"{arguments.output.stem}_logs") / run_id
    stem.parent.mkdir(parents=True, exist_ok=True)
    asked = {
        "model": model,
        "metric": study.metric,
        "storage": arguments.storage,
        "max_concurrency": max(1, REQUESTS // arguments.at_once),
    }
    scores: Sequence[float] = []
    error, text, started = "", "", time.monotonic()
    seconds = None
    try:
        if method in PEERS:
            text = peer(task, method, stem, arguments)
            seconds = time.monotonic() - started
            scores = score_sent(task, **asked)
        else:
            prompt = METHODS[method](task)
            text, seconds = prompt.text, time.monotonic() - started
            scores = ps.evaluate(prompt, study.data, rows=study.test_rows, **asked).scores
        if missing := len(study.test_rows) - len(scores):
            scores = []
            raise RuntimeError(f"no answer to {missing} of {len(study.test_rows)} held-out rows")
    except Exception as failure:  # told in the csv as what it is; the other methods go on
        error = str(failure) if type(failure) is RuntimeError else f"{type(failure).__name__}: {failure}"
    stem.with_name(f"{run_id}.txt").write_text(text or error, encoding="utf-8")
    low, high = mean_interval(scores)
    note = "ended before the limit; its log says why" if method in PEERS and run.left else ""
    note = f"refused {run.refused} requests after the limit; its best so far" if run.refused else note
    return {
        **key,
        "requests": limit - run.left,
        "score": float(np.mean(scores)) if scores else None,
        "low": low,
        "high": high,
        "rows": len(scores),
        "seconds": round(seconds or time.monotonic() - started, 1),
        "error": " ".join(error.split())[:500],
        "note": note if scores else "",
    }


def tables(frame: pd.DataFrame) -> str:
    """Mean over seeds by data set, mean over data sets, and ours minus each method on the same data set and seed.

    ± is half the 95% interval that the held-out rows leave; that of the differences comes from the runs.
    """
    wide = frame.pivot(index=["calls", "set", "seed"], columns="method", values="score")
    records = []
    for (calls, method), lines in frame.groupby(["calls", "method"], sort=False):
        done = lines.dropna(subset=["score"])
        cells = done.assign(square=((done.high - done.low) / 2) ** 2).groupby("set", sort=False)
        means = cells.score.mean()
        halves = np.sqrt(cells.square.sum().to_numpy(dtype=float)) / cells.size().to_numpy(dtype=float)
        half = float(np.sqrt(np.square(halves).sum())) / max(len(means), 1)
        record = {"calls": calls, "method": method}
        record |= {name: f"{mean:.3f} ±{half:.3f}" for name, mean, half in zip(means.index, means, halves, strict=True)}
        whole = len(means) == lines.set.nunique()
        record["mean"] = f"{means.mean():.3f} ±{half:.3f}" if whole else "not all sets"
        if "ours" in wide and method != "ours":
            here = wide[wide.index.get_level_values("calls") == calls]
            gap = (here["ours"] - here[method]).dropna().to_numpy(dtype=float)
            low, high = stats.t.interval(0.95, len(gap) - 1, gap.mean(), stats.sem(gap)) if len(gap) > 1 else (0, 0)
            record["ours minus it"] = f"{gap.mean():+.3f} ({low:+.3f} to {high:+.3f})" if len(gap) > 1 else "-"
        record["scored"] = f"{len(done)} of {len(lines)}"
        record["requests"] = f"{lines.requests.min()} to {lines.requests.max()}"
        records.append(record)
    return pd.DataFrame(records).fillna("-").to_string(index=False)


def plot(frame: pd.DataFrame, path: Path) -> None:
    """Mean held-out score over data sets and seeds against the number of calls, a line per method."""
    try:
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        print(f"{path} was not drawn: that needs matplotlib (pip install matplotlib)")
        return
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    cells = frame.groupby(["method", "calls", "set"], sort=False).score.mean()
    for method, line in cells.unstack("set").mean(axis=1, skipna=False).unstack("method").sort_index().items():
        label = method if line.notna().any() else f"{method}: no score"
        axes.plot(line.index, line, marker="o", label=label)
    axes.set(xlabel="requests", ylabel="mean score on held-out rows")
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    sets = [name for name in CONTEXT if name != "gsm8k"]
    parser.add_argument("--data-dir", type=Path, required=True, help="as for experiments/public_sets/run.py")
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, *PEERS], help="default: all that can run")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--calls", nargs="+", type=int, default=[500])
    parser.add_argument("--at-once", type=int, default=1, help="lines measured at the same time (default 1)")
    parser.add_argument("--held-out", type=int, default=150, help="rows of the final score (default 150)")
    parser.add_argument("--model", default="local")
    parser.add_argument("--base-url")
    parser.add_argument("--peers-python", type=Path, help="python of the environment with the peers, see README.md")
    parser.add_argument("--peer-tokens", nargs=2, type=int, default=[128, 512], metavar=("ANSWER", "PROPOSAL"))
    parser.add_argument("--output", type=Path, default=Path("matched_calls.csv"))
    parser.add_argument("--plot", type=Path, help="such as matched_calls.png")
    parser.add_argument("--storage", default="sqlite:///matched_calls.db", help="responses to held-out rows")
    arguments = parser.parse_args()
    methods = arguments.methods or [*METHODS, *(PEERS if arguments.peers_python else ())]
    if set(methods) & set(PEERS) and not arguments.peers_python:
        parser.error(f"{', '.join(PEERS)} run in an environment of their own; give its python with --peers-python")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    model = ps.Model.parse(arguments.model, base_url=arguments.base_url)
    upstream = local.serve(local.resolve(model.gguf), alias=model.name).base_url if model.is_local else model.endpoint
    endpoint = Endpoint(upstream)
    records: list[dict[str, Any]] = []
    if arguments.output.is_file():
        stored = pd.read_csv(arguments.output, dtype={"error": str, "note": str}).fillna({"error": "", "note": ""})
        records = [{str(column): value for column, value in line.items()} for line in stored.to_dict("records")]
    there = {tuple(record[column] for column in KEY) for record in records}
    cells = product(arguments.sets, arguments.seeds, arguments.calls, methods)
    keys = [(name, method, seed, calls, model.name, arguments.held_out) for name, seed, calls, method in cells]
    writing = threading.Lock()

    def add(key: tuple[Any, ...]) -> None:
        line = measure(dict(zip(KEY, key, strict=True)), model, endpoint, arguments)
        shown = line["error"] or f"{line['score']:.3f} ({line['low']:.3f} to {line['high']:.3f})"
        name, method, seed, calls, *_ = key
        with writing:
            records.append(line)
            pd.DataFrame(records).to_csv(arguments.output, index=False)
            print(f"{name} {method} seed {seed}: {line['requests']} of {calls} requests, {shown}", flush=True)

    with ThreadPoolExecutor(arguments.at_once) as pool:
        list(pool.map(add, [key for key in keys if key not in there]))
    frame = pd.DataFrame(records).query("model == @model.name and held_out == @arguments.held_out")
    print(f"\n{tables(frame)}")
    if arguments.plot:
        plot(frame, arguments.plot)


if __name__ == "__main__":
    main()
