"""Texts in Markdown; apart from the tables that are written so, because whoever prints a text needs no pandas."""

from __future__ import annotations

import re


def markdown_text(text: str) -> str:
    r"""A text as one line in which nothing is Markdown or HTML.

    >>> print(markdown_text("a|b <i>\n[x] per_row _y_"))
    a\|b &lt;i&gt; \[x\] per_row \_y\_
    """
    escaped = re.sub(r"([\\`*\[\]|~#]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
