"""A stored study: its winner, the verdict on it, its tables and what is said about it; read from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from prompt_search.errors import StudyError
from prompt_search.llm.failures import kind_of
from prompt_search.prompts.prompt import Prompt
from prompt_search.results import tables, wording
from prompt_search.results.breakdowns import answers_remark, one_answer
from prompt_search.results.frames import with_columns_of
from prompt_search.results.judged.people import PeopleVerdict, people_sheet, people_verdict
from prompt_search.results.lines import growth
from prompt_search.results.lines.judge import judge_sentence, whose_scores
from prompt_search.results.lines.task import task_sentence
from prompt_search.results.objective.caps import CapStanding
from prompt_search.results.objective.wording import (
    NOT_SHOWN,
    better_but_not_known,
    by_the_objective,
    cost_sentence,
    scores_alone,
    winner_breaks_caps,
)
from prompt_search.results.spent import spent_sentence, spent_so_far, totals
from prompt_search.results.statistics import (
    NON_INFERIORITY_MARGIN,
    not_worse,
)
from prompt_search.results.stored.study_test import StudyTest
from prompt_search.results.verdict import AnswerCounts, MeanScore, Verdict
from prompt_search.storage.records import JUDGE

if TYPE_CHECKING:
    from prompt_search.storage.optuna_mirror import OptunaStudy


MOSTLY = 0.5
"""Share of a prompt's answers above which those that could not be read are most of them."""


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


