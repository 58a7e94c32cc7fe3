"""The command that writes a study to start from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from prompt_search.cli.terminal import say

commands = typer.Typer()


@commands.command()
def init(
    data: Annotated[Path, typer.Argument(help="A file of labelled rows: .csv, .tsv, .jsonl, .json or .parquet.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target", help="Name of the column with the correct answers; without it the columns are listed."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder to write study.py and template.j2 to.")
    ] = Path(),
) -> None:
    """Write a study file and a template to start from."""
    from prompt_search.cli.scaffold import scaffold

    study_file, template_file, seen = scaffold(data, target or _asked_target(data, output), output)
    say(seen)
    say(f"wrote {study_file} and {template_file}")
    quoted = shlex.quote(str(study_file))
    say(f"next: prompt-search space {quoted}, then prompt-search run {quoted} --calls 600")


def _asked_target(data: Path, output: Path) -> str:
    """The target that the user names when asked, after a list of the columns.

    Raises:
        InputError: there is nobody to ask; the message has the line to type.
    """
    from prompt_search._printable import printable
    from prompt_search.cli.scaffold import described, proposed_target
    from prompt_search.data.columns import read_columns
    from prompt_search.errors import InputError

    columns = read_columns(data)
    say(f"columns of {data}:")
    for name, values in columns.items():
        say(f"  {' '.join(name.split())}: {described(values)}")
    proposed = proposed_target(columns)
    if sys.stdin.isatty() and sys.stdout.isatty():
        shown = "" if proposed is None else f" [{printable(proposed)}]"
        answer: str = typer.prompt(
            f"Which column has the correct answers?{shown}", default=proposed, show_default=False
        )
        return answer
    folder = "" if output == Path() else f" -o {shlex.quote(str(output))}"
    if proposed is None:
        raise InputError(
            f"{data}: no column can be the target, which has a value in every row and more than one value; fill one, "
            f"then type: prompt-search init {shlex.quote(str(data))} --target COLUMN{folder}"
        )
    raise InputError(
        f"{data}: the column with the correct answers is not named; type: prompt-search init {shlex.quote(str(data))} "
        f"--target {shlex.quote(proposed)}{folder}"
    )
