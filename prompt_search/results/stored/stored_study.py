"""A stored study: its winner, the verdict on it, its tables and what is said about it; read from the store alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from prompt_search.errors import StudyError
from prompt_search.llm.failures import kind_of
from prompt_search.prompts.prompt import Prompt
from prompt_search.results import tables, wording
from prompt_search.results.breakdowns import answers_remark, majority_of, one_answer, rows_of_all
from prompt_search.results.cut_prompts import MIN_CUT_PROMPTS, suspected_cut
from prompt_search.results.spent import spent_sentence, spent_so_far
from prompt_search.results.statistics import (
    NON_INFERIORITY_MARGIN,
    not_worse,
    paired_difference,
)
from prompt_search.results.stored.study_tables import StudyTables
from prompt_search.results.verdict import AnswerCounts, MeanScore, Verdict

if TYPE_CHECKING:
    from prompt_search.storage.optuna_mirror import OptunaStudy


MOSTLY = 0.5
"""Share of a prompt's answers above which those that could not be read are most of them."""

LOOKED_AT = 200
"""Number of prompts with the highest count of tokens, and of those below, whose length is compared with it."""


def test_remarks(
    verdict: Verdict, scores: Sequence[MeanScore], default: pd.DataFrame, counts: Mapping[str, AnswerCounts]
) -> list[str]:
    """What people must know beside a verdict, in sentences without their full stop: what the most frequent label
    reaches, a default prompt whose answers say little, and requests and answers that failed.

    Args:
        verdict: of the winner against the default prompt.
        scores: of the default prompt, and of the winner where it is another.
        default: the default prompt's test rows, see `tables.scored_frame`.
        counts: what came of the test requests, by whose they are.
    """
    remarks, counts = [], dict(counts)
    if verdict.majority_label is not None:
        means = zip((wording.DEFAULT_PROMPT, "the winner"), (score.mean for score in scores), strict=False)
        remarks.append(wording.majority_sentence(verdict, dict(means)))
    whose = wording.WHOSE_TEST["default"]
    if verdict == "better" and counts[whose].unparsed > MOSTLY * counts[whose].answers:
        remarks.append(wording.unread_baseline(counts[whose]))
        counts[whose] = replace(counts[whose], unparsed=0)  # is said already
    elif verdict == "better" and verdict.majority_label is not None and (found := one_answer(default)):
        remarks.append(wording.one_label_baseline(*found))
    return remarks + [remark for of, each in counts.items() for remark in wording.answer_remarks(of, each)]


