"""The command that writes a study to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command()
def init(
    data: Annotated[Path, typer.Argument(help="A file of labelled rows: .csv, .tsv, .jsonl, .json or .parquet.")],
    target: Annotated[str, typer.Option("--target", help="Name of the column with the correct answers.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder to write study.py and template.j2 to.")
    ] = Path(),
) -> None:
    """Write a study file and a template to start from."""
    from prompt_search.cli.scaffold import scaffold

    study_file, template_file = scaffold(data, target, output)
    typer.echo(f"wrote {study_file} and {template_file}")
    quoted = shlex.quote(str(study_file))
    typer.echo(f"next: prompt-search space {quoted}, then prompt-search run {quoted} --calls 600")
