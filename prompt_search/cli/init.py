"""The command that writes a study to start from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

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
    typer.echo(seen)
    typer.echo(f"wrote {study_file} and {template_file}")
    quoted = shlex.quote(str(study_file))
    typer.echo(f"next: prompt-search space {quoted}, then prompt-search run {quoted} --calls 600")


def _asked_target(data: Path, output: Path) -> str:
    """The target that the user names when asked, after a list of the columns.

    Raises:
        InputError: there is nobody to ask; the message has the line to type.
    """
    from prompt_search.cli.scaffold import described, proposed_target
    from prompt_search.data.columns import read_columns
    from prompt_search.errors import InputError

    columns = read_columns(data)
    typer.echo(f"columns of {data}:")
    for name, values in columns.items():
        typer.echo(f"  {' '.join(name.split())}: {described(values)}")
    proposed = proposed_target(columns)
    if sys.stdin.isatty() and sys.stdout.isatty():
        answer: str = typer.prompt("Which column has the correct answers?", default=proposed)
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
