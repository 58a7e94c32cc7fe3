"""What a running study shows: a live line in a terminal or under a notebook's cell, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

from prompt_search import _html
from prompt_search.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

Display = Literal["rich", "plain", "none"]

PLAIN_EVERY_S = 10.0
"""Seconds between plain lines within one phase."""

DONE = "done"
"""The last phase."""

CELL_EVERY_S = 0.5
"""Seconds between two updates of a notebook's cell within one phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Where a running study stands.

    ``calls`` of ``limit`` are spent; ``best`` with its 95% interval ``low``, ``high`` is the leader's mean score
    on the rows it was searched on; ``cached`` of ``responses`` cost nothing in this run; ``usd`` is NaN when a
    price is unknown.
    """

    study: str
    phase: str
    trials: int
    calls: int
    limit: float
    best: float | None
    low: float | None
    high: float | None
    errors: int
    unparsed: int
    cached: int
    responses: int
    usd: float
    seconds: float


def seconds_text(seconds: float) -> str:
    """Seconds as people say them.

    >>> seconds_text(7.2), seconds_text(95), seconds_text(4000)
    ('7 s', '1 min 35 s', '1 h 6 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds_left(snapshot: Snapshot) -> float | None:
    """Seconds until the calls are used up at the rate so far; None before the first paid response and at the end."""
    pace = rate(snapshot)
    if not pace or math.isinf(snapshot.limit) or snapshot.phase == DONE:
        return None
    return max(0.0, (snapshot.limit - snapshot.calls) / pace)


def rate(snapshot: Snapshot) -> float:
    """Paid responses a second; what was cached came at once and does not count."""
    return (snapshot.responses - snapshot.cached) / snapshot.seconds if snapshot.seconds > 0 else 0.0


def describe(snapshot: Snapshot) -> str:
    """One line of plain text: study, phase, trial, requests, best with interval, errors, cached share, cost, rate,
    time left."""
    return ", ".join(_parts(snapshot))


def _parts(snapshot: Snapshot) -> list[str]:
    limit = "" if math.isinf(snapshot.limit) else f"/{snapshot.limit:,.0f}"
    parts = [f"{snapshot.study}: {snapshot.phase}", f"trial {snapshot.trials}", f"{snapshot.calls:,}{limit} requests"]
    if snapshot.best is not None and snapshot.low is not None and snapshot.high is not None:
        parts.append(f"best {snapshot.best:.3f} ({snapshot.low:.2f} to {snapshot.high:.2f})")
    parts.append(f"{snapshot.errors} error{'' if snapshot.errors == 1 else 's'}, {snapshot.unparsed} unparsed")
    if snapshot.cached:
        parts.append(f"{snapshot.cached / snapshot.responses:.0%} cached")
    parts.append("cost unknown" if math.isnan(snapshot.usd) else f"${snapshot.usd:.4f}")
    if pace := rate(snapshot):
        parts.append(f"{pace:.{0 if pace >= 10 else 1 if pace >= 1 else 2}f} requests/s")
    left = seconds_left(snapshot)
    if left is not None:
        parts.append(f"{seconds_text(left)} left")
    return parts


def choose_display(wanted: str | None, stream: TextIO | None = None) -> Display:
    """The display asked for; by default rich where ``stream`` (standard error) is a terminal, else plain.

    Raises:
        InputError: another word.
    """
    match wanted:
        case "rich" | "plain" | "none":
            return wanted
        case None:
            return "rich" if (stream or sys.stderr).isatty() else "plain"
        case _:
            raise InputError(f"a display is rich, plain or none, got {wanted!r}; give one of them")


@contextmanager
def shown(
    display: Display, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Snapshot], None] | None]:
    """A context whose value is told snapshots and shows them on ``stream`` (default: standard error)."""
    target = stream or sys.stderr
    if display == "none":
        yield None
    elif display == "plain":
        yield _Sparse(lambda snapshot: print(describe(snapshot), file=target, flush=True), PLAIN_EVERY_S, clock)
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=target), refresh_per_second=8, transient=True) as live:

            def show(snapshot: Snapshot) -> None:
                live.update(_Live(snapshot))

            yield show


def in_notebook(clock: Callable[[], float] = time.monotonic) -> Callable[[Snapshot], None] | None:
    """A view below the running cell of a notebook that is told snapshots; None outside of a notebook."""
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
    """What a notebook shows, as HTML and as text."""
    bar = _html.Markup("<progress></progress>")
    if not math.isinf(snapshot.limit):
        bar = _html.fill('<progress max="{}" value="{}"></progress>', round(snapshot.limit), snapshot.calls)
    return {
        "text/html": _html.block(_html.fill("{}<div>{}</div>", bar, describe(snapshot))),
        "text/plain": describe(snapshot),
    }


class _Live:
    """A bar below the parts of the line, which are broken between parts, never within one that fits."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.cells import cell_len
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        line, *parts = _parts(self._snapshot)
        for part in parts:
            if cell_len(f"{line}, {part},") > options.max_width:
                yield Text(f"{line},")  # Text: names are not markup
                line = part
            else:
                line = f"{line}, {part}"
        yield Text(line)
        total = None if math.isinf(self._snapshot.limit) else self._snapshot.limit
        yield ProgressBar(total=total, completed=self._snapshot.calls, width=min(60, options.max_width))
