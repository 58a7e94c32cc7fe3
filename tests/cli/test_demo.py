"""The demo, with a fake server in place of the embedded model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import prompt_search as ps
from prompt_search.cli import demo
from prompt_search.cli.loading import load_study
from tests.cli.helpers import Ran


def test_demo_prints_the_result_and_writes_a_report(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report lies beside the storage; the options reach the study, and the exit code is that of a run."""
    made: list[ps.Study] = []

    def study(*, seed: int, storage: str) -> ps.Study:
        made.append(load_study("study.py").replace(name="demo", seed=seed, storage=storage))
        return made[-1]

    monkeypatch.setattr(demo, "demo_study", study)
    monkeypatch.setattr(demo, "fetch_embedded_model", lambda: project / "weights.gguf")
    ran = command("demo", "--calls", "60", "--display", "none")
    assert ran.code == 0, ran.err
    headline = ps.open_result("sqlite:///prompt_search_demo.db", "demo").headline
    assert ran.out.endswith(
        f"\n\n{headline}\n"
        f"export the winner: prompt-search export demo --storage sqlite:///prompt_search_demo.db -o best.j2\n"
        f"export the default prompt: prompt-search export demo:0 --storage sqlite:///prompt_search_demo.db -o best.j2\n"
        f"report: {project / 'prompt_search_demo.html'}\n"
    )
    assert "<h1>demo</h1>" in (project / "prompt_search_demo.html").read_text()
    few = command("demo", "--calls", "5", "--seed", "3", "--storage", "sqlite:///other.db", "--display", "none")
    assert few.code == 4
    assert few.out.splitlines()[-1] == f"report: {project / 'other.html'}"
    assert [each.seed for each in made] == [demo.DEMO_SEED, 3]


def test_demo_study_is_the_package_s_own() -> None:
    """The demo searches the template `classify` on 288 messages with 6 intents, by the embedded model."""
    study = demo.demo_study()
    assert (study.name, study.seed, len(study.data), len(study.data.labels)) == ("demo", 0, 288, 6)
    assert [model.is_local for model in study.models] == [True]
    assert [answer.name for answer in study.answers] == ["label", "label_logprobs", "label_logprobs_calibrated"]
