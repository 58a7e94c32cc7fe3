"""Building blocks of the tables: columns of fixed types, and values of answers and targets as text."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

Method = TypeVar("Method", bound=Callable[..., Any])


def with_columns_of(table: Callable[..., pd.DataFrame]) -> Callable[[Method], Method]:
    """A decorator that adds the columns of a table to the docstring of a method that returns it.

    ``help`` of the method then has the columns, although they are written once, where the table is made.
    """

    def documented(method: Method) -> Method:
        _, *paragraphs = (inspect.getdoc(table) or "").split("\n\n")
        columns = [paragraph for paragraph in paragraphs if not paragraph.startswith(("Args:", "Raises:"))]
        summary, *rest = (inspect.getdoc(method) or "").split("\n\n")
        method.__doc__ = "\n\n".join([summary, *columns, *rest])
        return method

    return documented


def frame_of(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of records whose columns all hold objects: where pandas chose the types, None would be NaN in some."""
    return pd.DataFrame(records, columns=list(columns), dtype=object)


def series(values: Sequence[Any], dtype: str = "object") -> pd.Series[Any]:
    """A column of the given type: where pandas chose it, None would be NaN in some tables."""
    return pd.Series(values, dtype=dtype)


def categorical(values: Sequence[str], known: Sequence[str]) -> pd.Series[Any]:
    """A categorical column in the order of the known words; unknown words come after them."""
    unknown = dict.fromkeys(value for value in values if value not in known) if {*values} - {*known} else ()
    words = [*known, *unknown]
    codes = np.fromiter(map({word: code for code, word in enumerate(words)}.__getitem__, values), np.intp, len(values))
    return pd.Series(pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(words)))


def mean_of(values: Sequence[float]) -> float:
    """The mean, NaN without values."""
    return sum(values) / len(values) if values else math.nan


def answer_text(value: Any) -> str:
    """An answer or a target as one line of text: what is not text is written as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