class StoredStudy(StudyTest):
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
            if self.cap_of(trial.trial) == "over":
                continue
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

    @property
    def headline(self) -> str:
        """The result in three lines: the test, the scores of the search, and what the study used; and one for each
        server that takes other requests than were to be sent."""
        if self._summary is None:
            return f"{self.name}: {wording.unfinished(len(self._trials))}"
        sentences = ". ".join(
            [*self._first_remarks(), self._test_sentences(), *self._cost_sentences(), *self._remarks()]
        )
        used = " ".join([self.spent, *self._judge_line(), *self._proposer_line(), *self._task_line()])
        prior = [self._summary.prior] if self._summary.prior else []
        return "\n".join([f"{self.name}: {sentences}.", *self._search_line(), used, *prior, *self._summary.dialect])

    @property
    def cap(self) -> CapStanding | None:
        """Whether the winner keeps the caps of the objective, by all its rows: ``under``, ``over`` or ``not known``;
        None without caps."""
        return self.cap_of(self.best_trial)

    def cap_of(self, trial: int) -> CapStanding | None:
        """`cap` of another trial."""
        return self.cap_standings.get(trial, "not known") if self.objective and self.objective.caps else None

    def _cost_sentences(self) -> list[str]:
        """What winner and default cost, in the quantities that the objective is about."""
        if self.objective is None:
            return []
        caps = {cap.quantity: cap for cap in self.objective.caps}
        trials = {"the winner": self.best_trial} if self.best_trial else {}
        trials[wording.DEFAULT_PROMPT] = 0
        found = {
            quantity: {who: costs[trial] for who, trial in trials.items() if trial in costs}
            for quantity, costs in self._mean_costs.items()
        }
        return [cost_sentence(quantity, caps.get(quantity), costs) for quantity, costs in found.items() if costs]

    def _proposer_line(self) -> list[str]:
        """What the proposer took, and what it gave; nothing where none was to be asked, and for a rescored study."""
        if self._growth is None or (self._summary is not None and self._summary.rescored):
            return []
        return [growth.proposer_sentence(self._growth)]

    def _task_line(self) -> list[str]:
        """How many calls rows took with a task; nothing without one."""
        task = self.identity.get("task")
        if task is None or "calls" not in self._scored:
            return []
        return [task_sentence(str(task["name"]), float(self._scored["calls"].mean()))]

    def _judge_line(self) -> list[str]:
        """What the judge took; nothing without one, and for a rescored study."""
        judge = self.identity.get("judge")
        if judge is None or (self._summary is not None and self._summary.rescored):
            return []
        asked = self.ledger_df()
        asked = asked[asked["role"] == JUDGE]
        _, tokens, usd = totals(asked)
        calls, reused = int(asked["requests"].sum()), int(asked["reused"].sum())
        return [judge_sentence(judge["model"], calls=calls, reused=reused, tokens=tokens, usd=usd)]

    @with_columns_of(people_sheet)
    def people_sheet(self, rows: int | None = None, seed: int = 0) -> pd.DataFrame:
        """The answers of default and winner to some test rows, by default 30 of them, for people to rate as the judge
        did."""
        return people_sheet(self, rows, seed)

    def people_verdict(self, sheet: pd.DataFrame) -> PeopleVerdict:
        """The verdict that people's ratings of some test rows and the judge's of all give, see `corrected_mean`.

        Args:
            sheet: `people_sheet` with the column ``human`` filled in: numbers on the judge's scale, or its labels. A
                line may be there several times, for several people; one without a rating is left out.

        Raises:
            StudyError: the study has no judge that rates single answers or no comparison on test rows, or the sheet
                has too few ratings.
            InputError: a rating is not on the scale.
        """
        return people_verdict(self, sheet)

    def _first_remarks(self) -> list[str]:
        """What people must know before they read a score: nothing was searched, or the answers tell nothing."""
        if self._summary is not None and self._summary.candidates[0] == 1:
            return [wording.NOTHING_TO_SEARCH]
        remark = answers_remark(self._scored, self.sent)
        remarks = [] if remark is None else [remark]
        if self.objective is not None and self.cap not in (None, "under"):
            remarks.append(winner_breaks_caps(self.objective, self.cap, self.best_trial))
        return remarks

    def _remarks(self) -> list[str]:
        """What people must know about the answers that the test scores come from."""
        judge = self.identity.get("judge")
        remarks = [] if judge is None else [whose_scores(judge["model"], judge["template"])]
        if self.verdict.rows > 1:
            scores = [self.test_score(trial) for trial in dict.fromkeys([0, self.best_trial])]
            remarks += test_remarks(self.verdict, scores, self._rows_of(0, "test"), self._tested_counts())
        return remarks if self.suspected_cut is None else [*remarks, wording.cut_prompts(self.suspected_cut)]

    def _test_sentences(self) -> str:
        verdict = self.verdict
        baseline = self.test_score(0)
        if verdict.rows < 2:
            return ". ".join([wording.no_verdict(self.untested_reason()), *self._untested_growth()])
        none_won = [growth.none_won(self._growth.accepted)] if self._growth and self._growth.requests else []
        if self.best_trial == 0:
            return ", and ".join([wording.default_stays(baseline), *none_won])
        by = by_the_objective(self.objective) if self.objective is not None and self.weighs_costs else ""
        values = self.test_value(self.best_trial), self.test_value(0)
        sentence = wording.test_sentence(verdict, *values, self.test_uses, by)
        if by:
            scores = wording.score_text(self.test_score(self.best_trial)), wording.score_text(baseline)
            sentence += f". {scores_alone(*scores)}"
        if self._growth and self._growth.in_winner:
            sentence += f". {growth.in_winner(self._growth.in_winner)}"
            none_won = []
        return ". ".join([sentence, *self._against_hand_written(none_won)])

    def _untested_growth(self) -> list[str]:
        """Which texts of a winner that was not tested were proposed; nothing where none were."""
        if not self._growth or not self._growth.requests:
            return []
        if self._growth.in_winner:
            return [growth.in_winner(self._growth.in_winner, "The winner's")]
        return [": ".join([wording.WINNER_IS_HAND_WRITTEN, growth.none_won(self._growth.accepted)])]

    def _against_hand_written(self, none_won: Sequence[str]) -> list[str]:
        """The comparison of the winner with the best prompt written by hand; with the default there is one already.

        Args:
            none_won: what is said where the winner has no proposed text, and some were proposed.
        """
        written = self.hand_written_trial
        if written == self.best_trial or none_won:
            return [": ".join([wording.WINNER_IS_HAND_WRITTEN, *none_won])]
        if written is None:
            return []
        if written == 0:
            return [growth.DEFAULT_IS_BEST_BY_HAND] if self._growth and self._growth.in_winner else []
        other = self.against(written)
        if other.rows < 2:
            return []
        return [wording.hand_written_sentence(other, self.test_value(written), self._winner_beside(written))]

    def _search_line(self) -> list[str]:
        """The scores that the search selected by, and the winner's corrected one; nothing without a selection."""
        scored = self.score_table().dropna(subset=["score"])
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
        if self.cap == "over":
            return [line]
        able = self._table[~self._table["trial"].map(self.cap_standings).eq("over")].dropna(subset=["score"])
        best = able.sort_values("estimate", ascending=False, kind="stable").iloc[0]
        if round(best["estimate"], 3) > round(float(able.set_index("trial")["estimate"][self.best_trial]), 3):
            rescored = self._summary is not None and self._summary.rescored
            remark = wording.better_now if rescored else wording.higher_estimate
            if self.cap_of(int(best["trial"])) == "not known" or best["reason"].endswith(NOT_SHOWN):
                remark = better_but_not_known
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
            return spent_so_far(*totals(self.ledger_df()), self._store.responses.lost(self._study.study))
        if summary.rescored:
            return wording.rescored(summary.rescored["of"], summary.metric, summary.rescored["metric"])
        unsent = int((self._table["state"].eq("pruned") & self._table["rows"].eq(0)).sum())  # expected over a cap
        return spent_sentence(
            calls=summary.calls,
            model=summary.model,
            cached=summary.reused,
            tokens=summary.tokens,
            usd=summary.usd,
            seconds=summary.seconds,
            budget=summary.budget,
            tried=len(self._trials) - unsent,
            candidates=summary.candidates[0],
            unscored=int(self._table["score"].isna().sum()) - unsent,
            batched=summary.batched,
            lost=summary.lost,
            unused=summary.unused,
        )
