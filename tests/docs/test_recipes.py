"""The workflow for CI, and recipes that need packages which do not come with the product."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.cli.app import app
from tests.conftest import InProcessExecutor
from tests.study.examples import DATA, study, truth

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
WORKFLOW = (ROOT / "docs" / "examples" / "guard-prompt.yml").read_text(encoding="utf-8")
NEIGHBOURS = re.findall(
    r"^\*\*([\w &-]+)\.\*\*[^`]*(?:`[^`\n]+`[^`]*)*^```py\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE
)


def options_of(command: str) -> set[str]:
    """The options of a command."""
    import typer.main

    group: Any = typer.main.get_command(app)
    return {option for parameter in group.commands[command].params for option in parameter.opts}


def test_workflow_runs_commands_that_there_are() -> None:
    """The page shows the file; it is YAML, and its commands and options exist."""
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads the workflow, is not installed")
    assert f"```yaml\n{WORKFLOW}```" in PAGE
    workflow = yaml.safe_load(WORKFLOW)
    steps = workflow["jobs"]["score"]["steps"]
    lines = [shlex.split(step["run"]) for step in steps if step.get("run", "").startswith("prompt-search")]
    assert [line[1] for line in lines] == ["evaluate"]
    for line in lines:
        assert {word for word in line if re.fullmatch(r"-\w|--[\w-]+", word)} <= options_of(line[1])


def test_commands_of_the_page_are_there() -> None:
    """Every line of the page that begins with prompt-search is a command with its options."""
    lines = [shlex.split(line) for line in re.findall(r"^\$ prompt-search (.+)$", PAGE, re.MULTILINE)]
    assert lines
    for command, *words in lines:
        assert {word for word in words if word.startswith("-")} <= options_of(command)


def test_page_has_a_recipe_for_each_neighbour() -> None:
    """The page shows how to use the neighbours."""
    assert [name for name, _ in NEIGHBOURS] == ["MLflow", "Weights & Biases", "inspect-ai", "LangChain", "DSPy"]


@pytest.mark.parametrize(("name", "source"), NEIGHBOURS, ids=[name for name, _ in NEIGHBOURS])
@pytest.mark.filterwarnings("default")  # of packages that are not ours
def test_recipe_of_a_neighbour_runs(
    name: str, source: str, fake: InProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe runs as it stands on the page, where its package is installed."""
    packages = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    missing = [package for package in sorted(packages) if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which the product does not bring")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    fake.answer = truth
    made = study(fake)
    result = made.run(60)
    names: dict[str, Any] = {"study": made, "result": result, "prompt": result.best, "data": DATA, "ps": ps}
    exec(compile(source, f"recipe of {name}", "exec"), names)
