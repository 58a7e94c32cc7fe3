"""The command ``prompt-search demo`` and its study: customer messages, six intents, the embedded model, no key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prompt_search.cli.loading import fetch_embedded_model
from prompt_search.cli.options import Calls, DisplayName, Seed, storage_option
from prompt_search.cli.run import RunSettings, check_outcome, run_study
from prompt_search.cli.terminal import print_result, say

if TYPE_CHECKING:
    from prompt_search.study.study import Study

DEMO_CALLS = 300
"""Number of calls of a demo run."""

DEMO_SEED = 0
"""Seed of a demo run."""

DEMO_STORAGE = "sqlite:///prompt_search_demo.db"
"""Storage of a demo run."""

DEMO_REPORT = "prompt_search_demo.html"
"""File of the report where the storage is no file."""

commands = typer.Typer()


@commands.command()
def demo(
    calls: Calls = None,
    seed: Seed = None,
    storage: Annotated[str | None, storage_option(DEMO_STORAGE)] = None,
    display: DisplayName = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the stored demo and start from the beginning.")
    ] = False,
) -> None:
    """Run a real search on the embedded model, without a key.

    The data are 288 customer messages with 6 intents, which come with the package.
    """
    from prompt_search.budget import Budget
    from prompt_search.storage.database import sqlite_file
    from prompt_search.study.watching.progress import choose_display

    settings = RunSettings(budget=Budget(calls=calls or DEMO_CALLS), display=choose_display(display), fresh=fresh)
    fetch_embedded_model()
    url = storage or DEMO_STORAGE
    result = run_study(demo_study(seed=DEMO_SEED if seed is None else seed, storage=url), settings)
    print_result(result, url, reported=True)
    page = (sqlite_file(url) or Path(DEMO_REPORT)).with_suffix(".html")
    say(f"report: {result.report(page).resolve()}")
    check_outcome(result.verdict, result.test_score(result.best_trial).mean)


def demo_study(*, seed: int = DEMO_SEED, storage: str | None = None) -> Study:
    """The demo's study."""
    from importlib import resources

    from prompt_search.answers import Label
    from prompt_search.data.dataset import Dataset
    from prompt_search.llm.model import Model
    from prompt_search.prompts.factors import choice
    from prompt_search.prompts.template import Template
    from prompt_search.study.study import Study

    with resources.as_file(resources.files("prompt_search") / "_demo" / "messages.csv") as file:
        data = Dataset.read(file, target="intent")
    return Study(
        template=Template.read("classify"),
        data=data,
        model=Model.local(),
        answer=choice(
            {
                "text": Label(data.labels),
                "logprobs": Label(data.labels, mode="logprobs", top_logprobs=200),
                "calibrated": Label(data.labels, mode="logprobs", top_logprobs=200, calibrate="rows"),
            }
        ),
        name="demo",
        storage=storage,
        seed=seed,
    )
