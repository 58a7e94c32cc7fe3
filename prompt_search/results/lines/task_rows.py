"""What the calls of a task's rows say together: several for a row, or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from prompt_search.results.frames import series
from prompt_search.storage.records import SampleRecord

_COUNTED = ("prompt_tokens", "completion_tokens")
_SUMMED = (*_COUNTED, "latency_s", "cost_usd")
"""The columns that are sums over the calls of a row."""


def calls_of_rows(samples: Sequence[SampleRecord], calls: pd.DataFrame) -> pd.DataFrame:
    """The calls of each row as one line, in the order of the rows: its one call, or with a task `_several_calls`.

    Args:
        samples: the rows.
        calls: the study's requests, see `tables.calls_frame`.

    Raises:
        LookupError: a row has a call that is not stored.
    """
    if any(sample.calls is not None for sample in samples):
        return _several_calls(samples, calls)
    places = pd.Index(calls["key"]).get_indexer(pd.Index(series([sample.key for sample in samples])))
    if (places < 0).any():
        raise LookupError("a scored row has no call")
    return calls.take(places).reset_index(drop=True)


def _several_calls(samples: Sequence[SampleRecord], calls: pd.DataFrame) -> pd.DataFrame:
    """The calls of each row together.

    Columns: ``response`` and ``finish_reason`` of the last call, or of the one that failed, None without a call;
    ``call`` int, its place, -1 without one; ``prompt_tokens`` and ``completion_tokens`` Int64, ``latency_s`` float
    seconds and ``cost_usd`` float US dollars, sums over the calls of the row, unknown where one is; ``calls`` int,
    their number.
    """
    keys = pd.Index(calls["key"])
    made = [[sample.key] if sample.calls is None else sample.calls.keys for sample in samples]
    places = keys.get_indexer(pd.Index([key for of_row in made for key in of_row], dtype=object))
    last = keys.get_indexer(pd.Index([sample.key for sample in samples], dtype=object))
    lacks = any(place < 0 and sample.key for place, sample in zip(last, samples, strict=True))
    if (places < 0).any() or lacks:
        raise LookupError("a scored row has no call")
    of = np.repeat(np.arange(len(samples)), [len(of_row) for of_row in made])
    shown = calls.reindex(last)
    known = last >= 0
    columns = {name: shown[name].astype(object).where(known, None).tolist() for name in ("response", "finish_reason")}
    sums = {name: _sums(calls[name].to_numpy("float64", na_value=np.nan)[places], of, len(samples)) for name in _SUMMED}
    return pd.DataFrame(
        {
            **{name: series(values) for name, values in columns.items()},
            "call": np.where(known, calls["call"].to_numpy()[last] if len(calls) else -1, -1),
            **{name: series(sums[name], "Int64" if name in _COUNTED else "float64") for name in _SUMMED},
            "calls": np.bincount(of, minlength=len(samples)).astype("int64"),
        }
    )


def _sums(values: np.ndarray, of: np.ndarray, rows: int) -> list[float | None]:
    """The sum of the values of each row; None where one is unknown."""
    sums = np.bincount(of, weights=values, minlength=rows)
    return [None if np.isnan(value) else float(value) for value in sums]
