"""Real landscapes for `search_truth.py`: studies whose candidates' accuracies were measured on a real model.

A folder of landscapes has any of these, and `families` reads them:

- ``gsm8k_grid.csv`` (columns instruction, examples, accuracy): one landscape with two choices;
- ``paraphrases.csv`` (benchmark, task, model, paraphrase, accuracy) with ``paraphrase_texts.csv`` (benchmark, task,
  paraphrase, text): for each benchmark a family with one landscape a task and model, whose only choice is the wording;
- ``measured/*.csv`` as `landscape.py` writes them: one landscape each, with every candidate's score on every row.

Accuracies are from 0 to 1. Where only they are known, answers to 200 rows are simulated: a candidate is right with a
probability that a logistic model has of its ability and of the row's difficulty, whose spread is that of the made-up
studies; abilities are such that the mean probability over the rows is the given accuracy. Where scores on rows were
measured they are looked up, in another order of the rows for each seed, and the truth is their mean over all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from experiments.benchmarks.search_truth_world import ROWS, Floats, Levels, Setting
from prompt_search.errors import InputError
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace

GRID, PARAPHRASES, TEXTS, MEASURED = "gsm8k_grid.csv", "paraphrases.csv", "paraphrase_texts.csv", "measured"
ABSENT = "(absent)"
"""What a measured table has where a candidate does not have a choice."""
OF_ROWS = ("candidate", "row", "score", "margin")
"""The columns of a measured table that are no choices."""
WORDING = ["benchmark", "task", "paraphrase"]
"""The columns that name a wording."""
ABILITIES = np.linspace(-16, 16, 1601)


@dataclass(frozen=True, eq=False, kw_only=True)
class Landscape:
    """All candidates of a template with their true accuracies.

    Args:
        name: says which it is.
        choices: the texts of the options by choice, the default first.
        accuracies: the true accuracy of every candidate; -1 stands for a choice that a candidate does not have.
        cells: scores and margins of every candidate on each row, where they were measured; NaN: no margin.
    """

    name: str
    choices: Mapping[str, Sequence[str]]
    accuracies: Mapping[Levels, float]
    cells: Mapping[Levels, tuple[Floats, Floats]] = field(default_factory=dict)

    @property
    def space(self) -> SearchSpace:
        names = list(self.choices)
        factors = [Factor(name=name, kind="choice", options=tuple(options)) for name, options in self.choices.items()]
        is_conditional = any(-1 in levels for levels in self.accuracies)

        def active(values: Mapping[str, Any]) -> list[str]:
            chosen = [self.choices[name].index(values[name]) if name in values else 0 for name in names]
            return [name for name, level in zip(names, self.without_inactive(tuple(chosen)), strict=True) if level >= 0]

        return SearchSpace(factors, active if is_conditional else lambda values: names, names if is_conditional else ())

    def without_inactive(self, levels: Levels) -> Levels:
        """The one candidate that has the options of an assignment in all choices that it has.

        Raises:
            InputError: there is none.
        """
        if levels in self.accuracies:
            return levels
        for found in self.accuracies:
            if all(own in (-1, level) for own, level in zip(found, levels, strict=True)):
                return found
        raise InputError(f"{self.name} has no candidate {levels}; measure all candidates of the template")

    def world(self, seed: int) -> LandscapeWorld:
        """The landscape with rows."""
        return LookedUp(self, seed) if self.cells else Simulated(self, seed)


class LandscapeWorld:
    """A `World` made of a landscape; seeds have other rows."""

    def __init__(self, landscape: Landscape, seed: int, rows: int) -> None:
        self.landscape, self.seed, self.rows = landscape, seed, rows
        self.options = [len(options) for options in landscape.choices.values()]
        self.space = landscape.space

    def canonical(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array([self.landscape.without_inactive(tuple(each)) for each in levels.tolist()])

    def accuracy(self, levels: Levels) -> float:
        return self.landscape.accuracies[levels]

    def scores(self, levels: Levels) -> Floats:
        return (self.margins(levels) > 0).astype(float)

    def margins(self, levels: Levels) -> Floats:
        raise NotImplementedError


class Simulated(LandscapeWorld):
    """Answers by the logistic model of rows and candidates that made-up studies have."""

    def __init__(self, landscape: Landscape, seed: int) -> None:
        super().__init__(landscape, seed, ROWS)
        self.difficulty = np.random.default_rng([seed, 13]).normal(0, Setting().difficulty, ROWS)
        self._means = expit(ABILITIES[:, None] - self.difficulty).mean(axis=1)

    def ability(self, accuracy: float) -> float:
        """The ability (logits) with which the mean probability over the rows is an accuracy."""
        return float(np.interp(accuracy, self._means, ABILITIES))

    def margins(self, levels: Levels) -> Floats:
        noise = np.random.default_rng([self.seed, 17, *(level + 1 for level in levels)]).logistic(size=ROWS)
        return np.asarray(self.ability(self.accuracy(levels)) - self.difficulty + noise)


class LookedUp(LandscapeWorld):
    """Answers that were measured."""

    def __init__(self, landscape: Landscape, seed: int) -> None:
        rows = len(next(iter(landscape.cells.values()))[0])
        super().__init__(landscape, seed, rows)
        self._order = np.random.default_rng([seed, 13]).permutation(rows)

    def scores(self, levels: Levels) -> Floats:
        return self.landscape.cells[levels][0][self._order]

    def margins(self, levels: Levels) -> Floats:
        return self.landscape.cells[levels][1][self._order]


def families(folder: Path) -> dict[str, list[Landscape]]:
    """The landscapes of a folder by family: ``gsm8k``, one for each benchmark of paraphrases, and the name of each
    measured table. Those of a family are in an order of their own, so that the first are like the others.

    Raises:
        InputError: the folder is missing or has no landscape, or a file cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give one with landscapes")
    found: dict[str, list[Landscape]] = {}
    if (folder / GRID).exists():
        found["gsm8k"] = [_grid(_read(folder / GRID, ["instruction", "examples", "accuracy"]))]
    if (folder / PARAPHRASES).exists():
        found |= _paraphrases(_read(folder / PARAPHRASES, [*WORDING, "model", "accuracy"]), _texts(folder))
    for file in sorted((folder / MEASURED).glob("*.csv")):
        found[file.stem] = [measured(file)]
    if not found:
        raise InputError(f"{folder} has no landscapes: no {GRID}, {PARAPHRASES} or {MEASURED}/*.csv")
    return found


