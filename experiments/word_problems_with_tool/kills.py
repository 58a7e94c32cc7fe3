"""The study behind a server that counts: run, killed with SIGKILL, resumed.

A `FakeServer` passes each request on to the embedded model, so that the numbers of requests can be compared with those
of the ledger.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import prompt_search as ps
from prompt_search.llm import local, local_weights
from prompt_search.testing import FakeServer

CALLS, KILLED_AFTER = 300, (60, 150)
"""The budget, and the numbers of requests after which the study is killed."""

STUDY = Path(__file__).with_name("study.py")


def main() -> None:
    """Measure, and print what came of it."""
    with local.serve(local_weights.resolve(None)) as real, TemporaryDirectory() as folder:

        def forward(body: Any) -> Any:
            sent = urllib.request.Request(
                f"{real.base_url}/chat/completions",
                json.dumps(dict(body)).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(sent) as reply:
                return json.load(reply)

        with FakeServer(forward) as server:
            environment = {**os.environ, "OPENAI_API_KEY": "none", "COUNTED_AT": server.model().base_url or ""}
            run = [sys.executable, "-m", "prompt_search.cli", "run", str(STUDY), "--calls", str(CALLS)]
            for count in KILLED_AFTER:
                process = subprocess.Popen(run, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
                while server.count < count and process.poll() is None:
                    time.sleep(0.05)
                process.kill()
                process.wait()
                print(f"killed after {server.count} requests", flush=True)
            subprocess.run(run, cwd=folder, env=environment, check=True)
            resumed = server.count
            subprocess.run(run, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            print(f"run again when it had ended: {server.count - resumed} requests")
            again = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
            result = ps.open_result(f"sqlite:///{folder}/word_problems_with_tool.db")
            print(result.ledger_df()[["role", "requests", "calls"]].to_string(index=False))
            print(f"requests at the server: {server.count}, {server.count - len(again)} of them sent a second time")
            print(result.samples_df().groupby("calls")["score"].agg(["size", "mean"]))
            result.report(Path(folder) / "report.html")
            print(result.best.export(Path(folder) / "best.j2").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
