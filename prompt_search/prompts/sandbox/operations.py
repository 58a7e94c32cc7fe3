"""The price of operators, methods and filters: they pay for a value before they make it."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Sequence, Sized
from typing import Any

from prompt_search.errors import InputError
from prompt_search.prompts.sandbox.steps import CHARACTERS_A_STEP, MOST_STEPS, cost, pay, spend

MOST_BITS = 10_000
"""Largest size, in bits, of a whole number in a calculation."""
BITS_A_STEP = 200
"""Number of bits of a power that cost one step."""
MOST_WIDTH = 1_000
"""Largest width that a template may give to a filter."""

_WIDE = ("batch", "center", "indent", "round", "slice", "tojson", "wordwrap")
"""Filters that take a width and make text or lists of it."""
DEFAULT_WIDTH = 79
"""Width of the lines of the filter ``wordwrap``."""
_STEPS_AN_ITEM = (
    dict.fromkeys(("map", "reject", "rejectattr", "select", "selectattr"), 10)
    | dict.fromkeys(("max", "min", "sort", "unique"), 4)
    | {"groupby": 20}
)
"""Filters that look a filter, a test or an attribute up for every item or compare items, and the steps for one item."""
STEPS_A_LINE = 10
"""Number of steps that a wrapped line costs."""
CHARACTERS_COPIED = 10_000
"""Number of characters that are copied in one step."""
_STRIPPING = ("strip", "lstrip", "rstrip")
"""Methods of text that look each character up among others."""
_PADDING = ("center", "ljust", "rjust", "zfill")
"""Methods of text that fill it up to a width."""
_DIGITS = re.compile(r"\d+")


def pay_format(pattern: Any, arguments: Sequence[Any]) -> None:
    """Pay for ``pattern % arguments`` or ``pattern.format(*arguments)``.

    Each place in the pattern may show all arguments, with the largest width that the pattern contains.
    """
    if re.search(r"%[^%]*\*", pattern) if "%" in pattern else _has_nested_field(pattern):
        raise InputError(
            f"widths in a format must be numbers, but {pattern[:60]!r} takes one from a value; write the number"
        )
    places = pattern.count("%") + pattern.count("{")
    widest = max((float(number) for number in _DIGITS.findall(pattern)), default=0.0)
    spend(min(places * (sum(map(cost, arguments)) + widest / CHARACTERS_A_STEP), MOST_STEPS + 1))


def _has_nested_field(pattern: str) -> bool:
    """Whether a pattern of ``str.format`` has a field inside of another one, by Python's own reading of it."""
    try:
        return any("{" in (spec or "") for _, _, spec, _ in string.Formatter().parse(pattern))
    except ValueError:  # `format` says what is wrong
        return False


def check_number(value: Any) -> None:
    """Refuse a whole number of more than `MOST_BITS` bits."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise InputError(f"numbers in a template must be below 2**{MOST_BITS}; make them smaller")


def check_product(left: Any, right: Any) -> None:
    """Pay for a repeated sequence, and refuse a product that is too large."""
    for sequence, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(sequence, Sized):
            spend(cost(sequence) * max(times, 0))
            return
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MOST_BITS:
        check_number(1 << MOST_BITS)


def check_power(left: Any, right: Any) -> None:
    """Refuse a power that is too large."""
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1:
        bits = left.bit_length() * right
        if bits > MOST_BITS:
            check_number(1 << MOST_BITS)
        spend(max(bits, 0) / BITS_A_STEP)


def pay_method(text: str, name: str, args: tuple[Any, ...]) -> None:
    """Pay for the text that a method of text is about to make."""
    if name in _PADDING and args and isinstance(args[0], int):
        spend(args[0] / CHARACTERS_A_STEP)
    elif name == "replace" and len(args) > 1 and isinstance(args[0], str):
        spend(cost(args[1]) * text.count(args[0]))
    elif name in _STRIPPING and args:
        spend(cost(text) * cost(args[0]))
    spend(cost(text))


def pay_lines(text: str, given: Sequence[Any]) -> None:
    """Pay for the lines that a text is wrapped to; each copies what is left of a word that is cut."""
    width = min((number for number in given if isinstance(number, int) and number > 1), default=1)
    lines = len(text) / (width if given else DEFAULT_WIDTH)
    spend(lines * (STEPS_A_LINE + max(map(len, text.split()), default=0) / CHARACTERS_COPIED))


def items(value: Any) -> int:
    """The number of steps for going through a value item by item; those of a text are its characters."""
    return len(value) if isinstance(value, str) else cost(value)


def paying(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same filter or test, which pays for its arguments and for its result."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        value, given = args[first], (*args[first + 1 :], *kwargs.values())
        pay(value, *given)
        if name in _WIDE:
            width = max((abs(number) for number in given if isinstance(number, int)), default=1)
            if width > MOST_WIDTH:
                raise InputError(f"the filter {name!r} takes numbers up to {MOST_WIDTH:,}, got {width:,}; lower it")
            spend(cost(value) * max(width, *map(cost, given), 1))
            if name == "wordwrap":
                pay_lines(str(value), given)
        elif name in _STEPS_AN_ITEM:
            spend(items(value) * _STEPS_AN_ITEM[name])
        elif name == "join":
            listed = list(value)
            spend(cost(listed) + len(listed) * cost(given[0] if given else ""))
            args = (*args[:first], listed, *args[first + 1 :])
        elif name == "replace" and len(given) > 1:
            spend(cost(str(given[1])) * str(value).count(str(given[0])))
        elif name == "format":
            pay_format(str(value), given)
        elif name == "striptags":  # which copies the text once per comment
            spend(cost(str(value)) * str(value).count("<") / 1000)
        elif name == "sum" and isinstance(kwargs.get("start", args[first + 2] if len(args) > first + 2 else 0), Sized):
            raise InputError("the filter 'sum' adds numbers; join texts with 'join'")
        made = function(*args, **kwargs)
        pay(made)
        return made

    return paid
