"""Displays of a running study: a live line in a terminal or under a notebook's cell, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO

from prompt_search import _html
from prompt_search.errors import InputError
from prompt_search.study.snapshot import Snapshot
from prompt_search.study.wording import progress_line, progress_parts

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

__all__ = ["Display", "Snapshot", "choose_display", "in_notebook", "shown"]

Display = Literal["rich", "plain", "none"]
"""Names of the displays."""

PLAIN_EVERY_S = 10.0
"""Seconds between two plain lines within one phase."""

CELL_EVERY_S = 0.5
"""Seconds between two updates of a notebook's cell within one phase."""


def choose_display(wanted: str | None, stream: TextIO | None = None) -> Display:
    """The display of that name; by default rich where ``stream`` (standard error) is a terminal, else plain.

    Raises:
        InputError: there is no display of that name.
    """
    match wanted:
        case "rich" | "plain" | "none":
            return wanted
        case None:
            return "rich" if (stream or sys.stderr).isatty() else "plain"
        case _:
            raise InputError(f"a display must be rich, plain or none, got {wanted!r}; give one of them")


@contextmanager
def shown(
    display: Display, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Snapshot], None] | None]:
    """A context whose value takes snapshots, and shows them on ``stream`` (default: standard error)."""
    target = stream or sys.stderr
    if display == "none":
        yield None
    elif display == "plain":
        yield _Sparse(lambda snapshot: print(progress_line(snapshot), file=target, flush=True), PLAIN_EVERY_S, clock)
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=target), refresh_per_second=8, transient=True) as live:

            def show(snapshot: Snapshot) -> None:
                live.update(_Live(snapshot))

            yield show


class Remembering:
    """Passes snapshots on, and keeps the last one for what is said when the run is interrupted.

    Args:
        show: who else takes them; None: nobody.
    """

    def __init__(self, show: Callable[[Snapshot], None] | None) -> None:
        self._show = show
        self.last: Snapshot | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        self.last = snapshot
        if self._show is not None:
            self._show(snapshot)


def in_notebook(clock: Callable[[], float] = time.monotonic) -> Callable[[Snapshot], None] | None:
    """A view below the running cell of a notebook, which takes snapshots; None outside of a notebook."""
    interactive = sys.modules.get("IPython")  # whoever runs in a notebook has imported it
    shell = interactive.get_ipython() if interactive else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    view = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
    return _Sparse(lambda snapshot: view.update(_cell(snapshot), raw=True), CELL_EVERY_S, clock)


class _Sparse:
    """Passes on a snapshot when the phase changes and every few seconds."""

    def __init__(self, show: Callable[[Snapshot], None], every_s: float, clock: Callable[[], float]) -> None:
        self._show = show
        self._every_s = every_s
        self._clock = clock
        self._last: tuple[str, float] = ("", -math.inf)

    def __call__(self, snapshot: Snapshot) -> None:
        phase, when = self._last
        now = self._clock()
        if snapshot.phase != phase or now - when >= self._every_s:
            self._last = (snapshot.phase, now)
            self._show(snapshot)


def _cell(snapshot: Snapshot) -> dict[str, Any]:
    """The view of a notebook's cell, as HTML and as text."""
    bar = _html.Markup("<progress></progress>")
    if not math.isinf(snapshot.limit):
        bar = _html.fill('<progress max="{}" value="{}"></progress>', round(snapshot.limit), snapshot.calls)
    return {
        "text/html": _html.block(_html.fill("{}<div>{}</div>", bar, progress_line(snapshot))),
        "text/plain": progress_line(snapshot),
    }


class _Live:
    """The line of progress, and a bar below it. Lines are broken between parts, never within one that fits."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.cells import cell_len
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        line, *parts = progress_parts(self._snapshot)
        for part in parts:
            if cell_len(f"{line}, {part},") > options.max_width:
                yield Text(f"{line},")  # Text: names are not markup
                line = part
            else:
                line = f"{line}, {part}"
        yield Text(line)
        total = None if math.isinf(self._snapshot.limit) else self._snapshot.limit
        yield ProgressBar(total=total, completed=self._snapshot.calls, width=min(60, options.max_width))
