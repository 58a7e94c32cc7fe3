"""The console script: all commands under one name, and errors as one line and an exit code.

Command modules import heavy packages inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import contextvars
import io
import sys
from typing import Annotated, Any

import typer

from prompt_search.cli import cache, demo, init, model, planning, run, show
from prompt_search.cli.exported import evaluate, predict
from prompt_search.cli.terminal import INTERRUPTED, USAGE, complain, say
from prompt_search.errors import PromptSearchError

app = typer.Typer(
    name="prompt-search",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
for commands in (
    demo.commands,
    init.commands,
    planning.commands,
    run.commands,
    show.commands,
    predict.commands,
    evaluate.commands,
):
    app.add_typer(commands)
app.add_typer(model.commands, name="model")
app.add_typer(cache.commands, name="cache")


def _print_version(asked: bool) -> None:
    if asked:
        from prompt_search import __version__

        say(f"prompt-search {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the prompt to ship: search the named choices of one Jinja template on labelled rows."""


def main() -> None:
    """Run the command that ``sys.argv`` names, and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # prompts may hold characters that the terminal cannot encode
            stream.reconfigure(errors="backslashreplace")
    # A context of its own: the keys that one command hides are unknown to the next one in this process.
    sys.exit(contextvars.copy_context().run(_exit_code))


def _exit_code() -> int | None:
    """Run the command; every error that is raised on purpose becomes one line on standard error."""
    try:
        code: int | None = app(prog_name="prompt-search", standalone_mode=False)
    except PromptSearchError as error:
        complain(f"prompt-search: {' '.join(str(error).split())}")
        return error.exit_code
    except typer.Abort:  # Ctrl-C, or the end of the input, at a question, whose line is not ended
        say(err=True)
        complain("prompt-search: aborted; nothing was done")
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer does not export the base class of its usage errors
            raise
        complain(_usage(error))
        return USAGE
    return code


def _usage(error: Any) -> str:
    """The fault of the command line in one line; for a command without any arguments, its help."""
    message = str(error.format_message())
    if "\n" in message:
        return message
    command = error.ctx.command_path if error.ctx else "prompt-search"
    return f"prompt-search: {message.rstrip('.')}; see: {command} --help"
