"""Output to the terminal: tables, results, error lines without keys, how to resume, and exit codes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import typer

from prompt_search.cli.options import DEFAULT_STORAGE
from prompt_search.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from prompt_search.llm.model import Model
    from prompt_search.report.result import Result
    from prompt_search.results.lines.layout import Style
    from prompt_search.results.view import View
    from prompt_search.study.snapshot import Snapshot
    from prompt_search.study.watching.progress import Remembering

FAILED = 1
"""Exit code for a run that failed, or in which a request did."""

USAGE = 2
"""Exit code for a command line that cannot be understood."""

BELOW_MIN_SCORE = 3
"""Exit code for a score below ``--min-score``: the winner's on the test rows, or that of ``evaluate``."""

NO_VERDICT = 4
"""Exit code for a run whose budget was too small to test the winner, or to tell whether ``--min-score`` is reached."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, and after a question that was answered with no."""

STYLES: Mapping[Style, str] = {"title": "bold", "heading": "dim", "row": "", "strong": "bold"}
"""The styles of a table's lines."""

WIDTH_OF_FILES = 120
"""Number of columns where the output is no terminal; rich assumes 80, which would fold prompts needlessly."""

_models: ContextVar[tuple[Model, ...]] = ContextVar("_models", default=())


def hide_keys(models: Iterable[Model]) -> None:
    """Have `complain` replace the keys of these models from now on."""
    _models.set((*_models.get(), *models))


def complain(text: str) -> None:
    """Write to standard error without keys, because a study file or a metric may raise an error that quotes one."""
    from prompt_search._printable import printable
    from prompt_search.llm.model import known_secrets
    from prompt_search.llm.redaction import redact

    typer.echo(printable(redact(text, known_secrets(_models.get()))), err=True)


def render(view: View, width: int) -> Text:
    """A view as lines of at most that width; cells are text, because prompts may contain what rich reads as markup."""
    from rich.text import Text

    from prompt_search.results.view import to_lines

    return Text("\n").join(Text(line, style=STYLES[style]) for line, style in to_lines(view, width))


def print_view(view: View) -> None:
    """Print a table."""
    console = _console()
    console.print(render(view, console.width), soft_wrap=True)


def terminal_width() -> int:
    """Number of columns of the output."""
    return _console().width


def print_text(text: str) -> None:
    """Print text whose long lines are folded at words on a terminal, and kept whole elsewhere."""
    from rich.text import Text

    from prompt_search._printable import printable

    _console().print(Text(printable(text)), soft_wrap=not sys.stdout.isatty())


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text as it is but for characters that a terminal would obey."""
    from prompt_search._printable import printable

    typer.echo(printable(text), err=err, nl=nl)


def print_exactly(text: str) -> None:
    """Print a prompt, with control characters in visible form: terminals, logs and pagers would obey them."""
    from prompt_search._printable import printable

    typer.echo(printable(text, "\t"))


def _console() -> Console:
    """A console as wide as the terminal; elsewhere as wide as the environment's COLUMNS."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else WIDTH_OF_FILES
    return Console(width=None if sys.stdout.isatty() else width, highlight=False)


def print_result(result: Result, storage: str, *, reported: bool = False) -> None:
    """Print a stored study: ranking, test scores, effects, headline and the commands that come next.

    Args:
        result: the study.
        storage: where it is stored.
        reported: whether its report is written in any case, so that no command for that is needed.
    """
    from prompt_search.results import wording
    from prompt_search.results.views import effects_view, ranking_view, tested_view

    if len(result.ranking()):
        print_view(ranking_view(result))
    if result.finished:
        tested = tested_view(result)
        if tested.rows:
            typer.echo()
            print_view(tested)
        typer.echo()
        effects = effects_view(result)
        if effects.rows:
            print_view(effects)
        else:
            print_text(wording.NO_EFFECT_SHOWN)
    typer.echo()
    print_text(result.headline)
    print_next_commands(result, storage, reported=reported)


def print_next_commands(result: Result, storage: str, *, reported: bool = False) -> None:
    """Print the commands that come next: the report on a finished study, and the export of its winner, of the default
    prompt where the winner is not shown to be better, and of that alone where the winner is worse."""
    from prompt_search.storage.database import shown_url

    if result.finished and len(result.ranking()):
        option = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(shown_url(storage))}"
        result_name = result.reference  # looked up in the storage
        if not reported:
            say(f"write a report: prompt-search report {shlex.quote(result_name)}{option} -o report.html")
        prompts = {"the winner": result_name}
        may_stay = result.cap_of(0) != "over"  # a default prompt that is over a cap is not to be shipped
        if may_stay and result.best_trial != 0 and result.verdict.rows > 1 and result.verdict != "better":
            prompts["the default prompt"] = f"{result_name}:0"
        if len(prompts) > 1 and result.verdict == "worse":
            del prompts["the winner"]
        for whose, name in prompts.items():
            say(f"export {whose}: prompt-search export {shlex.quote(name)}{option} -o best.j2")


@contextmanager
def resumable() -> Iterator[Callable[[Callable[[Snapshot], None] | None], Remembering]]:
    """A context whose interruptions and errors say what is done and how to resume the run.

    Its value takes the display, and gives what the run is to show its progress to.
    """
    from prompt_search.storage.faults import StorageFault
    from prompt_search.study.watching.progress import Remembering
    from prompt_search.study.wording import interrupted

    displays: list[Remembering] = []

    def seen(show: Callable[[Snapshot], None] | None) -> Remembering:
        displays.append(Remembering(show))
        return displays[-1]

    try:
        yield seen
    except KeyboardInterrupt as stopped:
        last = displays[-1].last if displays else None
        told = [*([] if last is None else [interrupted(last)]), *map(str, stopped.args)]
        done = "".join(f"{each}; " for each in told)
        complain(f"interrupted: {done}all responses are stored; resume with: {_resume_command(sys.argv[1:])}")
        raise typer.Exit(INTERRUPTED) from None
    except StorageFault:  # which says what is stored, and what to do
        raise
    except RunError as error:
        raise RunError(f"{error}; all responses are stored, and the same command resumes the run") from None


def _resume_command(arguments: Sequence[str]) -> str:
    """The command that was given, without the passwords in it."""
    from prompt_search.storage.database import shown_url

    shown = (shown_url(argument) if "://" in argument else argument for argument in arguments)
    return shlex.join(["prompt-search", *shown])
