"""How an error calls what was given."""

from __future__ import annotations

from typing import Any


def named(value: Any) -> str:
    """A value in an error: a short text as it is, anything else by its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    return text if isinstance(value, (str, int, float)) and len(text) <= 60 else f"a {type(value).__name__}"
