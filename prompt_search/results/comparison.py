"""Two prompts on the same rows: by how much one is better, on which rows it won and lost, and what differs in them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from prompt_search import _html
from prompt_search.errors import InputError
from prompt_search.results import tables
from prompt_search.results.result import Evaluation, Result, Verdict, score_text, shown_text
from prompt_search.results.statistics import mean_interval, paired_difference

COMPARED_COLUMNS = (
    "row", "target", "outcome", "change", "first_score", "second_score", "first_answer", "second_answer",
    "first_response", "second_response",
)  # fmt: skip
OUTCOMES = ("won", "lost", "equal", "failed")
SEALED = ("test", "evaluation")
"""Rows that neither prompt was chosen by."""

SHOWN = 10
"""How many won and lost rows are printed."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found; the second prompt against the first.

    Args:
        first, second: the two, with their samples on the same rows.
        sealed: whether no prompt was chosen by these rows; else the difference is optimistic.
    """

    first: Evaluation
    second: Evaluation
    sealed: bool

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the second is better: difference (second minus first), its 95% interval, p, rows won and lost."""
        frame = self.rows_df()
        return Verdict.of(paired_difference(frame["first_score"].tolist(), frame["second_score"].tolist()))

    @cached_property
    def _rows(self) -> pd.DataFrame:
        frames = [each.samples_df().drop_duplicates("row").set_index("row") for each in (self.first, self.second)]
        first, second = frames
        change = second["score"] - first["score"]
        outcome = change.map(lambda by: "failed" if math.isnan(by) else OUTCOMES[0 if by > 0 else 1 if by < 0 else 2])
        both = {
            f"{which}_{name}": frame[name]
            for name in ("score", "answer", "response")
            for which, frame in (("first", first), ("second", second))
        }
        made = pd.DataFrame({"target": first["target"], "outcome": outcome, "change": change, **both}).reset_index()
        made["outcome"] = made["outcome"].astype(pd.CategoricalDtype(list(OUTCOMES)))
        made = made.sort_values(["change", "row"], key=lambda by: -by.abs() if by.name == "change" else by)
        return made[list(COMPARED_COLUMNS)].reset_index(drop=True)

    def rows_df(self) -> pd.DataFrame:
        """One row per common row of the data, the largest change first.

        Columns: ``row`` position in the data; ``target``; ``outcome`` of the second: won, lost, equal, or failed where
        a request of either failed; ``change`` of the score, second minus first; both prompts' ``…_score``,
        ``…_answer``, ``…_response``.
        """
        return self._rows.copy()

    def choices_df(self) -> pd.DataFrame:
        """The choices in which they differ: ``choice``, ``first``, ``second``, text of the option, None without it."""
        before, after = self.first.prompt.choices, self.second.prompt.choices
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        lines = [(name, before.get(name), after.get(name)) for name in names]
        return pd.DataFrame(lines, columns=["choice", "first", "second"], dtype=object)

    @property
    def diff(self) -> str:
        """A unified diff from the first prompt's text to the second's; empty where they read the same."""
        return self.first.prompt.diff(self.second.prompt)

    @property
    def scores(self) -> dict[str, tuple[float, float, float, int]]:
        """(mean, low, high, rows) of both on the rows where both have a score."""
        frame = self._rows.dropna(subset=["change"])
        found = {}
        for name, column in zip(self.names, ("first_score", "second_score"), strict=True):
            values = frame[column].tolist()
            found[name] = (frame[column].mean(), *mean_interval(values), len(values))
        return found

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called; told apart where they have one name."""
        first, second = self.first.name, self.second.name
        return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")

    @property
    def headline(self) -> str:
        """The comparison in one or two lines."""
        first, second = self.names
        words = {
            "better": f"{second} is better than {first}",
            "worse": f"{second} is worse than {first}",
            "not shown": f"It is not shown that {second} and {first} differ",
        }[self.verdict]
        before, after = self.scores.values()
        said = (
            f"{words}: {score_text(after)} against {score_text(before)} on {self.verdict.rows} rows, won "
            f"{self.verdict.won}, lost {self.verdict.lost}; {shown_text(self.verdict)}."
        )
        warning = "At least one of them was chosen by its score on these rows: the difference is optimistic."
        return said if self.sealed else f"{said}\n{warning}"

    def __repr__(self) -> str:
        changed = self.changed()
        rows = changed.to_string(index=False, float_format="{:+.3f}".format) if len(changed) else "no row differs"
        return "\n\n".join([self.headline, rows, self.diff or "the prompts read the same"])

    def changed(self, most: int = SHOWN, width: int = 60) -> pd.DataFrame:
        """The rows won and lost, the largest changes first, texts on one line: ``row``, ``outcome``, ``change``,
        ``target``, ``first``, ``second``: the answers."""
        frame = self._rows[self._rows["outcome"].isin(["won", "lost"])].head(most)
        texts = {
            new: frame[old].map(lambda value: "" if value is None else _html.clipped(tables.answer_text(value), width))
            for new, old in (("target", "target"), ("first", "first_answer"), ("second", "second_answer"))
        }
        return frame[["row", "outcome", "change"]].assign(**texts)

    def _repr_html_(self) -> str:
        ends = _html.scale(*zip(*((low, high) for _, low, high, _ in self.scores.values()), strict=True))
        scores = [
            (name, f"{mean:.3f}", _html.bar(mean, low, high, **ends), f"{low:.2f} to {high:.2f}", rows)
            for name, (mean, low, high, rows) in self.scores.items()
        ]
        changed = self.changed(width=200)
        lines = [
            (row, outcome, f"{change:+.3f}", *rest) for row, outcome, change, *rest in changed.itertuples(index=False)
        ]
        columns = ("row", "outcome", "change", "target", *self.names)
        return _html.block(
            _html.said(self.verdict, self.headline),
            _html.table("", ("prompt", "score", "", "95% interval", "rows"), scores, ("score", "rows")),
            _html.table("rows won and lost", columns, lines, ("row", "change")) if lines else "",
            _html.fill("<div><b>what differs in the prompts</b></div>{}", _html.diff(self.diff)),
        )


def compare(first: Result | Evaluation, second: Result | Evaluation) -> Comparison:
    """Compare two prompts on the rows that both were scored on: the winners of two results, or evaluations.

    Where both were scored on rows that no search saw, those alone count; else all common rows do, and the comparison
    says that it is optimistic.

    Args:
        first: a finished or unfinished study's result (its winner), ``result.evaluation(trial)``, or what `evaluate`
            gave.
        second: the other; the difference is this one minus the first.

    Raises:
        InputError: something else, fewer than two common rows, other data, or scores by another metric.
    """
    pair = [_evaluation(each) for each in (first, second)]
    metrics = [each.metric for each in pair]
    if None not in metrics and metrics[0] != metrics[1]:
        raise InputError(
            f"scores by {metrics[0]} and by {metrics[1]} cannot be compared; rescore one study by the other's metric"
        )
    splits: Collection[str] = SEALED
    targets = [_targets(each, SEALED) for each in pair]
    sealed = len(targets[0].keys() & targets[1].keys()) >= 2
    if not sealed:
        splits, targets = tables.SPLITS, [_targets(each, tables.SPLITS) for each in pair]
    common = targets[0].keys() & targets[1].keys()
    if len(common) < 2:
        raise InputError(
            f"two prompts are compared on rows that both were scored on, of which there are {len(common)}; evaluate "
            f"both on the same rows"
        )
    for row in sorted(common):
        if targets[0][row] != targets[1][row]:
            raise InputError(
                f"row {row} has the target {targets[0][row]!r} in one and {targets[1][row]!r} in the other; compare "
                f"prompts on the same data"
            )
    first_kept, second_kept = (each.only(common, splits) for each in pair)
    return Comparison(first=first_kept, second=second_kept, sealed=sealed)


def _targets(evaluation: Evaluation, splits: Collection[str]) -> dict[int, object]:
    """The targets by row, of the rows of some splits."""
    frame = evaluation.scored[evaluation.scored["split"].isin(splits)]
    return dict(zip(frame["row"], frame["target"], strict=True))


def _evaluation(given: Result | Evaluation) -> Evaluation:
    if isinstance(given, Result):
        return given.evaluation()
    if isinstance(given, Evaluation):
        return given
    raise InputError(
        f"results and evaluations are compared, got {type(given).__name__}; give study.run(...), open_result(...), "
        f"result.evaluation(trial) or evaluate(...)"
    )
