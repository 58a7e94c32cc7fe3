"""Lines of results in a csv: written as soon as they are there, never measured twice, shown as means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

Job = TypeVar("Job", bound=tuple[Any, ...])


def measure_missing(
    jobs: Sequence[Job],
    measure: Callable[[Job], Mapping[str, Any]],
    key: Sequence[str],
    output: Path,
    processes: int = 1,
) -> pd.DataFrame:
    """Measure what is not in the output yet, write each line as soon as it is there, and give the lines of all jobs.

    Args:
        jobs: what is measured, each as the values of ``key``.
        measure: gives the line of a job, with the columns of ``key``; with several processes it can be pickled.
        key: the columns that say which job a line is of.
        output: the csv.
        processes: the number of jobs at the same time.
    """
    done = set(pd.read_csv(output)[list(key)].itertuples(index=False, name=None)) if output.exists() else set()
    missing = [job for job in jobs if job not in done]
    with ExitStack() as stack:
        apply = map if processes == 1 else stack.enter_context(ProcessPoolExecutor(processes)).map
        for line in apply(measure, missing):
            pd.DataFrame([line]).to_csv(output, mode="a", header=not output.exists(), index=False)
    return pd.read_csv(output).set_index(list(key)).loc[list(jobs)].reset_index()


def shown(values: pd.Series[float], sign: str = "", digits: int = 3) -> str:
    """A mean with its standard error; empty without values."""
    if values.empty:
        return ""
    found = values.to_numpy(dtype=float)
    error = f" ({found.std(ddof=1) / len(found) ** 0.5:.{digits}f})" if len(found) > 1 else ""
    return f"{found.mean():{sign}.{digits}f}{error}"
