"""The test of a stored study: its verdict, and the scores of winner and baselines on the test rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cached_property

import pandas as pd

from prompt_search.metrics.ranges import Range
from prompt_search.results import wording
from prompt_search.results.breakdowns import majority_of, rows_of_all
from prompt_search.results.cut_prompts import MIN_CUT_PROMPTS, suspected_cut
from prompt_search.results.statistics import paired_difference
from prompt_search.results.stored.study_tables import StudyTables
from prompt_search.results.verdict import AnswerCounts, MeanScore, Verdict

LOOKED_AT = 200
"""Number of prompts with the highest count of tokens, and of those below, whose length is compared with it."""


class StudyTest(StudyTables):
    """The test of a stored study; the arguments are those of `StudyRecords`."""

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the winner beats the default prompt on test rows."""
        return self.against(0)

    def compared_rows(self, trial: int = 0) -> pd.DataFrame:
        """The test rows on which both the winner and a trial have a score; see `tables.scored_frame`."""
        trials = dict.fromkeys([trial, self.best_trial])
        return rows_of_all(pd.concat([self._rows_of(each, "test") for each in trials]))

    def against(self, trial: int) -> Verdict:
        """Whether the winner beats a trial on the test rows that both were scored on; `verdict` for the default. Where
        costs are weighed, values are compared instead of scores."""
        before, after = self.test_values_by_row(trial), self.test_values_by_row(self.best_trial)
        rows = sorted(before.keys() & after.keys())
        sent, columns = self.test_requests(trial), ([before[row] for row in rows], [after[row] for row in rows])
        found = paired_difference(*columns, bounds=self.value_range, requests=[sent[row] for row in rows])
        return Verdict.of(found, majority_of(self.compared_rows(trial), self.identity))

    def test_requests(self, trial: int) -> dict[int, tuple[str, str]]:
        """The keys of the requests that a trial and the winner were tested with, by row; rows with the same ones
        repeat each other."""
        own, winners = self._test_keys(trial), self._test_keys(self.best_trial)
        return {row: (own[row], winners[row]) for row in own.keys() & winners.keys()}

    def _test_keys(self, trial: int) -> dict[int, str]:
        """The keys of the requests that a trial was tested with, by row."""
        tested = self._rows_of(trial, "test")
        return dict(zip(tested["row"].tolist(), tested["key"].tolist(), strict=True))

    def test_scores_by_row(self, trial: int) -> dict[int, float]:
        """A trial's scores on the test rows, by row; NaN where the request failed and that was not its fault."""
        tested = self._rows_of(trial, "test")
        return dict(zip(tested["row"].tolist(), tested["score"].tolist(), strict=True))

    def test_values_by_row(self, trial: int) -> dict[int, float]:
        """What a trial is worth on the test rows by what was maximized; that is its score unless costs are weighed."""
        scores = self.test_scores_by_row(trial)
        if self.objective is None or not scores:
            return scores
        tested = self._rows_of(trial, "test")
        penalties = dict(zip(tested["row"].tolist(), self._penalties.loc[tested.index].tolist(), strict=True))
        return {row: self.objective.score * score - penalties[row] for row, score in scores.items()}

    def test_value(self, trial: int) -> MeanScore:
        """What a trial is worth on the test rows by what was maximized, on the rows of `test_score`."""
        first, winner = self._scores_beside(0 if trial == self.best_trial else trial, valued=True)
        return winner if trial == self.best_trial else first

    def test_score(self, trial: int) -> MeanScore:
        """The mean score of a trial on the test rows with its 95% confidence interval: (mean, low, high, rows).

        It is the mean over the rows on which the winner has a score as well; the winner's over those on which the
        default prompt has one. The scores are NaN, and the number of rows is 0, if the trial was not tested.
        """
        if trial == self.best_trial:
            return self._scores_beside(0)[1]
        return self._scores_beside(trial)[0]

    def _scores_beside(self, trial: int, *, valued: bool = False) -> tuple[MeanScore, MeanScore]:
        """The test scores of a trial and of the winner on the rows where both have one; where one of them has none at
        all, on the rows of the other. With ``valued`` their values."""
        by_row = self.test_values_by_row if valued else self.test_scores_by_row
        bounds = self.value_range if valued else self.score_range
        own, winners = (
            {row: score for row, score in by_row(each).items() if not math.isnan(score)}
            for each in (trial, self.best_trial)
        )
        shared = own.keys() & winners.keys() if own and winners else own.keys() | winners.keys()
        return self._mean_of(own, trial, shared, bounds), self._mean_of(winners, self.best_trial, shared, bounds)

    def _mean_of(self, scores: Mapping[int, float], trial: int, rows: Collection[int], bounds: Range) -> MeanScore:
        """The mean of a trial's test scores on some rows."""
        kept = [row for row in scores if row in rows]
        keys = self._test_keys(trial)
        return MeanScore.of([scores[row] for row in kept], bounds, [keys[row] for row in kept])

    @property
    def hand_written_trial(self) -> int | None:
        """The best of the prompts that the user enqueued, by their estimates; None without any."""
        return None if self._summary is None else self._summary.hand_written

    @property
    def tested(self) -> dict[str, int]:
        """The trials that were scored on the test rows, by name: default, best written by hand, winner."""
        trials = {"default": 0}
        if self.hand_written_trial not in (None, 0, self.best_trial):
            trials["hand_written"] = self.hand_written_trial
        if self.best_trial != 0:
            trials["winner"] = self.best_trial
        tested = {key: trial for key, trial in trials.items() if self.test_score(trial).rows}
        return {self._name_of_tested(key, trial): trial for key, trial in tested.items()}

    def _name_of_tested(self, key: str, trial: int) -> str:
        name = wording.PROMPT_NAMES[key]
        beside = self._winner_beside(trial)
        return name if beside is None else wording.on_other_rows(name, beside)

    def _winner_beside(self, trial: int) -> MeanScore | None:
        """The winner's score on the test rows that a trial has scores on; None where these are the rows on which winner
        and default are compared, and for the winner itself."""
        if trial == self.best_trial:
            return None
        of_trial, of_default = (
            [row for row, score in self.test_scores_by_row(each).items() if not math.isnan(score)]
            for each in (trial, 0)
        )
        winners = self.test_scores_by_row(self.best_trial)
        rows = {row for row, score in winners.items() if not math.isnan(score)}
        if rows & {*of_trial} == rows & {*of_default}:
            return None
        return self._scores_beside(trial, valued=self.weighs_costs)[1]

    def _tested_counts(self) -> dict[str, AnswerCounts]:
        """What came of the test requests of each tested prompt, by whose they are."""
        whose = {0: wording.WHOSE_TEST["default"]}
        if self.hand_written_trial is not None:
            whose.setdefault(self.hand_written_trial, wording.WHOSE_TEST["hand_written"])
        if self.best_trial:
            whose[self.best_trial] = wording.WHOSE_TEST["winner"]
        return {name: self.test_counts(trial) for trial, name in whose.items()}

    def test_counts(self, trial: int) -> AnswerCounts:
        """What came of a trial's test requests: how many failed, could not be read, or were ambiguous."""
        return AnswerCounts.of(self._rows_of(trial, "test"))

    @cached_property
    def suspected_cut(self) -> int | None:
        """The number of prompt tokens at which the server seems to cut prompts off; None without a sign of that."""
        own = self._calls[self._calls["key"].isin(self._scored["key"])]  # not those of other results of the study
        known = own.dropna(subset=["prompt_tokens"]).sort_values("prompt_tokens", ascending=False)
        if (known["prompt_tokens"] == known["prompt_tokens"].max()).sum() < MIN_CUT_PROMPTS:
            return None  # without reading what was sent
        highest = known["prompt_tokens"] == known["prompt_tokens"].max()
        looked_at = pd.concat([known[highest].head(LOOKED_AT), known[~highest].head(LOOKED_AT)])
        sent = self.sent(looked_at["key"].tolist())
        pairs = [
            (" ".join(content for _, content in sent[key]), tokens)
            for key, tokens in zip(looked_at["key"], looked_at["prompt_tokens"].tolist(), strict=True)
            if key in sent
        ]
        return suspected_cut([prompt for prompt, _ in pairs], [tokens for _, tokens in pairs])

    @property
    def test_uses(self) -> int:
        """The number of different tests of winners on this study's test rows until its own test was done, those of
        other studies in the storage included. A test that gives the same winner the same scores again is no new one.

        Whoever continues the search after reading the test result, and tests again, selects by the test. From the
        second use on, confidence intervals and p are optimistic.
        """
        summary = self._summary
        return 0 if summary is None else summary.test_uses or self._store.test_uses(summary.sealed)

    @property
    def openings(self) -> int:
        """The former name of `test_uses`."""
        return self.test_uses