def _read(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table with these columns; texts stay as they are, empty ones too.

    Raises:
        InputError: the file or a column is missing.
    """
    if not file.exists():
        raise InputError(f"there is no file {file}")
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    missing = [name for name in columns if name not in frame]
    if missing:
        raise InputError(f"{file} has no column {missing[0]!r}; it needs {', '.join(columns)}")
    return frame


def _grid(frame: pd.DataFrame) -> Landscape:
    names = ["instruction", "examples"]
    return _landscape("gsm8k", frame, {name: [f"{name} {option}" for option in frame[name].unique()] for name in names})


def _landscape(name: str, frame: pd.DataFrame, choices: Mapping[str, Sequence[str]]) -> Landscape:
    """A landscape of a table with a line for each candidate; the options are in the order of their first lines."""
    levels = zip(*(pd.factorize(frame[choice])[0].tolist() for choice in choices), strict=True)
    accuracies = dict(zip(levels, frame["accuracy"].astype(float).tolist(), strict=True))
    return Landscape(name=name, choices=choices, accuracies=accuracies)


def _texts(folder: Path) -> pd.Series[str]:
    """The text of each wording; the number follows where a task has a text twice."""
    frame = _read(folder / TEXTS, [*WORDING, "text"])
    again = frame.duplicated(["benchmark", "task", "text"])
    frame.loc[again, "text"] += " [" + frame.loc[again, "paraphrase"] + "]"
    return frame.set_index(WORDING)["text"]


def _paraphrases(frame: pd.DataFrame, texts: pd.Series[str]) -> dict[str, list[Landscape]]:
    frame = frame.join(texts, on=WORDING)
    if frame["text"].isna().any():
        raise InputError(f"{TEXTS} lacks a wording that {PARAPHRASES} has")
    found: dict[str, list[Landscape]] = {}
    for (benchmark, task, model), lines in frame.groupby(["benchmark", "task", "model"]):
        name = f"{benchmark} {task} {model}"
        choices = {"paraphrase": lines["text"].tolist()}
        found.setdefault(str(benchmark), []).append(_landscape(name, lines, choices))
    for each in found.values():
        np.random.default_rng(7).shuffle(each)
    return found


def measured(file: Path) -> Landscape:
    """The landscape of a table of `landscape.py`.

    Raises:
        InputError: a column is missing, or a candidate lacks a row.
    """
    frame = _read(file, OF_ROWS)
    names = [str(name) for name in frame if name not in OF_ROWS]
    frame["row"] = frame["row"].astype(int)
    frame = frame.sort_values(["candidate", "row"], key=lambda column: column.astype(int), kind="stable")
    scores, margins = (_cells(frame, value, file) for value in ("score", "margin"))
    firsts = frame.drop_duplicates("candidate")[names]
    choices = {name: [text for text in firsts[name].unique() if text != ABSENT] for name in names}
    levels = [
        tuple(-1 if text == ABSENT else choices[name].index(text) for name, text in zip(names, line, strict=True))
        for line in firsts.itertuples(index=False)
    ]
    found = Landscape(
        name=file.stem,
        choices=choices,
        accuracies=dict(zip(levels, scores.mean(axis=1).tolist(), strict=True)),
        cells=dict(zip(levels, zip(scores, margins, strict=True), strict=True)),
    )
    if found.space.size()[0] != len(levels):
        raise InputError(f"{file} lacks candidates; run landscape.py again, which asks for them")
    return found


def _cells(frame: pd.DataFrame, value: str, file: Path) -> Floats:
    """A column of a measured table as (candidates, rows); NaN where it is empty.

    Raises:
        InputError: a candidate lacks a row that another one has.
    """
    table = frame.assign(**{value: pd.to_numeric(frame[value])}).pivot(index="candidate", columns="row", values=value)
    if table.size != len(frame):
        raise InputError(f"{file} lacks rows of some candidates; run landscape.py again, which asks for them")
    return table.loc[frame["candidate"].unique()].to_numpy()
