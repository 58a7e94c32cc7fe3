"""The result of a cross-fitted study: a search over all rows, and searches that each leave out a part of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from prompt_search import _html
from prompt_search.prompts.prompt import Prompt
from prompt_search.report.result import Result
from prompt_search.report.wording import FOLDS_TITLE, PROMPT_TO_SHIP
from prompt_search.results import breakdowns, wording
from prompt_search.results.breakdowns import majority_of
from prompt_search.results.objective.wording import by_the_objective, scores_alone
from prompt_search.results.statistics import paired_difference
from prompt_search.results.stored.stored_study import test_remarks
from prompt_search.results.verdict import AnswerCounts, MeanScore, Verdict
from prompt_search.results.view import Column, View, to_html, to_text


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """The result of `Study.cross_fit`: a search over all rows, and a test of such searches on all rows.

    Args:
        result: the search over all rows, whose winner is the prompt to ship. It has no test rows.
        folds: the results of the searches that each leave out a part of the rows, and test their winner on that part.
    """

    result: Result
    folds: Sequence[Result]

    @property
    def best(self) -> Prompt:
        """The prompt to ship."""
        return self.result.best

    @cached_property
    def verdict(self) -> Verdict:
        """Whether winners beat the default prompt on rows that their searches never saw, over all folds."""
        before, after, requests = self._scored(valued=True)
        rows = pd.concat([fold.compared_rows() for fold in self.folds])
        majority = majority_of(rows, self.result.identity)
        found = paired_difference(before, after, bounds=self.result.value_range, requests=requests)
        return Verdict.of(found, majority)

    def _scored(self, *, valued: bool) -> tuple[list[float], list[float], list[tuple[str, str]]]:
        """The scores of default and winners on the rows where both were tested, NaN where a row is missing, and the
        keys of their requests; ``valued``: their values by what was maximized."""
        found = [
            (before[row], after[row], sent[row])
            for fold in self.folds
            for by_row in [fold.test_values_by_row if valued else fold.test_scores_by_row]
            for before, after in [(by_row(0), by_row(fold.best_trial))]
            for sent in [fold.test_requests(0)]
            for row in sorted(before.keys() & after.keys())
        ]
        return [before for before, _, _ in found], [after for _, after, _ in found], [sent for _, _, sent in found]

    @property
    def test_scores(self) -> tuple[MeanScore, MeanScore]:
        """The mean scores of default and winners on the rows that their searches did not use: (mean, low, high, rows)
        each."""
        return self._means(valued=False)

    def _means(self, *, valued: bool) -> tuple[MeanScore, MeanScore]:
        """The mean scores or values of default and winners."""
        found = [each for each in zip(*self._scored(valued=valued), strict=True) if not math.isnan(each[0] + each[1])]
        bounds = self.result.value_range if valued else self.result.score_range
        return (
            MeanScore.of([before for before, _, _ in found], bounds, [sent[0] for _, _, sent in found]),
            MeanScore.of([after for _, after, _ in found], bounds, [sent[1] for _, _, sent in found]),
        )

    def _remarks(self) -> list[str]:
        """What people must know about the answers that the test scores come from."""
        counts = {
            wording.WHOSE_TEST["default"]: AnswerCounts.total([fold.test_counts(0) for fold in self.folds]),
            wording.WINNERS_TEST: AnswerCounts.total([fold.test_counts(fold.best_trial) for fold in self.folds]),
        }
        default = pd.concat([fold.trial_samples(0) for fold in self.folds])
        return test_remarks(self.verdict, self.test_scores, default, counts)

    def folds_df(self) -> pd.DataFrame:
        """One row per fold.

        Columns: ``study`` stored name of the fold's search; ``winner`` its trial; ``changes`` the winner's choices that
        differ from the default's; ``rows`` number of test rows; ``default_score`` and ``winner_score`` on them.
        """
        return breakdowns.folds_frame(
            [
                {
                    "study": fold.name,
                    "winner": fold.best_trial,
                    "changes": fold.changes(fold.best_trial, 60),
                    "rows": fold.verdict.rows,
                    "default_score": fold.test_score(0).mean,
                    "winner_score": fold.test_score(fold.best_trial).mean,
                }
                for fold in self.folds
            ]
        )

    @property
    def headline(self) -> str:
        """The result in two lines: the test over all folds, and the prompt that ships."""
        summaries = [each.summary for each in (*self.folds, self.result)]
        calls, tokens = (sum(int(summary[name]) for summary in summaries) for name in ("calls", "tokens"))
        prices = [summary["usd"] for summary in summaries]
        ships = wording.cross_fit_ships(calls, tokens, None if None in prices else sum(prices))
        if self.verdict.rows < 2:
            sentence = wording.no_verdict(self.folds[0].untested_reason())
        else:
            baseline, winner = self._means(valued=True)
            objective = self.result.objective
            by = by_the_objective(objective) if objective is not None and objective.weighs else ""
            sentence = wording.cross_fit_sentence(self.verdict, winner, baseline, len(self.folds), by)
            if by:
                scores = [wording.score_text(score) for score in reversed(self.test_scores)]
                sentence += f". {scores_alone(*scores)}"
        return f"{self.result.name}: {'. '.join([sentence, *self._remarks()])}.\n{ships}"

    def __repr__(self) -> str:
        return f"{self.headline}\n\n{to_text(folds_view(self))}"

    def _repr_html_(self) -> str:
        return _html.block(
            _html.verdict(self.verdict, self.headline),
            to_html(folds_view(self)),
            _html.details(PROMPT_TO_SHIP, _html.messages(self.best.turns)),
        )


def folds_view(found: CrossFit) -> View:
    """The searches of the folds, with the scores of default and winner on the rows that they never saw."""
    return View(
        title=FOLDS_TITLE,
        columns=(
            Column("search"),
            Column("rows", "number"),
            Column("default", "number", ".3f"),
            Column("its winner", "number", ".3f"),
            Column("its winner differs from the default in"),
        ),
        rows=tuple(
            (record["study"], record["rows"], record["default_score"], record["winner_score"], record["changes"])
            for record in found.folds_df().to_dict("records")
        ),
    )