class StoredStudy(StudyTables):
    """A stored study, finished or not: winner, verdict, headline, and the tables of `StudyTables`; the arguments are
    those of `StudyRecords`."""

    @property
    def best(self) -> Prompt:
        """The prompt to ship."""
        return self.prompt(self.best_trial)

    @property
    def baseline(self) -> Prompt:
        """The default prompt: the template with every choice at its first option."""
        return self.prompt(0)

    def simplest_trial(self, margin: float = NON_INFERIORITY_MARGIN) -> int:
        """The trial with the fewest prompt tokens (characters, where a server does not count tokens) among those that
        are with 95% probability no more than ``margin`` worse than the winner.

        It is the winner if no shorter prompt is known well enough; with more calls, more prompts are.

        Raises:
            StudyError: the study is unfinished.
        """
        if not self.finished:
            raise StudyError(f"the study {self.name!r} is unfinished; run it again to resume")
        sizes, _ = tables.prompt_sizes(self._table)
        winner = self._trial(self.best_trial)
        near = [winner.trial]
        for trial in self._trials:
            if trial.estimate is not None and trial.uncertainty is not None and winner.estimate is not None:
                near += [trial.trial] * not_worse(trial.estimate - winner.estimate, trial.uncertainty, margin)
        return int(min(near, key=lambda trial: (sizes[trial], trial != winner.trial)))

    def simplest(self, margin: float = NON_INFERIORITY_MARGIN) -> Prompt:
        """The prompt of `simplest_trial`.

        Raises:
            StudyError: the study is unfinished.
        """
        return self.prompt(self.simplest_trial(margin))

    @property
    def optuna_study(self) -> OptunaStudy:
        """The trials as an Optuna study, for its plots, its dashboard and ``trials_dataframe``.

        The first use writes it to the study's storage; from then on every run there updates its own Optuna study. The
        values are the surrogate's estimates. Optuna's importances are misleading for a study whose candidates
        were selected by a search.

        Raises:
            StudyError: the study is unfinished.
        """
        return self._store.optuna_study(self._study.version, lambda: self.headline)

    # The test

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the winner beats the default prompt on test rows."""
        return self.against(0)

    def compared_rows(self, trial: int = 0) -> pd.DataFrame:
        """The test rows on which both the winner and a trial have a score; see `tables.scored_frame`."""
        trials = dict.fromkeys([trial, self.best_trial])
        return rows_of_all(pd.concat([self._rows_of(each, "test") for each in trials]))

    def against(self, trial: int) -> Verdict:
        """Whether the winner beats a trial on the test rows that both were scored on; `verdict` for the default."""
        before, after = self.test_scores_by_row(trial), self.test_scores_by_row(self.best_trial)
        rows = sorted(before.keys() & after.keys())
        sent, columns = self.test_requests(trial), ([before[row] for row in rows], [after[row] for row in rows])
        found = paired_difference(*columns, bounds=self.score_range, requests=[sent[row] for row in rows])
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

    def test_score(self, trial: int) -> MeanScore:
        """The mean score of a trial on the test rows with its 95% confidence interval: (mean, low, high, rows).

        It is the mean over the rows on which the winner has a score as well; the winner's over those on which the
        default prompt has one. The scores are NaN, and the number of rows is 0, if the trial was not tested.
        """
        if trial == self.best_trial:
            return self._scores_beside(0)[1]
        return self._scores_beside(trial)[0]

    def _scores_beside(self, trial: int) -> tuple[MeanScore, MeanScore]:
        """The test scores of a trial and of the winner on the rows where both have one; where one of them has none at
        all, on the rows of the other."""
        own, winners = (
            {row: score for row, score in self.test_scores_by_row(each).items() if not math.isnan(score)}
            for each in (trial, self.best_trial)
        )
        shared = own.keys() & winners.keys() if own and winners else own.keys() | winners.keys()
        return self._mean_of(own, trial, shared), self._mean_of(winners, self.best_trial, shared)

    def _mean_of(self, scores: Mapping[int, float], trial: int, rows: Collection[int]) -> MeanScore:
        """The mean of a trial's test scores on some rows."""
        kept = [row for row in scores if row in rows]
        keys = self._test_keys(trial)
        return MeanScore.of([scores[row] for row in kept], self.score_range, [keys[row] for row in kept])

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
        return None if rows & {*of_trial} == rows & {*of_default} else self._scores_beside(trial)[1]

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

    # In words

    @property
    def headline(self) -> str:
        """The result in three lines: the test, the scores of the search, and what the study used; and one for each
        server that takes other requests than were to be sent."""
        if self._summary is None:
            return f"{self.name}: {wording.unfinished(len(self._trials))}"
        sentences = ". ".join([*self._first_remarks(), self._test_sentences(), *self._remarks()])
        return "\n".join([f"{self.name}: {sentences}.", *self._search_line(), self.spent, *self._summary.dialect])

    def _first_remarks(self) -> list[str]:
        """What people must know before they read a score: nothing was searched, or the answers tell nothing."""
        if self._summary is not None and self._summary.candidates[0] == 1:
            return [wording.NOTHING_TO_SEARCH]
        remark = answers_remark(self._scored, self.sent)
        return [] if remark is None else [remark]

    def _remarks(self) -> list[str]:
        """What people must know about the answers that the test scores come from."""
        remarks = []
        if self.verdict.rows > 1:
            scores = [self.test_score(trial) for trial in dict.fromkeys([0, self.best_trial])]
            remarks = test_remarks(self.verdict, scores, self._rows_of(0, "test"), self._tested_counts())
        return remarks if self.suspected_cut is None else [*remarks, wording.cut_prompts(self.suspected_cut)]

    def _test_sentences(self) -> str:
        verdict = self.verdict
        baseline = self.test_score(0)
        if verdict.rows < 2:
            return wording.no_verdict(self.untested_reason())
        if self.best_trial == 0:
            return wording.default_stays(baseline)
        sentence = wording.test_sentence(verdict, self.test_score(self.best_trial), baseline, self.test_uses)
        written = self.hand_written_trial
        if written in (None, 0):
            return sentence
        if written == self.best_trial:
            return f"{sentence}. {wording.WINNER_IS_HAND_WRITTEN}"
        other = self.against(written)
        if other.rows < 2:
            return sentence
        score, beside = self.test_score(written), self._winner_beside(written)
        return f"{sentence}. {wording.hand_written_sentence(other, score, beside)}"

    def _search_line(self) -> list[str]:
        """The scores that the search selected by, and the winner's corrected one; nothing without a selection."""
        scored = self._table.dropna(subset=["score"])
        winner = scored[scored["trial"] == self.best_trial]
        if winner.empty or len(scored) == 1:
            return []
        highest = scored.sort_values("score", ascending=False, kind="stable")
        (score, rows), (winner_score, winner_rows) = (
            (float(frame["score"].iloc[0]), self._search_scores(int(frame["trial"].iloc[0])))
            for frame in (highest, winner)
        )
        estimate = float(winner["estimate"].iloc[0])
        line = wording.search_sentence((score, rows), (winner_score, winner_rows), estimate, len(scored))
        best = scored.sort_values("estimate", ascending=False, kind="stable").iloc[0]
        if round(best["estimate"], 3) > round(estimate, 3):
            rescored = self._summary is not None and self._summary.rescored
            remark = wording.better_now if rescored else wording.higher_estimate
            line += f" {remark(int(best['trial']), float(best['estimate']))}"
        return [line]

    def _search_scores(self, trial: int) -> int:
        """The number of search rows on which a trial has a score."""
        return int(self._rows_of(trial, "search")["score"].notna().sum())

    def untested_reason(self) -> str:
        """Why the study has no comparison on test rows."""
        if self._summary is None:
            return wording.IS_UNFINISHED
        tested = self._scored[self._scored["split"] == "test"]
        reason = wording.untested_reason(tested["error"].dropna().tolist(), len(tested), self._summary.tested)
        errors = [error for error in self._scored["error"].dropna() if kind_of(error) != "budget"]
        if reason or (errors and len(errors) == len(self._scored)):
            return reason or wording.nothing_answered(errors)
        if self._summary.held_out_rows < 2:
            return wording.ONE_TEST_ROW if self._summary.held_out_rows else wording.NO_TEST_ROWS
        return wording.no_room_to_test(self._summary.scarcest, self._summary.budget)

    @property
    def spent(self) -> str:
        """What the study used, in one sentence."""
        summary = self._summary
        if summary is None:
            return spent_so_far(*tables.spent(self.ledger_df()), self._store.responses.lost(self._study.study))
        if summary.rescored:
            return wording.rescored(summary.rescored["of"], summary.metric, summary.rescored["metric"])
        return spent_sentence(
            calls=summary.calls,
            model=summary.model,
            cached=summary.reused,
            tokens=summary.tokens,
            usd=summary.usd,
            seconds=summary.seconds,
            budget=summary.budget,
            tried=len(self._trials),
            candidates=summary.candidates[0],
            unscored=int(self._table["score"].isna().sum()),
            lost=summary.lost,
        )
