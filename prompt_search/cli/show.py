"""Commands that read stored studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prompt_search._names import PROMPT_SUFFIXES, TABLE_SUFFIXES
from prompt_search.cli.exported.target import labelled
from prompt_search.cli.finding import checked_trial, opened_prompt, opened_storage, opened_study, place_of
from prompt_search.cli.options import Storage, StudyName
from prompt_search.cli.terminal import print_exactly, print_result, print_text, print_view, say
from prompt_search.errors import InputError, StorageError

if TYPE_CHECKING:
    from prompt_search.report.result import Result

TABLES = (
    "trials",
    "samples",
    "calls",
    "effects",
    "interactions",
    "pareto",
    "ledger",
    "progress",
    "confusion",
    "labels",
    "fields",
    "failures",
    "proposals",
    "lineage",
    "shots",
    "judgements",
    "judge_noise",
)
"""Names of the tables that ``show --table`` prints; each is a method of a result, most with the suffix ``_df``."""

commands = typer.Typer()


@commands.command()
def show(
    name: StudyName = None,
    table: Annotated[
        str | None, typer.Option("--table", help=f"Name of a table to print instead: {', '.join(TABLES)}.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"File to write the table to: {', '.join(TABLE_SUFFIXES)}."),
    ] = None,
    storage: Storage = None,
) -> None:
    """Print a stored study, or one of its tables.

    A study is printed with its ranking, test scores, effects, verdict and the winner's prompt. A table is printed
    as wide as the terminal, or as Markdown where the output is no terminal; --output writes it to a file.
    """
    if table is None and output is not None:
        raise InputError("--output writes a table to a file; give --table too, or use the command report")
    if table is not None and table not in TABLES:
        raise InputError(f"there is no table {table!r}; give one of {', '.join(TABLES)}")
    with opened_study(name, storage) as (result, place):
        if table is not None:
            _show_table(result, table, output)
            return
        if place.trial is not None:
            _show_trial(result, checked_trial(result, place.trial))
            return
        print_result(result, place.storage)
        if len(result.ranking()):
            whose = "the winner's prompt" if result.finished else "the best prompt so far, which is not tested"
            say(f"\n{whose}:\n")
            print_exactly(result.best.text)


def _show_table(result: Result, table: str, output: Path | None) -> None:
    """Print one table of a study, or write it to a file."""
    from prompt_search.results.export import markdown, write_frame
    from prompt_search.results.shown.failures import failures_view
    from prompt_search.results.shown.growth import lineage_view, proposals_view
    from prompt_search.results.shown.labels import check_labels
    from prompt_search.results.views import frame_view

    views = {
        "failures": lambda: failures_view(result, limit=None),
        "proposals": lambda: proposals_view(result),
        "lineage": lambda: lineage_view(result),
    }
    if output is None and table in views and sys.stdout.isatty():
        print_view(views[table]())
        return
    if output is None and table in ("confusion", "labels"):
        check_labels(result)
    frame = result.lineage() if table == "lineage" else getattr(result, f"{table}_df")()
    if output is not None:
        say(f"wrote {write_frame(frame, output)}")
    elif sys.stdout.isatty():
        print_view(frame_view(frame))
    else:
        say(markdown(frame), nl=False)


def _show_trial(result: Result, trial: int) -> None:
    """Print the scores of one trial, and its prompt."""
    print_text(repr(result.evaluation(trial)))
    say(f"\nthe prompt of trial {trial}:\n")
    print_exactly(result.prompt(trial).text)


@commands.command()
def report(
    name: StudyName = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .html or .md.")] = Path("report.html"),
    open_it: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    storage: Storage = None,
) -> None:
    """Write a report on a stored study to one file.

    The report has the winner, the verdict, costs and failing rows. A .html file needs no network.
    """
    with opened_study(name, storage) as (result, place):
        if place.trial is not None:
            raise InputError(f"a report is on a whole study; leave out :{place.trial}, or use show or export")
        written = result.report(output)
    say(f"wrote {written}")
    if open_it:
        typer.launch(str(written.resolve()))


@commands.command()
def compare(
    first: Annotated[str, typer.Argument(help="Name of a stored study, for its winner, or NAME:TRIAL.")],
    second: Annotated[str, typer.Argument(help="The other prompt, likewise; the difference is second minus first.")],
    storage: Storage = None,
) -> None:
    """Compare two stored prompts on their common rows.

    The output has both scores, the rows won and lost, the verdict and a diff of the prompts.
    """
    from prompt_search.results.comparison import changed_view, scores_view
    from prompt_search.results.comparison import compare as compared

    with opened_prompt(first, storage) as one, opened_prompt(second, storage) as other:
        found = compared(one, other)
        print_view(scores_view(found))
        changed = changed_view(found)
        if changed.rows:
            say()
            print_view(changed)
        say()
        print_text(found.headline)
        if found.diff:
            say("\ndifferences between the prompts (- first, + second):\n")
            print_exactly("\n".join(found.diff.split("\n")[2:]))


@commands.command(name="list")
def list_studies(
    where: Annotated[
        str | None, typer.Argument(help="A study file or a storage (study.db); default: that of this folder.")
    ] = None,
    storage: Storage = None,
) -> None:
    """List the stored studies, each with its verdict.

    A study that ran with several budgets has a line for each of its results.
    """
    with opened_storage(place_of(where, storage).storage) as store:
        from prompt_search.report.result import Result

        every = store.study_names()
        names = [name for name in every if store.has_answers(name)]
        if every and not names:
            say("no study has an answer yet")
        for name in names:
            try:
                results = [Result(store, name, each.version.number) for each in store.versions.of_study(name)]
                lines = [
                    f"{result.reference}{result.headline.splitlines()[0].removeprefix(result.name)}"
                    for result in results
                ]
            except StorageError as error:  # the other studies can be read
                lines = [f"{name}: damaged: {error}"]
            print_text("\n".join(lines))


@commands.command()
def export(
    name: StudyName = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help=f"File to write: {', '.join(PROMPT_SUFFIXES)}.")
    ] = Path("best.j2"),
    trial: Annotated[
        int | None, typer.Option("--trial", help="Number of the trial to export instead of the winner.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Labelled rows, which become the tests of promptfoo's .yaml.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Target column of --data; default: found.")] = None,
    storage: Storage = None,
) -> None:
    """Write the winner's prompt to a file, as it was scored."""
    with opened_study(name, storage) as (result, place):
        wanted = checked_trial(result, place.trial if trial is None else trial)
        prompt = result.prompt(wanted)
        rows = None if data is None else labelled(prompt, data, target)
        written = prompt.export(output, data=rows)
        say(f"wrote {written}")
        if rows is None and written.suffix in (".yaml", ".yml"):
            say("the file has no tests; give labelled rows with --data FILE for that")
        if written.suffix == ".txt":
            say("a .txt is for reading: fields stand in it as {{ row.field }}; programs take .json, .j2 or .py")
