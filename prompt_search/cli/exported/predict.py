"""The command ``prompt-search predict``: an exported prompt's answers about new rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prompt_search._names import TABLE_SUFFIXES
from prompt_search._numbers import counted, dollars
from prompt_search._numbers import tokens as tokens_text
from prompt_search.cli.exported.options import (
    CachingStorage,
    PromptFile,
    PromptModel,
    asked_model,
    asked_storage,
    check_output,
)
from prompt_search.cli.options import (
    ApiVersion,
    BaseUrl,
    Calls,
    Concurrency,
    Headers,
    KeyVariable,
    Limit,
    Overrides,
    Query,
    Scheduler,
    Seconds,
    Tokens,
    Usd,
    given_budget,
)
from prompt_search.cli.terminal import FAILED, complain, print_view, resumable, say

if TYPE_CHECKING:
    from prompt_search.evaluation.one_prompt.ask import Answered

SHOWN_ERRORS = 3
"""Number of different errors that are printed."""

commands = typer.Typer()


@commands.command()
def predict(
    prompt: PromptFile,
    data: Annotated[Path, typer.Argument(help="The rows: csv, tsv, json, jsonl or parquet; no target is needed.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"File to write the answers to: {', '.join(TABLE_SUFFIXES)}."),
    ] = None,
    model: PromptModel = None,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    api_version: ApiVersion = None,
    header: Headers = None,
    query: Query = None,
    calls: Calls = None,
    tokens: Tokens = None,
    usd: Usd = None,
    seconds: Seconds = None,
    max_concurrency: Concurrency = None,
    storage: CachingStorage = None,
    scheduler: Scheduler = None,
    limit: Limit = None,
) -> None:
    """Ask a model about new rows with an exported prompt.

    All responses are stored, so that the same command resumes and pays for none twice. The exit code is 1 where a
    request failed; the table has a line for every row all the same, also where no request was answered.
    """
    from prompt_search.data.unlabelled import rows_of
    from prompt_search.evaluation.one_prompt.ask import answered
    from prompt_search.prompts.asking import MAX_CONCURRENCY, AskOptions
    from prompt_search.prompts.prompt import Prompt

    check_output(output, data)
    exported = Prompt.read(prompt)
    given = Overrides(
        model=model, base_url=base_url, api_key_env=api_key_env, api_version=api_version, headers=header, query=query
    )
    asked = asked_model(exported, given)
    with resumable():
        found = answered(
            exported,
            rows_of(data).head(limit),
            AskOptions(
                model=asked,
                answer=None,
                budget=given_budget(calls, tokens, usd, seconds),
                storage=storage or asked_storage(),
                max_concurrency=max_concurrency or MAX_CONCURRENCY,
                executor=scheduler,
            ),
        )
    _show(found, output)
    if found.table["error"].notna().any():
        raise typer.Exit(FAILED)


def _show(found: Answered, output: Path | None) -> None:
    """Write the answers to a file, or their beginning to the terminal, and say what came of the rows."""
    from prompt_search.results.export import write_frame
    from prompt_search.results.views import answers_text, answers_view

    if output is None:
        print_view(answers_view(found.table))
        say()
    else:
        say(f"wrote {write_frame(found.table, output)}")
    spent = found.spent
    used = f"{counted(spent.calls, 'call')}, {tokens_text(spent.tokens)}, {dollars(spent.usd)}"
    say(f"{answers_text(found.table)}; {used}")
    for error, count in found.table["error"].value_counts().head(SHOWN_ERRORS).items():
        complain(f"{counted(count, 'row')} failed: {error}")
