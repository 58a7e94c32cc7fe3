"""HTML pieces that notebook and report share. Everything that comes from a prompt, a row or a response is escaped.

Colours are mixed from the colour of the text, so that the pieces fit light and dark pages alike. JupyterLab does not
trust a notebook that was opened but not run, and drops its style sheets and pictures: the pieces are readable without.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup as Markup
from markupsafe import escape

from prompt_search._printable import named

STYLE = """
.ps{font:14px/1.45 system-ui,sans-serif;color:inherit;max-width:100%;overflow-x:auto}
.ps table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;margin:.5em 0}
.ps caption{text-align:left;font-weight:600;padding:.3em 0}
.ps th,.ps td{padding:.25em .7em;background:none;unicode-bidi:plaintext;
border:0 solid color-mix(in srgb,currentColor 20%,transparent);border-bottom-width:1px}
.ps.ps th,.ps.ps td{text-align:left;vertical-align:top}
.ps th.n,.ps td.n{text-align:right}.ps td.n{white-space:nowrap}
.ps td{overflow-wrap:break-word;max-width:60ch}.ps td:last-child:not(.n){min-width:24ch}
.ps.ps pre{white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;margin:.2em 0;padding:0;
font:12.5px/1.5 ui-monospace,monospace;background:none;color:inherit;unicode-bidi:plaintext;text-align:start}
.ps pre{max-height:30em;overflow-y:auto}
.ps mark{background:color-mix(in srgb,#e6a700 30%,transparent);color:inherit;border-radius:3px;padding:0 .15em}
.ps .turn{border-left:3px solid color-mix(in srgb,currentColor 35%,transparent);border-radius:0 8px 8px 0;
background:color-mix(in srgb,currentColor 5%,transparent);padding:.35em .8em;margin:.4em 0}
.ps .turn.user{border-color:#3b82c4}.ps .turn.assistant{border-color:#2f9e66;margin-left:1.5em}
.ps small,.ps summary{opacity:.85}
.ps summary{cursor:pointer}
.ps.ps .bar{max-width:none}
.ps .bar{width:90px;height:12px;display:inline-block;vertical-align:middle;overflow:visible;margin-right:.3em}
.ps .bar .track{fill:color-mix(in srgb,currentColor 12%,transparent)}.ps .bar .range{fill:#3b82c4;opacity:.65}
.ps .bar .mean,.ps .bar .zero{stroke:currentColor;stroke-width:1.5;vector-effect:non-scaling-stroke}
.ps .bar .zero{opacity:.5;stroke-dasharray:2 2}
.ps ins{background:color-mix(in srgb,#2f9e66 25%,transparent);text-decoration:none;display:block}
.ps del{background:color-mix(in srgb,#d6455d 25%,transparent);text-decoration:none;display:block}
.ps .verdict{font-size:1.1em}
"""


def text(value: Any) -> Markup:
    """Any value as HTML text whose characters a browser keeps as they are.

    Carriage returns become references, because a parser would drop them. Characters that no page can hold (control
    characters, half surrogate pairs), and those that turn the direction of what follows, become visible escapes.

    >>> text("<b>\\r\\x07")
    Markup('&lt;b&gt;&#13;\\\\x07')
    """
    if isinstance(value, Markup):
        return value
    return Markup(str(escape(str(value).translate(_UNPRINTABLE))).replace("\r", "&#13;"))


_UNPRINTABLE = {
    **{code: f"\\x{code:02x}" for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160))},
    **{code: f"\\u{code:04x}" for code in (*range(0xD800, 0xE000), *range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


def fill(template: str, *values: Any, **named: Any) -> Markup:
    """HTML with ``{}`` places, each filled with a value as `text` gives it."""
    return Markup(template).format(*map(text, values), **{name: text(value) for name, value in named.items()})


def join(parts: Iterable[Any], between: str = "") -> Markup:
    """Pieces of HTML one after the other."""
    return Markup(between).join(map(text, parts))


def visible(content: str) -> str:
    """Text whose white space and invisible characters are written out.

    >>> visible("a b\\t\\u200bc\\n")
    'a·b⇥\\\\u200bc⏎\\n'
    """
    marks = {" ": "·", "\t": "⇥", "\n": "⏎\n", "\r": "\\r"}
    return "".join(
        marks.get(each) or (each if unicodedata.category(each) not in ("Cf", "Zs", "Zl", "Zp", "Cc") else named(each))
        for each in content
    )


def exact(content: str) -> Markup:
    """Text exactly as it is, line by line."""
    return fill('<pre dir="auto">\n{}</pre>', content)  # the parser drops a line end right after <pre>: it gets one


def messages(turns: Iterable[tuple[str, str]]) -> Markup:
    """The messages of a chat, each in a bubble: exactly as they are, and on demand with their white space visible."""
    listed = list(turns)

    def bubbles(read: Callable[[str], str]) -> Markup:
        return join(
            fill('<div class="turn {}"><small>{}</small>{}</div>', role, role, exact(read(content)))
            for role, content in listed
        )

    return bubbles(str) + details("the same with its white space visible", bubbles(visible))


def bar(mean: float, low: float, high: float, *, least: float = 0.0, most: float = 1.0) -> Markup:
    """A mean and its 95% interval as a bar between two ends, with a mark at 0 if it lies between them; nothing for an
    unknown interval."""
    if math.isnan(low + high + mean) or most <= least:
        return Markup()

    def place(value: float) -> float:
        return min(max((value - least) / (most - least), 0.0), 1.0) * 100

    left, right = place(low), place(high)
    zero = f'<line class="zero" x1="{place(0):.1f}" x2="{place(0):.1f}" y1="0" y2="12"/>' if least < 0 < most else ""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" y="4" width="100" height="4"/>{zero}'
        f'<rect class="range" x="{left:.1f}" y="2" width="{max(right - left, 1):.1f}" height="8"/>'
        f'<line class="mean" x1="{place(mean):.1f}" x2="{place(mean):.1f}" y1="0" y2="12"/></svg>'
    )


def scale(lows: Iterable[float], highs: Iterable[float]) -> dict[str, float]:
    """The two ends of the bars (`bar`) of many intervals: 0 and 1, or further out where an interval reaches further."""
    return {
        "least": min([0.0, *(low for low in lows if not math.isnan(low))]),
        "most": max([1.0, *(high for high in highs if not math.isnan(high))]),
    }


def table(caption: str, columns: Sequence[str], lines: Iterable[Sequence[Any]], numbers: Iterable[str] = ()) -> Markup:
    """A table; the columns named in ``numbers`` are aligned to the right."""
    right, left = (
        Markup(' class="n"'),
        Markup(' style="text-align:left"'),
    )  # on each cell, because JupyterLab has rules of its own
    kinds = [right if name in set(numbers) else left for name in columns]
    head = join(fill('<th scope="col"{}>{}</th>', *pair) for pair in zip(kinds, columns, strict=True))
    body = join(
        fill("<tr>{}</tr>", join(fill("<td{}>{}</td>", *pair) for pair in zip(kinds, line, strict=True)))
        for line in lines
    )
    return fill(
        "<table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table>",
        fill("<caption{}>{}</caption>", left, caption) if caption else Markup(),
        head,
        body,
    )


def diff(unified: str) -> Markup:
    """A unified diff, without its head, with added and removed lines marked."""
    tags = {"+": "<ins>{}\n</ins>", "-": "<del>{}\n</del>"}
    lines = unified.split("\n")[2:]
    return fill("<pre>{}</pre>", join(fill(tags.get(line[:1], "<span>{}\n</span>"), line) for line in lines))


def details(summary: str, content: Markup) -> Markup:
    """Content that is shown on demand."""
    return fill("<details><summary>{}</summary>{}</details>", summary, content)


def block(*parts: Any) -> str:
    """The parts as HTML for a notebook. Its classes make MathJax leave dollar signs alone."""
    classes = "ps mathjax_ignore tex2jax_ignore"
    return str(fill('<div class="{}"><style>{}</style>{}</div>', classes, Markup(STYLE), join(parts)))


def verdict(word: str, headline: str) -> Markup:
    """The word of a verdict, where there is one, and the lines that explain it."""
    first = fill('<div class="verdict"><b>{}</b></div>', word) if word else Markup()
    return first + join(fill("<div>{}</div>", line) for line in headline.splitlines())


def clipped(content: str, width: int) -> str:
    """A text as one line of at most ``width`` characters.

    >>> clipped(" one\\ntwo ", 6), clipped("", 9)
    ('one t…', '(empty)')
    """
    line = " ".join(content.split()) or "(empty)"
    return line if len(line) <= width else f"{line[: width - 1]}…"
