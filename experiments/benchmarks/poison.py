"""Whole studies whose every response is poison: no traceback, no study that is stuck, a bound on memory.

A server in another process (`poison_server.py`) sends wrong values, types, depths, sizes and encodings. Studies of each
answer form run on it, are resumed, scored again, and shown in every way: tables and the files that hold them, reports,
notebooks, plots, the commands that read. The waits between attempts are a hundredth of what they are, nothing else is
changed. Prints a table by answer form; the exit code is 1 where something failed.

    python experiments/benchmarks/poison.py [--responses 20000] [--calls 1500] [--seed 0] [--only label]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

import pandas as pd
import pydantic

import prompt_search as ps
from prompt_search._names import TABLE_SUFFIXES
from prompt_search.cli.app import app
from prompt_search.cli.show import TABLES
from prompt_search.llm.client import Client
from prompt_search.results.export import write_frame

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.poison_server import LABELS, Sent, poisoning

MOST_RUNS: Final = 60
"""Number of times that a study is run until it ends: some replies, such as that of a refused key, end a run."""

PRINTED: Final = io.StringIO()
"""What commands print; one for all of them, because click keeps each output that it has seen."""

FASTER: Final = 100.0
"""By how much the waits of a client are shortened."""

SOURCE: Final = """{{ choice("instruction", ["Say what it is.", "Sort the text.", "Read, then decide."]) }}
{% if flag("careful") %}Be careful.
{% endif %}{{ row.text }}
{{ choice("cue", ["Answer:", "Result:"]) }}"""


class Custom(pydantic.BaseModel):
    """An answer whose reading is the user's own code."""

    label: str
    score: float = 0.0

    @pydantic.field_validator("label")
    @classmethod
    def known(cls, value: str) -> str:
        return {name: name for name in LABELS}[value.strip()]  # a KeyError is no ValueError


SCHEMA: Final = {"type": "object", "properties": {"label": {"type": "string"}, "score": {"type": "number"}}}
FORMS: Final[dict[str, tuple[Any, Any, Any]]] = {
    "label": (ps.Label(LABELS), "exact", "macro_f1"),
    "logprobs": (ps.Label(LABELS, mode="logprobs", top_logprobs=20), "exact", "kappa"),
    "calibrated": (ps.Label(LABELS, mode="logprobs", top_logprobs=20, calibrate="rows"), "exact", "matthews"),
    "json": (ps.Json(SCHEMA), "fields", "exact"),
    "free": (ps.Json({}), "exact", "fields"),
    "number": (ps.Number(), "numeric", "exact"),
    "regex": (ps.Regex(r"<a>(.*?)</a>"), "exact", "includes"),
    "text": (ps.Text(), "token_f1", "chrf"),
    "custom": (ps.Json(Custom), "exact", "fields"),
}
"""Answer form, metric, and the metric to score again with, by name."""


def rows(kind: str, number: int) -> ps.Dataset:
    def target(row: int) -> str | int:
        in_json = json.dumps({"label": LABELS[row % 3], "score": row % 9})
        return row % 9 if kind == "number" else in_json if kind in ("json", "free", "custom") else LABELS[row % 3]

    frame = pd.DataFrame({"text": [f"message {row} of study {number}" for row in range(150)]})
    return ps.Dataset(frame.assign(label=[target(row) for row in range(150)]), target="label")


