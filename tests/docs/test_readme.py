"""Every snippet of the README does what it says."""

from __future__ import annotations

import csv
import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from prompt_search.prompts.template import Template
from tests.conftest import FakeServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the repository's experiments beside it, as the working directory."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.system
def test_python_snippets_run_in_a_notebook(workplace: Path) -> None:
    """The Python snippets run in a kernel, where an event loop is running already, and write the winner."""
    cells = [nbformat.v4.new_code_cell(source) for source in snippets("python")]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(workplace)}}).execute()

    printed = {"stdout": "", "stderr": ""}
    for output in (output for cell in notebook.cells for output in cell["outputs"]):
        if output["output_type"] == "stream":
            printed[output["name"]] += output["text"]
    assert "rank  trial" in printed["stdout"]
    # The snippets import Optuna themselves, which warns in a notebook without ipywidgets.
    own = [line for line in printed["stderr"].splitlines() if "tqdm" not in line.lower()]
    assert own == []
    assert (workplace / "best.j2").exists()


def test_template_snippet_is_a_space(workplace: Path) -> None:
    """The template has the dimensions that the text names, one of them only where there are shots."""
    (source,) = snippets("jinja")

    space = Template(source, context={"labels": ["a", "b"]}).space()

    assert {"instruction", "list_labels", "shots", "shots.picker", "cue"} <= set(space.by_name)
    assert [condition.factor for condition in space.by_name["shots.picker"].conditions] == ["shots"]


def test_test_command_is_what_ci_runs() -> None:
    """.ci/run installs what the second command of the README installs, and runs its tests."""
    (command,) = next(block for block in snippets("console") if "pytest" in block).splitlines()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    assert "pip install -q -e '.[dev]'" in command
    _, tests = command.split(".venv/bin/python")
    assert tests == " -m pytest -n auto --dist worksteal"
    assert "pip install --quiet --disable-pip-version-check -e '.[dev]'" in script
    assert f"python{tests}" in script


def command_lines() -> list[str]:
    """The commands under "Command line", without their comments."""
    block = next(block for block in snippets("console") if "prompt-search init" in block)
    return [line.removeprefix("$ ").split("  #")[0].strip() for line in block.splitlines()]


@pytest.mark.system
def test_command_line_snippets_run(workplace: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command under "Command line" runs in its order; a fake server stands in for both models."""
    text = (ROOT / "experiments" / "support_intents" / "messages.csv").read_text(encoding="utf-8")
    (workplace / "tickets.csv").write_text(text, encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    (workplace / "new.csv").write_text("text\n" + "\n".join(json.dumps(row["text"]) for row in rows[:3]), "utf-8")
    server.answer = lambda body: "billing"
    monkeypatch.setenv("OPENAI_BASE_URL", str(server.model().base_url))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-MARKED-1234567890")
    ran = []
    for line in command_lines():
        program, *arguments = shlex.split(line)
        if arguments[:2] == ["model", "serve"]:
            continue
        assert program == "prompt-search"
        if arguments[0] in ("estimate", "preflight", "run"):
            arguments[arguments.index("600")] = "40"
        if arguments[0] == "evaluate":  # the fake model has one answer
            arguments[arguments.index("0.8")] = "0.1"
        if arguments[0] in ("estimate", "preflight", "run", "predict", "evaluate"):
            arguments += [] if "-m" in arguments else ["-m", "fake"]
        done = subprocess.run(
            [sys.executable, "-m", "prompt_search.cli", *arguments], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        ran.append(arguments[0])

    expected = [
        "init",
        "space",
        "estimate",
        "preflight",
        "run",
        "run",
        "run",
        "rescore",
        "show",
        "show",
        "list",
        "report",
        "compare",
    ]
    assert ran == [*expected, "export", "predict", "evaluate", "cache"]
    assert (workplace / "report.html").exists()
    assert (workplace / "best.json").exists()


@pytest.mark.system
def test_serve_snippet_answers_requests(tmp_path: Path) -> None:
    """`prompt-search model serve` answers as an OpenAI-compatible server does, and ends quietly on Ctrl-C."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "prompt_search.cli", "model", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}/v1" in process.stdout.readline()
            deadline = time.monotonic() + 60
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=60) as answer:
                assert answer.status == 200
            assert time.monotonic() < deadline
            process.send_signal(2)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "Traceback" not in errors
