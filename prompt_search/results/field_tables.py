"""The table of the fields of JSON answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from prompt_search.metrics.json_fields import Fields, Outcome
from prompt_search.results.frames import frame_of, mean_of
from prompt_search.results.statistics import mean_interval

FIELD_COLUMNS = (
    "trial", "field", "rows", "right", "share", "share_low", "share_high", "wrong", "missing", "extra",
)  # fmt: skip


def fields_frame(scored: pd.DataFrame, metric: Fields) -> pd.DataFrame:
    """One row per trial and field, in the order of the fields in the targets.

    Columns: ``trial``; ``field`` path of the field; ``rows`` number of rows whose target or answer names the field;
    ``right`` number of rows in which it is right; ``share`` of the rows in which it is right, with its 95% interval
    ``share_low``, ``share_high``; ``wrong`` number of rows with another value, or whose answer could not be read;
    ``missing`` number of rows in which only the target has a value; ``extra`` number of rows in which only the answer
    has one. A request that failed by the prompt's fault has no right field; other failed requests are left out.

    Args:
        scored: the scored rows of the trials to show, see `tables.scored_frame`.
        metric: how fields are compared.
    """
    counts: dict[tuple[int, str], Counter[Outcome]] = {}
    found = scored[scored["score"].notna()]
    columns = (found[name] for name in ("trial", "target", "answer", "unparsed", "error"))
    for trial, target, answer, unparsed, error in zip(*columns, strict=True):
        readable = answer if error is None and not unparsed else None
        for field, outcome in metric.outcomes(readable, target).items():
            counts.setdefault((trial, field), Counter())[outcome] += 1
    order = {field: place for place, field in enumerate(dict.fromkeys(field for _, field in counts))}
    ranked = sorted(counts, key=lambda key: (order[key[1]], key[0]))
    records = [{"trial": trial, "field": field, **_measures(counts[trial, field])} for trial, field in ranked]
    numbers = dict.fromkeys(("trial", "rows", "right", "wrong", "missing", "extra"), "int64")
    shares = dict.fromkeys(("share", "share_low", "share_high"), "float64")
    return frame_of(records, FIELD_COLUMNS).astype({**numbers, **shares})


def _measures(outcomes: Mapping[Outcome, int]) -> dict[str, Any]:
    """The columns that count the outcomes of one field."""
    rows, right = sum(outcomes.values()), outcomes["right"]
    hits = [1.0] * right + [0.0] * (rows - right)
    low, high = mean_interval(hits)
    others = {name: outcomes[name] for name in ("wrong", "missing", "extra")}
    return {"rows": rows, "right": right, "share": mean_of(hits), "share_low": low, "share_high": high, **others}
