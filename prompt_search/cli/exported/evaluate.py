"""The command ``prompt-search evaluate``: an exported prompt on labelled rows, as a guard in CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prompt_search._names import METRIC_NAMES, TABLE_SUFFIXES
from prompt_search.cli.exported.options import (
    CachingStorage,
    PromptFile,
    PromptModel,
    asked_model,
    asked_storage,
    check_output,
)
from prompt_search.cli.exported.target import fields_of, labelled
from prompt_search.cli.loading import load_metric
from prompt_search.cli.options import (
    ApiVersion,
    BaseUrl,
    Batch,
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
from prompt_search.cli.terminal import BELOW_MIN_SCORE, NO_VERDICT, complain, print_view, resumable, say

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset
    from prompt_search.metrics.base import Metric
    from prompt_search.prompts.prompt import Prompt
    from prompt_search.results.evaluation import Evaluation

commands = typer.Typer()


@commands.command()
def evaluate(
    prompt: PromptFile,
    data: Annotated[Path, typer.Argument(help="Labelled rows: csv, tsv, json, jsonl or parquet.")],
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Exit with code 3 when the score is below this number.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Target column; default: the column of the labels, or the only one left."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help=(
                f"One of {', '.join(METRIC_NAMES)}, or a function of a file, FILE.py:NAME; default: the prompt's own, "
                "else exact, or fields for answers and targets in JSON."
            ),
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"File to write the rows to: {', '.join(TABLE_SUFFIXES)}."),
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
    batch: Batch = False,
) -> None:
    """Score an exported prompt on labelled rows; a guard for CI.

    The exit code is 0 at or above --min-score, 3 below it, and 4 where too few rows have a score to tell. All
    responses are stored: the same command pays for none twice.
    """
    from prompt_search.evaluation.one_prompt.evaluate import evaluate as evaluated
    from prompt_search.metrics import check_reachable
    from prompt_search.prompts.asking import MAX_CONCURRENCY
    from prompt_search.prompts.prompt import Prompt

    check_output(output, data)
    exported = Prompt.read(prompt)
    chosen = _metric(metric, exported)
    if min_score is not None:
        check_reachable(chosen, min_score, "--min-score")
    rows = labelled(exported, data, target, limit)
    given = Overrides(
        model=model, base_url=base_url, api_key_env=api_key_env, api_version=api_version, headers=header, query=query
    )
    asked = asked_model(exported, given)
    _tell_examples(exported, rows)
    with resumable():
        found = evaluated(
            exported,
            rows,
            model=asked,
            metric=chosen,
            budget=given_budget(calls, tokens, usd, seconds),
            storage=storage or asked_storage(),
            max_concurrency=max_concurrency or MAX_CONCURRENCY,
            executor=scheduler,
            batch=batch,
        )
    _show(found, len(rows), min_score, output)


def _tell_examples(prompt: Prompt, rows: Dataset) -> None:
    """Say on standard error how many of the rows the prompt shows as examples, with their answers."""
    from prompt_search._numbers import counted
    from prompt_search.prompts.few_shot import rows_shown

    fields = [name for name in rows.fields if name in fields_of(prompt)]
    shown = len(rows_shown(prompt.source, rows, range(len(rows)), fields))
    if shown:
        complain(
            f"the prompt shows {counted(shown, 'row')} of the {len(rows)} as examples: the score is optimistic; leave "
            "out these rows, and best all that the search used"
        )


def _show(found: Evaluation, rows: int, min_score: float | None, output: Path | None) -> None:
    """Print the scores, the worst rows and the outcome.

    Raises:
        typer.Exit: the score is below what it has to be, or it cannot be told.
    """
    from prompt_search.evaluation.one_prompt.guard import Guard
    from prompt_search.results.evaluation import failing_view
    from prompt_search.results.export import write_frame

    if output is not None:
        say(f"wrote {write_frame(found.samples_df(), output)}")
    failing = failing_view(found)
    if failing.rows:
        print_view(failing)
        say()
    guard = Guard(evaluation=found, at_least=min_score, rows=rows)
    say(guard.line)
    if guard.outcome == "below":
        raise typer.Exit(BELOW_MIN_SCORE)
    if guard.outcome == "unknown":
        raise typer.Exit(NO_VERDICT)


def _metric(given: str | None, prompt: Prompt) -> Metric | None:
    """The metric of the command line, else that of the prompt."""
    from prompt_search import metrics

    if given is None:
        return metrics.recorded_metric(prompt.metric)
    return load_metric(given) if ":" in given else metrics.metric_named(given)
