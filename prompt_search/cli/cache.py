"""Commands on the cached responses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from prompt_search._files import write_whole
from prompt_search.cli.finding import opened_storage
from prompt_search.cli.options import DEFAULT_STORAGE, Storage, Yes
from prompt_search.cli.terminal import INTERRUPTED, print_view, say
from prompt_search.errors import InputError

commands = typer.Typer(help="Count, delete and export cached responses.", no_args_is_help=True)


@commands.command()
def stats(storage: Storage = None) -> None:
    """Count the cached responses by model."""
    from prompt_search.results.view import Column, View

    with opened_storage(storage) as store:
        found = store.stats()
    view = View(
        title="",
        columns=(
            Column("model"),
            Column("endpoint"),
            Column("responses", "number", ","),
            Column("of them in studies", "number", ","),
            Column("size, kB", "number", ",.1f"),
        ),
        rows=tuple((each.model, each.endpoint, each.responses, each.needed, each.bytes / 1000) for each in found),
    )
    if view.rows:
        print_view(view)
    say(f"{sum(each.responses for each in found):,} responses{_on_disk(storage)}")


@commands.command()
def clear(
    storage: Storage = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete all responses and all stored studies.")] = False,
    yes: Yes = False,
) -> None:
    """Delete the cached responses that no stored study needs."""
    with opened_storage(storage) as store:
        if not yes:
            what = "all responses and all studies" if everything else "responses that no stored study needs"
            if not sys.stdin.isatty():
                raise InputError(
                    f"cache clear asks for confirmation before it deletes {what}, but standard input is not a "
                    "terminal; give --yes"
                )
            if not typer.confirm(f"delete {what}?"):
                raise typer.Exit(INTERRUPTED)
        deleted = store.clear(everything=everything)
    say(f"deleted {deleted:,} responses{_on_disk(storage)}")


@commands.command()
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .jsonl; it must not exist.")],
    storage: Storage = None,
) -> None:
    """Write the cached requests and responses to a file.

    Each line of the file is a JSON object with one request and its response.
    """
    with opened_storage(storage) as store:
        if output.exists():
            raise InputError(f"{output}: the file already exists; give another name")
        try:
            count = write_whole(output, (line.encode() for line in store.exported()))
        except OSError as error:
            raise InputError(f"{output}: cannot be written: {error.strerror}; give another path") from None
    say(f"wrote {count:,} responses to {output}")


def _on_disk(storage: str | None) -> str:
    """The size of a storage's file, as the end of a sentence; nothing for another database."""
    from prompt_search.storage.database import sqlite_file

    path = sqlite_file(storage or DEFAULT_STORAGE)
    return "" if path is None or not path.is_file() else f"; {path} has {path.stat().st_size / 1000:,.1f} kB"
