"""The comparison of two prompts on the same rows: the difference, rows won and lost, and how the prompts differ."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from prompt_search import _html
from prompt_search.errors import InputError
from prompt_search.metrics.ranges import Range
from prompt_search.results import tables, wording
from prompt_search.results.breakdowns import majority_of, rows_of_all
from prompt_search.results.evaluation import Evaluation
from prompt_search.results.frames import answer_text
from prompt_search.results.lines import titles
from prompt_search.results.statistics import paired_difference
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.verdict import MeanScore, Verdict
from prompt_search.results.view import Bar, Column, View, to_html

COMPARED_COLUMNS = (
    "row", "target", "outcome", "change", "first_score", "second_score", "first_answer", "second_answer",
    "first_response", "second_response",
)  # fmt: skip
OUTCOMES = ("won", "lost", "equal", "failed")
TEST_SPLITS = ("test", "evaluation")
"""The splits whose rows no search selected a prompt by."""

SHOWN_ROWS = 10
"""Number of won and lost rows that a printed comparison shows."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The comparison of a second prompt with a first one, as `compare` returns it.

    Args:
        first: the first prompt with its scores on the common rows.
        second: the second prompt with its scores on the same rows.
        sealed: whether no search selected a prompt by these rows; if False, the difference is optimistic.
    """

    first: Evaluation
    second: Evaluation
    sealed: bool

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the second is better, with the difference (second minus first), its 95% interval, p, rows won and
        lost."""
        frame = self.rows_df()
        scores = frame["first_score"].tolist(), frame["second_score"].tolist()
        labels = rows_of_all(pd.concat([each.scored.assign(trial=place) for place, each in enumerate(self._both)]))
        forms = [each.prompt.answer for each in self._both if each.prompt.answer]
        majority = majority_of(labels, {"answers": forms})
        requests = self._requests.loc[frame["row"]].itertuples(index=False, name=None)
        return Verdict.of(paired_difference(*scores, bounds=self._range, requests=list(requests)), majority)

    @cached_property
    def _requests(self) -> pd.DataFrame:
        """The keys of both prompts' requests, by row."""
        sent = [each.scored.drop_duplicates("row").set_index("row")["key"] for each in self._both]
        return pd.concat(sent, axis=1, keys=("first_score", "second_score"))

    @property
    def _both(self) -> tuple[Evaluation, Evaluation]:
        return self.first, self.second

    @property
    def _range(self) -> Range:
        return self.first.score_range.joined(self.second.score_range)

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

        Columns: ``row`` position in the data; ``target``; ``outcome`` of the second prompt: won, lost, equal, or failed
        where the row is missing, because a request of either failed and that was not the prompt's fault; ``change`` of
        the score, second minus first; ``…_score``, ``…_answer`` and ``…_response`` of both prompts.
        """
        return self._rows.copy()

    def choices_df(self) -> pd.DataFrame:
        """One row per choice in which the prompts differ: ``choice``, ``first`` and ``second`` text of the option, None
        where the choice is inactive."""
        before, after = self.first.prompt.choices, self.second.prompt.choices
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        lines = [(name, before.get(name), after.get(name)) for name in names]
        return pd.DataFrame(lines, columns=["choice", "first", "second"], dtype=object)

    @property
    def diff(self) -> str:
        """A unified diff from the first prompt's text to the second's; empty where they are the same."""
        return self.first.prompt.diff(self.second.prompt)

    @property
    def scores(self) -> dict[str, MeanScore]:
        """The mean score of both, by name, on the rows where both have a score: (mean, low, high, rows)."""
        frame = self._rows.dropna(subset=["change"])
        columns = ("first_score", "second_score")
        requests = self._requests.loc[frame["row"]]
        return {
            name: MeanScore.of(frame[column].tolist(), self._range, requests[column].tolist())
            for name, column in zip(self.names, columns, strict=True)
        }

    @property
    def names(self) -> tuple[str, str]:
        """The names of the two; with their place where both have the same name."""
        first, second = self.first.name, self.second.name
        return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")

    @property
    def headline(self) -> str:
        """The comparison in one or two lines."""
        first, second = self.scores.values()
        sentences = [wording.comparison_sentence(self.verdict, self.names, (first, second))]
        if self.verdict.majority_label is not None and self.verdict.rows > 1:
            means = dict(zip(self.names, (first.mean, second.mean), strict=True))
            sentences.append(f"{wording.majority_sentence(self.verdict, means)}.")
        for name, each in zip(self.names, (self.first, self.second), strict=True):
            sentences += [f"{remark}." for remark in wording.answer_remarks(f"{name}'s", each.counts)]
        return " ".join(sentences) + ("" if self.sealed else f"\n{wording.CHOSEN_BY_THESE_ROWS}")

    def __repr__(self) -> str:
        changed = self.changed()
        rows = changed.to_string(index=False, float_format="{:+.3f}".format) if len(changed) else wording.NO_ROW_DIFFERS
        return "\n\n".join([self.headline, rows, self.diff or wording.SAME_TEXT])

    def changed(self, most: int = SHOWN_ROWS, width: int = 60) -> pd.DataFrame:
        """The rows won and lost, the largest changes first: ``row``, ``outcome``, ``change``, ``target``, and the
        answers ``first`` and ``second``; each text is one line of at most ``width`` characters."""
        frame = self._rows[self._rows["outcome"].isin(["won", "lost"])].head(most)
        texts = {
            new: frame[old].map(lambda value: "" if value is None else _html.clipped(answer_text(value), width))
            for new, old in (("target", "target"), ("first", "first_answer"), ("second", "second_answer"))
        }
        return frame[["row", "outcome", "change"]].assign(**texts)

    def _repr_html_(self) -> str:
        return _html.block(
            _html.verdict(self.verdict, self.headline),
            to_html(scores_view(self)),
            to_html(changed_view(self, width=200)),
            _html.fill("<div><b>{}</b></div>{}", titles.DIFFERENT_TEXT, _html.diff(self.diff)),
        )


def scores_view(comparison: Comparison) -> View:
    """The scores of both prompts on the rows that both were scored on."""
    return View(
        title=titles.compared_rows_title(comparison.sealed),
        columns=(
            Column("prompt"),
            Column("score", "number", ".3f"),
            Column("95% interval", "bar", ".2f"),
            Column("rows", "number"),
        ),
        rows=tuple(
            (name, mean, Bar(mean, low, high), rows) for name, (mean, low, high, rows) in comparison.scores.items()
        ),
    )


def changed_view(comparison: Comparison, most: int = SHOWN_ROWS, width: int = 60) -> View:
    """The rows won and lost by the second prompt, the largest changes first; see `Comparison.changed`."""
    first, second = comparison.names
    frame = comparison.changed(most, width)
    known = next((each.texts for each in (comparison.first, comparison.second) if each.texts is not None), None)
    texts = {} if known is None else known(frame["row"].tolist())
    view = View(
        title=titles.changed_rows_title(comparison.verdict),
        columns=(
            Column("row", "number"),
            Column("outcome"),
            Column("change", "number", "+.3f"),
            Column(titles.ROW_TEXT, lines=4),
            Column("target"),
            Column(first),
            Column(second),
        ),
        rows=tuple(
            (row, outcome, change, _html.clipped(texts.get(row, ""), width), *others)
            for row, outcome, change, *others in frame.itertuples(index=False, name=None)
        ),
    )
    return view if texts else view.without(titles.ROW_TEXT)


def compare(first: StoredStudy | Evaluation, second: StoredStudy | Evaluation) -> Comparison:
    """Compare two prompts on the rows that both were scored on: the winners of two results, or evaluations.

    If both have at least two rows in common that no search used (test rows or rows of `evaluate`), only these are
    compared. Else all common rows are compared, and the comparison says that it is optimistic.

    Args:
        first: the result of a finished or unfinished study (its winner), ``result.evaluation(trial)``, or the result
            of `evaluate`.
        second: the other one; the difference is this one minus the first.

    Raises:
        InputError: an argument is something else, there are fewer than two common rows, or the two have other data or
            another metric.
    """
    pair = [_evaluation(each) for each in (first, second)]
    metrics = [each.metric for each in pair]
    if None not in metrics and metrics[0] != metrics[1]:
        raise InputError(
            f"scores by {metrics[0]} and by {metrics[1]} cannot be compared; rescore one study by the other's metric"
        )
    splits: Collection[str] = TEST_SPLITS
    targets = [_targets(each, TEST_SPLITS) for each in pair]
    sealed = len(targets[0].keys() & targets[1].keys()) >= 2
    if not sealed:
        splits, targets = tables.SPLITS, [_targets(each, tables.SPLITS) for each in pair]
    common = targets[0].keys() & targets[1].keys()
    if len(common) < 2:
        raise InputError(
            f"a comparison needs at least 2 rows that both prompts were scored on, not {len(common)}; evaluate both "
            "on the same rows"
        )
    for row in sorted(common):
        if targets[0][row] != targets[1][row]:
            raise InputError(
                f"row {row} has the target {targets[0][row]!r} in the first and {targets[1][row]!r} in the second; "
                "compare prompts on the same data"
            )
    first_kept, second_kept = (each.only(common, splits) for each in pair)
    return Comparison(first=first_kept, second=second_kept, sealed=sealed)


def _targets(evaluation: Evaluation, splits: Collection[str]) -> dict[int, object]:
    """The targets of the rows of some splits, by row."""
    frame = evaluation.scored[evaluation.scored["split"].isin(splits)]
    return dict(zip(frame["row"], frame["target"], strict=True))


def _evaluation(given: StoredStudy | Evaluation) -> Evaluation:
    if isinstance(given, StoredStudy):
        return given.evaluation()
    if isinstance(given, Evaluation):
        return given
    raise InputError(
        f"compare takes results and evaluations, not {type(given).__name__}; give study.run(...), open_result(...), "
        "result.evaluation(trial) or evaluate(...)"
    )