class Trial:
    """One study on the poisoning server, and everything that is done with it."""

    def __init__(self, kind: str, number: int, url: str, sent: Sent, folder: Path, outcomes: Counter[str]) -> None:
        answer, metric, self.other = FORMS[kind]
        self.sent = sent
        self.folder = folder
        self.storage = str(folder / "study.db")
        self.outcomes = outcomes
        self.study = ps.Study(
            template=ps.Template(SOURCE),
            data=rows(kind, number),
            model=ps.Model(f"{kind}-model", base_url=url, price=ps.Price(prompt=1.0, completion=2.0)),
            answer=answer,
            metric=metric,
            storage=self.storage,
            max_concurrency=4,
            name=f"{kind} {number}",
        )

    def run(self, calls: int) -> ps.Result | None:
        """The finished study; None where the server is found to refuse what the study needs.

        Raises:
            AssertionError: it does not end.
        """
        for _ in range(MOST_RUNS):
            before = self.sent.value
            try:
                return self.study.run(calls)
            except ps.RunError as error:
                told = str(error)
                assert "\n" not in told, f"an error of several lines: {told}"
            if self.sent.value == before:
                assert "the server refuses" in told, f"the study is stuck: {told}"
                self.outcomes[f"refused: {told[:60]}"] += 1
                return None
            self.outcomes["ended a run, which went on when run again"] += 1
        raise AssertionError(f"the study is stuck after {MOST_RUNS} runs")

    def show(self, result: ps.Result) -> None:
        """Everything that shows a result."""
        for number, shown in enumerate((result, self.study.replace(metric=self.other).rescore())):
            for name in [name for name in dir(shown) if name.endswith("_df")]:
                arguments = (self.study.data, "label") if name == "slices_df" else ()
                try:
                    self._table(getattr(shown, name)(*arguments))
                except ps.StudyError:  # a study without JSON has no table of fields
                    assert name == "fields_df", name
            for page in ("report.html", "report.md"):
                shown.report(self.folder / page).read_text(encoding="utf-8")
            self._objects(shown)
            if not number:
                self._figures(shown)

    def _objects(self, result: ps.Result) -> None:
        """Everything that a notebook shows."""
        best, first = result.evaluation(result.best_trial), result.evaluation(0)
        compared = ps.compare(first, best)
        self._table(best.samples_df())
        self._table(compared.rows_df())
        for each in (result, self.study, best, compared, result.best, self.study.space(), self.study.estimate(10)):
            repr(each)
            if hasattr(each, "_repr_html_"):
                each._repr_html_().encode("utf-8")

    def _table(self, frame: pd.DataFrame) -> None:
        """A table is written to each kind of file, and read again."""
        repr(frame)
        for suffix in TABLE_SUFFIXES:
            write_frame(frame, self.folder / f"table{suffix}")
        if len(frame):
            assert len(pd.read_csv(self.folder / "table.csv", lineterminator="\n")) == len(frame), (
                "the csv has other rows"
            )
        assert len(pd.read_parquet(self.folder / "table.parquet")) == len(frame), "the parquet file has other rows"
        lines = (self.folder / "table.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        assert len([json.loads(line) for line in lines if line]) == len(frame), "the jsonl file has other rows"

    def _figures(self, result: ps.Result) -> None:
        for name in [name for name in dir(ps.plots) if name.startswith("plot_")]:
            arguments = (self.study.data, "label") if name == "plot_slices" else ()
            try:
                getattr(ps.plots, name)(result, *arguments).to_json()
            except ps.InputError as error:  # nothing to draw, such as a confusion of free texts
                self.outcomes[f"no figure: {name}"] += bool(str(error))

    def commands(self) -> None:
        """The commands that read a storage print no control character."""
        given = ["--storage", self.storage]
        name = self.study.name
        lines = [["show", name], ["list"], ["show", f"{name}:0"], ["compare", f"{name}:0", name], ["cache", "stats"]]
        for line in [*lines, *(["show", name, "--table", table] for table in TABLES)]:
            PRINTED.seek(0)
            PRINTED.truncate()
            with contextlib.redirect_stdout(PRINTED):
                try:
                    app([*line, *given], standalone_mode=False)
                except ps.InputError as error:
                    self.outcomes[f"{line[0]}: {str(error)[:40]}"] += 1
            odd = {each for each in PRINTED.getvalue() if not each.isprintable() and each not in "\n\t\u200c\u200d"}
            assert not odd, f"{line} prints {odd!r}"


@contextlib.contextmanager
def shorter_waits() -> Iterator[None]:
    """Clients whose time runs faster."""
    settings = cast(dict[str, Any], Client.__init__.__kwdefaults__)
    kept = dict(settings)
    settings["sleep"] = lambda seconds: asyncio.sleep(seconds / FASTER)
    settings["clock"] = lambda: FASTER * time.monotonic()
    yield
    settings.update(kept)


def work(kind: str, number: int, url: str, sent: Sent, calls: int, outcomes: Counter[str]) -> None:
    """One study with all that is done with it.

    Raises:
        Exception: whatever failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(kind, number, url, sent, Path(folder), outcomes)
        if trial.run(calls) is None:
            return
        before = sent.value
        result = trial.study.run(calls)
        assert sent.value == before, f"the resumed study sent {sent.value - before} requests"
        trial.show(result)
        trial.commands()
        assert sent.value == before, "showing a study sent requests"
        outcomes.update(f"error: {error.partition(':')[0]}" for error in result.calls_df()["error"].dropna())
        outcomes["an answer"] += int(result.calls_df()["error"].isna().sum())


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, default=20_000)
    parser.add_argument("--calls", type=int, default=1500, help="budget of each study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FORMS, help="one answer form alone")
    given = parser.parse_args()
    kinds = [given.only] if given.only else list(FORMS)
    outcomes: Counter[str] = Counter()
    failed = 0
    started = time.perf_counter()
    warnings.simplefilter("ignore")
    print(f"before any study: {peak_mb():.0f} MB", flush=True)
    with poisoning(given.seed) as (url, sent), shorter_waits():
        for number in count(given.seed * 1_000_000):
            if sent.value >= given.responses:
                break
            kind = kinds[number % len(kinds)]
            try:
                work(kind, number, url, sent, given.calls, outcomes)
            except Exception:
                failed += 1
                print(f"FAILED: {kind} {number}", flush=True)
                traceback.print_exc(limit=-6, file=sys.stdout)
            seconds = time.perf_counter() - started
            print(f"{number} {kind}: {sent.value:,} responses, {seconds:.0f} s, {peak_mb():.0f} MB", flush=True)
        responses = sent.value
    print("\n| outcome | count |\n|---|---|")
    for name, counted in sorted(outcomes.items()):
        print(f"| {name} | {counted:,} |")
    print(f"\n{responses:,} responses, {failed} studies with an exception, peak {peak_mb():.0f} MB, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
