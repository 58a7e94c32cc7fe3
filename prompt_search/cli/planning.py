"""Commands that say before a run what there is to search, what it takes, and whether it is worthwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prompt_search._numbers import counted
from prompt_search.cli.loading import load_study, load_template
from prompt_search.cli.options import (
    ApiVersion,
    BaseUrl,
    Batch,
    Calls,
    Concurrency,
    Headers,
    KeyVariable,
    Limit,
    ModelName,
    NewName,
    Overrides,
    ProposerName,
    ProposingCommand,
    Query,
    Scheduler,
    Seconds,
    Seed,
    StudyFile,
    StudyStorage,
    Tokens,
    Usd,
    given_budget,
    needed_budget,
)
from prompt_search.cli.terminal import print_text, print_view, resumable, say, terminal_width

if TYPE_CHECKING:
    from prompt_search.prompts.factors import Factor
    from prompt_search.prompts.space import SearchSpace
    from prompt_search.results.view import View

OPTIONS_SHOWN = 20
"""Number of options of one choice that are printed."""

OPTIONS_WIDTH = 60
"""Number of characters up to which the options of one choice stand on one line."""

commands = typer.Typer()


@commands.command()
def space(
    file: Annotated[str, typer.Argument(help="A study file (FILE.py or FILE.py:name) or a template (FILE.j2).")],
) -> None:
    """Print the choices, their options and conditions.

    Below them are the choices that may grow. The last line has the number of candidates.
    """
    found = load_template(file).space() if file.endswith(".j2") else load_study(file).space()
    print_view(_space_view(found))
    say()
    if found.growing:
        say("\n".join([*found.growing, ""]))
    say(size_text(found))


@commands.command(cls=ProposingCommand)
def estimate(
    file: StudyFile,
    calls: Calls = None,
    tokens: Tokens = None,
    usd: Usd = None,
    seconds: Seconds = None,
    model: ModelName = None,
    propose: ProposerName = None,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    api_version: ApiVersion = None,
    header: Headers = None,
    query: Query = None,
    max_concurrency: Concurrency = None,
    seed: Seed = None,
    storage: StudyStorage = None,
    name: NewName = None,
    limit: Limit = None,
    batch: Batch = False,
) -> None:
    """Estimate what a run takes, without sending a request.

    The estimate has the calls, tokens, US dollars and seconds of the whole run.
    """
    budget = needed_budget(calls, tokens, usd, seconds)
    overrides = Overrides(
        model=model,
        propose=propose,
        base_url=base_url,
        api_key_env=api_key_env,
        api_version=api_version,
        headers=header,
        query=query,
        max_concurrency=max_concurrency,
        seed=seed,
        storage=storage,
        name=name,
        limit=limit,
        batch=batch,
    )
    say(repr(load_study(file, overrides).estimate(budget)))


@commands.command(cls=ProposingCommand)
def preflight(
    file: StudyFile,
    calls: Calls = None,
    tokens: Tokens = None,
    usd: Usd = None,
    model: ModelName = None,
    propose: ProposerName = None,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    api_version: ApiVersion = None,
    header: Headers = None,
    query: Query = None,
    max_concurrency: Concurrency = None,
    seed: Seed = None,
    storage: StudyStorage = None,
    name: NewName = None,
    scheduler: Scheduler = None,
    limit: Limit = None,
    batch: Batch = False,
) -> None:
    """Check with a few calls whether a search is worth its cost.

    The check uses at most 5% of the budget, and at most 60 calls. A later run reuses its responses.
    """
    planned = given_budget(calls, tokens, usd)
    overrides = Overrides(
        model=model,
        propose=propose,
        base_url=base_url,
        api_key_env=api_key_env,
        api_version=api_version,
        headers=header,
        query=query,
        max_concurrency=max_concurrency,
        seed=seed,
        storage=storage,
        name=name,
        limit=limit,
        scheduler=scheduler,
        batch=batch,
    )
    study = load_study(file, overrides)
    with resumable():
        print_text(study.preflight(planned).text(terminal_width()))


def size_text(found: SearchSpace) -> str:
    """The number of choices and candidates."""
    count, exact = found.size()
    return f"{counted(len(found.factors), 'choice')}, {'' if exact else 'at most '}{counted(count, 'candidate')}"


def _space_view(found: SearchSpace) -> View:
    """The choices of a space."""
    from prompt_search.results.view import Column, View

    return View(
        title="",
        columns=(
            Column("choice"),
            Column("kind"),
            Column("options"),
            Column("exists when"),
            Column("line", "number"),
        ),
        rows=tuple(
            (factor.name, factor.kind, _options_text(factor), record["exists_when"], record["line"])
            for factor, record in zip(found.factors, found.describe(), strict=True)
        ),
    )


def _options_text(factor: Factor) -> str:
    """The options of a choice: on one line when they are short, else one per line; many are cut off."""
    texts = [" ".join(text.split()) or "(empty)" for text in factor.texts]
    # A line that says that one more is left out is as long as that one.
    left = len(texts) - OPTIONS_SHOWN
    listed = [*texts[:OPTIONS_SHOWN], f"(and {left:,} more)"] if left > 1 else texts
    line = " | ".join(listed)
    return line if len(line) <= OPTIONS_WIDTH else "\n".join(f"- {text}" for text in listed)
