"""Numbers as the text that people read. What is not known (None or NaN) is named, never shown as ``nan`` or 0."""

from __future__ import annotations

import math

UNKNOWN = "unknown"

ROUNDING = 1e-9
"""By how much a score may be below a limit, because sums of decimals are rounded."""


def known(value: float | None) -> bool:
    """Whether there is a number: neither None nor NaN."""
    return value is not None and not math.isnan(value)


def number(value: float | None, form: str = ".3f") -> str:
    """A number in a format of Python's, by default with three decimals.

    >>> number(0.5), number(1234, ",.0f"), number(math.nan), number(None)
    ('0.500', '1,234', 'unknown', 'unknown')
    """
    return format(value, form) if known(value) else UNKNOWN


def counted(count: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def interval(low: float | None, high: float | None, form: str = ".2f") -> str:
    """The two ends of a confidence interval.

    >>> interval(0.12, 0.34), interval(-0.1, 0.2, "+.2f"), interval(math.nan, math.nan)
    ('0.12 to 0.34', '-0.10 to +0.20', 'unknown')
    """
    return f"{low:{form}} to {high:{form}}" if known(low) and known(high) else UNKNOWN


def estimate(value: float, low: float, high: float, form: str = ".3f") -> str:
    """A number with its confidence interval.

    >>> estimate(0.5, 0.4, 0.6), estimate(0.5, math.nan, math.nan), estimate(math.nan, math.nan, math.nan)
    ('0.500 (0.400 to 0.600)', '0.500 (interval unknown)', 'unknown')
    """
    ends = interval(low, high, form) if known(low) and known(high) else "interval unknown"
    return f"{number(value, form)} ({ends})" if known(value) else UNKNOWN


def dollars(value: float | None, digits: int | None = None) -> str:
    """US dollars, by default with four decimals below one dollar and two above it.

    >>> dollars(0.0123), dollars(1234.5), dollars(0.0), dollars(1.5, digits=4), dollars(math.nan)
    ('$0.0123', '$1,234.50', '$0.00', '$1.5000', 'price unknown')
    """
    if value is None or math.isnan(value):
        return "price unknown"
    return f"${value:,.{(4 if 0 < value < 1 else 2) if digits is None else digits}f}"


def tokens(value: float | None) -> str:
    """A number of tokens.

    >>> tokens(72397), tokens(None)
    ('72,397 tokens', 'tokens unknown')
    """
    return f"{value:,.0f} tokens" if known(value) else "tokens unknown"


def seconds(value: float | None, digits: int | None = None) -> str:
    """Seconds, by default with two decimals below ten.

    >>> seconds(0.234), seconds(126.2), seconds(None)
    ('0.23 s', '126 s', 'unknown s')
    """
    if digits is None:
        digits = 2 if value is not None and value < 10 else 0
    return f"{number(value, f',.{digits}f')} s"
