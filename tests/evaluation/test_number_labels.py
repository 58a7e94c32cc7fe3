"""Labels that are numbers or truth values, in every kind of source: metrics of users compare as pandas users expect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.testing import InProcessExecutor, truth_model

TEXTS = [f"text {number}" for number in range(8)]


def _csv(folder: Path, values: tuple[str, str]) -> ps.Dataset:
    lines = ["text,label", *(f"{text},{values[number % 2]}" for number, text in enumerate(TEXTS))]
    (folder / "rows.csv").write_text("\n".join(lines))
    return ps.Dataset.read(folder / "rows.csv", target="label")


def _jsonl(folder: Path, values: tuple[Any, Any]) -> ps.Dataset:
    lines = [json.dumps({"text": text, "label": values[number % 2]}) for number, text in enumerate(TEXTS)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    return ps.Dataset.read(folder / "rows.jsonl", target="label")


def _frame(folder: Path, values: tuple[Any, Any]) -> ps.Dataset:
    frame = pd.DataFrame({"text": TEXTS, "label": [values[number % 2] for number in range(len(TEXTS))]})
    return ps.Dataset(frame, target="label")


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (_csv, ("0", "1")),
        (_csv, ("0.0", "1.0")),
        (_csv, ("False", "True")),
        (_jsonl, (0, 1)),
        (_jsonl, (0.0, 1.0)),
        (_jsonl, (False, True)),
        (_frame, (0, 1)),
        (_frame, (0.0, 1.0)),
        (_frame, (False, True)),
        (_frame, (0.5, 1.5)),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_user_metric_compares_labels_with_targets(
    tmp_path: Path, read: Callable[[Path, Any], ps.Dataset], values: tuple[Any, Any], own: bool
) -> None:
    """``answer == row.target`` scores as the package's own metric does, with the data's labels and with one's own."""
    data = read(tmp_path, values)
    targets = {row.text: row.target for row in data.rows}
    labels = [*dict.fromkeys(targets.values())] if own else data.labels
    executor = InProcessExecutor(truth_model(targets, accuracy=lambda wording: 0.6))

    def same(answer: Any, row: ps.Row) -> bool:
        return bool(answer == row.target)

    scores = {
        ps.evaluate(
            ps.Prompt(source="{{ row.text }}"),
            data,
            model=executor.model(),
            answer=ps.Label(labels),
            metric=metric,
            executor=executor,
        ).score
        for metric in (same, ps.metrics.exact)
    }
    assert len(scores) == 1
    assert 0 < scores.pop() < 1
