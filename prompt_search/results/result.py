"""What came out of a study: the headline, the verdict, the winner, and every table; read from the store alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from prompt_search import _html
from prompt_search._json import checked, reading
from prompt_search.errors import InputError, StorageError, StudyError
from prompt_search.prompts.prompt import Prompt
from prompt_search.results import tables
from prompt_search.results.statistics import Difference, mean_interval, not_worse, paired_difference
from prompt_search.storage.records import StudyRecord, TrialRecord
from prompt_search.storage.store import Store, shown_url

if TYPE_CHECKING:
    import optuna

    from prompt_search.data.dataset import Dataset, Row

RANKED = 10
"""How many prompts a printed ranking shows."""

FAILED = 5
"""How many of the worst rows of an evaluation a notebook shows."""

FINALISTS = 10
"""How many prompts are set against each other row by row."""

Score = tuple[float, float, float, int]
"""Mean, the ends of its 95% interval, number of rows."""

MARGIN = 0.02
"""How much worse than the winner a simpler prompt may be."""


class Verdict(str):
    """``better``, ``not shown`` or ``worse``: whether the winner beats the default prompt on sealed rows.

    Attributes (from `statistics.Difference`): ``difference`` winner minus default, with its 95% interval
    ``low``, ``high``; ``p``; ``rows`` compared; ``won`` and ``lost`` rows; ``detectable``, the difference that so
    many rows show four times in five.
    """

    difference: float
    low: float
    high: float
    p: float
    rows: int
    won: int
    lost: int
    detectable: float

    @classmethod
    def of(cls, found: Difference) -> Verdict:
        verdict = cls(found.verdict)
        for field in fields(found):
            if field.name != "verdict":
                setattr(verdict, field.name, getattr(found, field.name))
        return verdict

    @property
    def decider(self) -> str:
        """What to add after p where it and the interval, which is made in another way, do not say the same."""
        leaves_out_0 = self.low > 0 or self.high < 0
        return "" if leaves_out_0 == (self != "not shown") else " (p decides; the interval is an approximation)"


class Result:
    """A stored study, finished or not.

    Args:
        store: where it is.
        name: the study's name.

    Raises:
        StudyError: there is no such study.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        self._study: StudyRecord = store.study(name)
        self._trials: list[TrialRecord] = store.trials(name)
        if summary := self._study.summary:
            numbers = {trial.trial for trial in self._trials}
            named = {summary.winner, summary.hand_written, *summary.order} - {None}
            if named - numbers or len(numbers) < len(self._trials):
                raise StorageError(
                    f"study {name!r} cannot be read: its trials are not those that its summary names; restore the "
                    f"storage, or run the study anew with fresh=True (--fresh)"
                )

    @cached_property
    def _calls(self) -> pd.DataFrame:
        return stored_calls(self._store, self.name)

    @cached_property
    def _scored(self) -> pd.DataFrame:
        return stored_rows(self._store, self.name, self._calls)

    @cached_property
    def _table(self) -> pd.DataFrame:
        names = list(dict.fromkeys(name for trial in self._trials for name in trial.choices))
        with reading(f"the trials of study {self.name!r}"):
            return tables.trials_frame(self._trials, self._scored, names)

    @cached_property
    def _by_number(self) -> dict[int, TrialRecord]:
        return {trial.trial: trial for trial in self._trials}

    @property
    def storage(self) -> str:
        """Where the study is, without a password."""
        return shown_url(self._store.url)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes the study this study: see `Study.identity`."""
        return self._study.identity

    @property
    def created(self) -> float:
        """When it was begun, in seconds since 1970."""
        return self._study.created

    def sent(self, keys: Collection[str]) -> dict[str, list[tuple[str, str]]]:
        """What was sent, by request key: (role, content) of each message. Requests that failed are not kept."""
        found = self._store.requests(self.name, keys)
        return {
            key: [(message["role"], message["content"]) for message in json.loads(found[key])["messages"]]
            for key in keys
            if key in found
        }

    def _of(self, trial: int, split: str | None = None) -> pd.DataFrame:
        """What is known of a trial's rows."""
        found = self._scored[self._scored["trial"] == trial]
        return found if split is None else found[found["split"] == split]

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the finished study wrote down: winner, budget, spent; empty while it is unfinished."""
        return self._study.summary.to_dict() if self._study.summary else {}

    @property
    def record(self) -> StudyRecord:
        """The study as it is stored, with its summary as an object."""
        return self._study

    @property
    def finished(self) -> bool:
        return self._study.summary is not None

    def _trial(self, number: int) -> TrialRecord:
        if number not in self._by_number:
            raise StudyError(f"study {self.name!r} has no trial {number}; it has {len(self._trials)}")
        return self._by_number[number]

    def prompt(self, trial: int) -> Prompt:
        """The prompt of a trial, as it was sent.

        Raises:
            StudyError: there is no such trial.
        """
        with reading(f"the prompt of trial {trial} of study {self.name!r}"):
            return checked(Prompt, self._trial(trial).prompt)

    @property
    def best_trial(self) -> int:
        """The winner's trial number; of an unfinished study the best so far."""
        if summary := self._study.summary:
            return summary.winner
        scored = self.trials_df().dropna(subset=["score"]).sort_values(["score", "search_rows"], ascending=False)
        return int(scored["trial"].iloc[0]) if len(scored) else 0

    @property
    def best(self) -> Prompt:
        """The prompt to ship."""
        return self.prompt(self.best_trial)

    def simplest_trial(self, margin: float = MARGIN) -> int:
        """The trial with the fewest prompt tokens (characters, where a server does not count tokens) among those that
        are all but surely (95%) no more than ``margin`` worse than the winner.

        It is the winner itself where no shorter one is known well enough: more calls make more known.

        Raises:
            StudyError: the study is unfinished.
        """
        if not self.finished:
            raise StudyError(f"the study {self.name!r} is unfinished; run the same line to go on")
        frame = self.trials_df().set_index("trial")
        known = frame["prompt_tokens"].notna().all()
        sizes = frame["prompt_tokens"] if known else frame["prompt"].str.len()
        winner = self._trial(self.best_trial)
        near = [winner.trial]
        for trial in self._trials:
            if trial.estimate is not None and trial.uncertainty is not None and winner.estimate is not None:
                near += [trial.trial] * not_worse(trial.estimate - winner.estimate, trial.uncertainty, margin)
        return int(min(near, key=lambda trial: (sizes[trial], trial != winner.trial)))

    def simplest(self, margin: float = MARGIN) -> Prompt:
        """The prompt of `simplest_trial`.

        Raises:
            StudyError: the study is unfinished.
        """
        return self.prompt(self.simplest_trial(margin))

    @property
    def baseline(self) -> Prompt:
        """The template with every choice at its first option."""
        return self.prompt(0)

    def _scores(self, trial: int, split: str) -> dict[int, float]:
        found = self._of(trial, split)
        return dict(zip(found["row"].tolist(), found["score"].tolist(), strict=True))

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the winner beats the default prompt on sealed rows."""
        return self.against(0)

    def against(self, trial: int) -> Verdict:
        """Whether the winner beats a trial on the sealed rows on which both were tested: `verdict` for the default."""
        before, after = self._scores(trial, "test"), self._scores(self.best_trial, "test")
        rows = sorted(before.keys() & after.keys())
        return Verdict.of(paired_difference([before[row] for row in rows], [after[row] for row in rows]))

    @property
    def hand_written_trial(self) -> int | None:
        """The best of the prompts that the user enqueued, by what is expected of them; None without any."""
        return self._study.summary.hand_written if self._study.summary else None

    def test_score(self, trial: int) -> Score:
        """(mean, low, high, rows) of a trial on the sealed rows; NaN and 0 when it was not tested."""
        return _score([score for score in self._scores(trial, "test").values() if not math.isnan(score)])

    def trials_df(self) -> pd.DataFrame:
        """One row per trial; see `tables.trials_frame`."""
        return self._table.copy()

    def pareto_df(self) -> pd.DataFrame:
        """The trials that no other beats both in score and in tokens, cost or latency; see `tables.pareto_frame`."""
        return tables.pareto_frame(self._table)

    def ledger_df(self) -> pd.DataFrame:
        """What was spent on what, one row per role; see `tables.ledger_frame`."""
        return tables.ledger_frame(self._calls)

    def progress_df(self) -> pd.DataFrame:
        """Score against calls, with the best so far and its interval; see `tables.progress_frame`."""
        return tables.progress_frame(self._scored)

    def difficulty_df(self, trials: Sequence[int] | None = None) -> pd.DataFrame:
        """Rows against trials, the hardest row first; see `tables.difficulty_frame`.

        Args:
            trials: default: the `FINALISTS` that the search ranks highest, the winner first.
        """
        chosen = self.ranking()["trial"].head(FINALISTS).tolist() if trials is None else trials
        return tables.difficulty_frame(self._scored, [self._trial(trial).trial for trial in chosen])

    def effects_df(self) -> pd.DataFrame:
        """Which choice mattered, one row per option; see `tables.effects_frame`. Empty while it is unfinished."""
        with reading(f"the effects of study {self.name!r}"):
            return tables.effects_frame(self._study.summary.effects if self._study.summary else (), self._trials)

    def interactions_df(self) -> pd.DataFrame:
        """Which options are better or worse together; see `tables.interactions_frame`."""
        with reading(f"the interactions of study {self.name!r}"):
            return tables.interactions_frame(self._study.summary.interactions if self._study.summary else ())

    def _told(self, trial: int | None) -> pd.DataFrame:
        """A trial's samples on sealed rows, or on search rows where it was not tested; default: the winner's."""
        return self.trial_samples(self.best_trial if trial is None else self._trial(trial).trial)

    def trial_samples(self, trial: int) -> pd.DataFrame:
        """A trial's sealed rows, or its search rows where it was not tested; see `tables.scored_frame`."""
        tested = self._of(trial, "test")
        return tested if len(tested) else self._of(trial)

    def evaluation(self, trial: int | None = None) -> Evaluation:
        """A trial's prompt with all its scores, to look at or to compare; default: the winner's.

        Raises:
            StudyError: there is no such trial.
        """
        number = self.best_trial if trial is None else trial
        name = self.name if trial is None else f"{self.name}:{trial}"
        scored = self._scored[self._scored["trial"] == number].reset_index(drop=True)
        return Evaluation.of(self.prompt(number), scored, name=name, metric=self.metric)

    @property
    def metric(self) -> str:
        """The name of the metric."""
        summary = self._study.summary
        return summary.metric if summary and summary.metric else str(self.identity["metric"])

    def confusion_df(self, trial: int | None = None) -> pd.DataFrame:
        """Targets against answers on sealed rows; see `tables.confusion_frame`.

        Args:
            trial: default: the winner; a trial that was not tested is shown on its search rows.

        Raises:
            StudyError: there is no such trial.
        """
        return tables.confusion_frame(self._told(trial))

    def labels_df(self, trial: int | None = None) -> pd.DataFrame:
        """How each label fares, and which is answered too often; see `tables.labels_frame`, and `confusion_df`."""
        return tables.labels_frame(self._told(trial))

    def slices_df(self, data: Dataset, by: str | Sequence[str] | Callable[[Row], Any]) -> pd.DataFrame:
        """Scores by groups of rows, of default and winner on sealed rows; see `tables.slices_frame`.

        Args:
            data: the study's data.
            by: one or several columns, or what gives a row's group (then in the column ``group``).

        Raises:
            StudyError: these are not the study's data.
            InputError: there is no such column.
        """
        if data.fingerprint != self._study.identity["data"]:
            raise StudyError(f"these are not the data of the study {self.name!r}; give those that it was run on")
        names = ["group"] if callable(by) else [by] if isinstance(by, str) else list(by)
        unknown = [] if callable(by) else [name for name in names if name not in (*data.fields, data.target)]
        if unknown:
            there = ", ".join([*data.fields, data.target])
            raise InputError(f"there is no column {unknown[0]!r} to group by; there are: {there}")
        trials = dict.fromkeys([0, self.best_trial])
        scored = pd.concat([self._told(trial) for trial in trials])
        groups = {
            row: (by(data.rows[row]),) if callable(by) else tuple(data.rows[row][name] for name in names)
            for row in scored["row"].unique().tolist()
        }
        return tables.slices_frame(scored, groups, names)

    def slices_by_target(self) -> pd.DataFrame:
        """Scores by target, of default and winner on sealed rows; see `tables.slices_frame`."""
        scored = pd.concat([self._told(trial) for trial in dict.fromkeys([0, self.best_trial])])
        groups = {
            row: (tables.answer_text(target),) for row, target in zip(scored["row"], scored["target"], strict=True)
        }
        return tables.slices_frame(scored, groups, ["target"])

    def samples_df(self) -> pd.DataFrame:
        """One row per (trial, row); see `tables.samples_frame`."""
        return tables.samples_frame(self._scored)

    def calls_df(self) -> pd.DataFrame:
        """One row per request; see `tables.calls_frame`."""
        return self._calls.copy()

    def ranking(self) -> pd.DataFrame:
        """`trials_df` in the order in which the search ranks the prompts, winner first."""
        frame = self.trials_df()
        if not (summary := self._study.summary):
            return frame.sort_values(["score", "search_rows"], ascending=False, kind="stable", ignore_index=True)
        order = {trial: rank for rank, trial in enumerate(summary.order)}
        return frame.sort_values("trial", key=lambda trials: trials.map(order), ignore_index=True)

    @property
    def optuna_study(self) -> optuna.Study:
        """The trials as an Optuna study, which its plots, its dashboard and ``trials_dataframe`` take.

        Its values are what the surrogate expects of each trial. Optuna's importances mislead on a searched study.

        Raises:
            KeyError: the study is unfinished.
        """
        return self._store.optuna_study(self.name)

    @property
    def headline(self) -> str:
        """The result in three lines: the sealed test, what the search itself saw, what was spent."""
        if not self.finished:
            return f"{self.name}: unfinished after {len(self._trials)} candidates; run the same line to go on."
        return "\n".join([f"{self.name}: {self._said()}.", *self._searched(), self.spent])

    def _searched(self) -> list[str]:
        """The scores that the search chose by, beside the winner's corrected one; nothing without scores."""
        records = self.trials_df().dropna(subset=["score"]).to_dict("records")
        found = [record for record in records if record["trial"] == self.best_trial]
        if not found or len(records) == 1:
            return []  # nothing was chosen by scores
        (winner,), highest = found, max(records, key=lambda record: float(record["score"]))
        line = (
            f"In the search: highest score {highest['score']:.3f} on {highest['search_rows']} rows, the winner's "
            f"{winner['score']:.3f} on {winner['search_rows']}; both optimistic, being chosen among {len(records)}. "
            f"Corrected, the winner's is {winner['estimate']:.3f}."
        )
        best = self.ranking().iloc[0]
        if best["trial"] != self.best_trial:  # only after rescoring
            line += f" Trial {best['trial']} is expected to be better now ({best['estimate']:.3f}), but was not tested."
        return [line]

    def _said(self) -> str:
        verdict = self.verdict
        winner, baseline = self.test_score(self.best_trial), self.test_score(0)
        if verdict.rows < 2:
            return f"nothing is shown on rows that the search never saw: {self._untested()}"
        if self.best_trial == 0:
            return f"no candidate was found that beats the default prompt, which scores {score_text(baseline)}"
        said = (
            f"{_words(verdict, 'the default prompt')}: {score_text(winner)} against {score_text(baseline)} on "
            f"{verdict.rows} rows that the search never saw ({self.opened}), {shown_text(verdict)}"
        )
        written = self.hand_written_trial
        if written in (None, 0):
            return said
        if written == self.best_trial:
            return f"{said}. It was written by hand"
        other = self.against(written)
        if other.rows < 2:
            return said
        words = _words(other, "the best prompt written by hand")
        return f"{said}. {words}: {score_text(self.test_score(written))}, {shown_text(other)}"

    @property
    def openings(self) -> int:
        """How many winners were tested on this study's sealed rows, those of other studies in the storage included.

        Whoever goes on searching after a look at the test and tests again chooses by the test: after the first
        opening its intervals and p are too good.
        """
        return self._store.test_uses(self._study.summary.sealed) if self._study.summary else 0

    @property
    def opened(self) -> str:
        """`openings` in words."""
        times = self.openings
        return "opened once" if times == 1 else f"opened {times} times: p and interval are too good"

    def _untested(self) -> str:
        """Why there is no comparison on sealed rows."""
        tested = self._scored[self._scored["split"] == "test"]
        failed = tested["error"].dropna().tolist()
        if failed:
            return f"{len(failed)} of {len(tested)} requests of the test failed, the first with {failed[0]}"
        if self._study.summary and not self._study.summary.tested:
            return "they were left alone, as run(test=False) asks"
        return "the budget left too few calls for them; give more calls"

    @property
    def spent(self) -> str:
        """What the study used, in one sentence."""
        summary = self._study.summary
        if summary is None:
            return f"{self._calls['attempts'].sum()} calls so far."
        if rescored := summary.rescored:
            return f"{rescored['of']} read anew by {summary.metric} (was {rescored['metric']}), without a request."
        cost = "price unknown" if summary.usd is None else f"${summary.usd:.4f}"
        limits = ", ".join(f"{name} {limit:g}" for name, limit in summary.budget.items())
        reused = f", {summary.reused} of them answered before" if summary.reused else ""
        return (
            f"{summary.calls} calls of {summary.model}{reused} ({summary.tokens:,} tokens, {cost}, "
            f"{summary.seconds:.0f} s) of a budget of {limits}; {len(self._trials)} of "
            f"{summary.candidates[0]:,} candidates tried."
        )

    def __repr__(self) -> str:
        frame = self.ranking().head(RANKED)
        lines = [
            self.headline,
            "",
            f"{'rank':>4} {'trial':>5} {'score':>6} {'95% interval':>14} {'rows':>5}  choices",
        ]
        for rank, record in enumerate(frame.to_dict("records"), start=1):
            interval = f"{record['score_low']:.2f} to {record['score_high']:.2f}"
            lines.append(
                f"{rank:>4} {record['trial']:>5} {record['score']:>6.3f} {interval:>14} {record['search_rows']:>5}  "
                f"{self.changes(int(record['trial']))}"
            )
        return "\n".join(lines)

    def changes(self, trial: int, width: int = 24) -> str:
        """A trial's choices that differ from the default's, each shortened to ``width`` characters."""
        default = self._trial(0).choices
        chosen = self._trial(trial).choices
        shown = [f"{name}={_html.clipped(text, width)}" for name, text in chosen.items() if default.get(name) != text]
        return ", ".join(shown) or "(the default prompt)"

    def compared(self, trial: int, width: int = 60) -> list[tuple[str, str, bool]]:
        """The choices in which a trial differs from the default or from the winner: (name, option on one line of at
        most ``width`` characters, whether the winner's is another)."""
        default, winner, chosen = (self._trial(number).choices for number in (0, self.best_trial, trial))
        names = [
            name for name in {**chosen, **winner} if len({each.get(name) for each in (default, winner, chosen)}) > 1
        ]
        return [
            (
                name,
                _html.clipped(chosen[name], width) if name in chosen else "(none)",
                chosen.get(name) != winner.get(name),
            )
            for name in names
        ]

    def compared_html(self, trial: int) -> _html.Markup:
        """`compared` in a line, what differs from the winner marked."""
        if self._trial(trial).choices == self._trial(0).choices:
            return _html.text("(the default prompt)")
        shown = (
            _html.fill("<mark>{}</mark>" if other else "{}", f"{name}={option}")
            for name, option, other in self.compared(trial)
        )
        return _html.join(shown, ", ")

    @property
    def tested(self) -> dict[str, int]:
        """The trials that were scored on the sealed rows, by what they are: default, best written by hand, winner."""
        written = self.hand_written_trial
        named = {"the default prompt (all first options)": 0}
        if written not in (None, 0, self.best_trial):
            named["the best prompt written by hand"] = written
        if self.best_trial != 0:
            named["the winner"] = self.best_trial
        return {name: trial for name, trial in named.items() if self.test_score(trial)[3]}

    def _repr_html_(self) -> str:
        head = _html.said(self.verdict if self.finished else "", self.headline)
        if not len(self._trials):
            return _html.block(head)
        ranked = self.ranking().head(RANKED)
        ends = _html.scale(ranked["score_low"], ranked["score_high"])
        lines = [
            (
                rank,
                record["trial"],
                f"{record['score']:.3f}",
                _html.bar(record["score"], record["score_low"], record["score_high"], **ends),
                f"{record['score_low']:.2f} to {record['score_high']:.2f}",
                record["search_rows"],
                self.compared_html(record["trial"]),
            )
            for rank, record in enumerate(ranked.to_dict("records"), start=1)
        ]
        columns = ("rank", "trial", "score", "", "95% interval", "rows", "differs from default or winner")
        numbers = ("rank", "trial", "score", "95% interval", "rows")
        return _html.block(
            head,
            _tested_table(self) if self.finished else "",
            _html.table("prompts as the search ranks them", columns, lines, numbers),
            _html.details("the winner's prompt", _html.messages(self.best.turns)),
            _html.details("what the winner changes in the default prompt", _html.diff(self.baseline.diff(self.best)))
            if self.best_trial
            else "",
        )

    def report(self, path: str | Path, slices: Sequence[pd.DataFrame] = ()) -> Path:
        """Write everything that a reader needs to decide into one file: ``.html`` (self-contained) or ``.md``.

        Args:
            path: the file; nothing else is written.
            slices: scores by groups of rows to show as well, see `slices_df`.

        Raises:
            InputError: another suffix, or the file cannot be written.
        """
        from prompt_search.report.content import write_report

        return write_report(self, path, slices)


def _tested_table(result: Result) -> _html.Markup:
    scores = {name: result.test_score(trial) for name, trial in result.tested.items()}
    ends = _html.scale([low for _, low, _, _ in scores.values()], [high for _, _, high, _ in scores.values()])
    lines = [
        (name, f"{mean:.3f}", _html.bar(mean, low, high, **ends), f"{low:.2f} to {high:.2f}", rows)
        for name, (mean, low, high, rows) in scores.items()
    ]
    columns = ("prompt", "score", "", "95% interval", "rows")
    title = f"on rows that the search never saw ({result.opened})"
    return _html.table(title, columns, lines, ("score", "95% interval", "rows")) if lines else _html.Markup()


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """A search over all rows, and what searches without a part of them say of prompts that are found so.

    Args:
        result: the search over all rows, whose winner is the prompt to ship. Nothing was sealed from it.
        folds: the searches without one part of the rows each, tested on that part.
    """

    result: Result
    folds: Sequence[Result]

    @property
    def best(self) -> Prompt:
        """The prompt to ship."""
        return self.result.best

    @cached_property
    def verdict(self) -> Verdict:
        """Whether winners beat the default prompt on rows that their searches never saw, all folds together."""
        before, after = self._scores
        return Verdict.of(paired_difference(before, after))

    @cached_property
    def _scores(self) -> tuple[list[float], list[float]]:
        """Of default and winner, on the rows where both have one."""
        pairs = [
            (before[row], after[row])
            for fold in self.folds
            for before, after in [(fold._scores(0, "test"), fold._scores(fold.best_trial, "test"))]
            for row in sorted(before.keys() & after.keys())
            if not math.isnan(before[row] + after[row])
        ]
        return [before for before, _ in pairs], [after for _, after in pairs]

    @property
    def test_scores(self) -> tuple[Score, Score]:
        """(mean, low, high, rows) of default and winners on the rows that their searches never saw."""
        before, after = self._scores
        return _score(before), _score(after)

    def folds_df(self) -> pd.DataFrame:
        """One row per fold; see `tables.folds_frame`."""
        return tables.folds_frame(
            [
                {
                    "study": fold.name,
                    "winner": fold.best_trial,
                    "changes": fold.changes(fold.best_trial, 60),
                    "rows": fold.verdict.rows,
                    "default_score": fold.test_score(0)[0],
                    "winner_score": fold.test_score(fold.best_trial)[0],
                }
                for fold in self.folds
            ]
        )

    @property
    def headline(self) -> str:
        """The result in two lines: the test over all folds, and what ships."""
        verdict = self.verdict
        spent = sum(found.record.summary.calls for found in (*self.folds, self.result) if found.record.summary)
        ships = f"The prompt to ship is the winner of a search over all rows; {spent} calls in all."
        if verdict.rows < 2:
            return f"{self.result.name}: nothing is shown: {self.folds[0]._untested()}.\n{ships}"
        before, after = self.test_scores
        words = {
            "better": "A prompt found so is better than the default prompt",
            "worse": "A prompt found so is worse than the default prompt",
            "not shown": "It is not shown that a prompt found so beats the default prompt",
        }[verdict]
        return (
            f"{self.result.name}: {words}: {score_text(after)} against {score_text(before)} on {verdict.rows} rows, "
            f"each tested by one of {len(self.folds)} searches that never saw it, {shown_text(verdict)}.\n{ships}"
        )

    def __repr__(self) -> str:
        return f"{self.headline}\n\n{self.folds_df().to_string(index=False, float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        lines = [
            (
                record["study"],
                record["rows"],
                f"{record['default_score']:.3f}",
                f"{record['winner_score']:.3f}",
                record["changes"],
            )
            for record in self.folds_df().to_dict("records")
        ]
        columns = ("search", "rows", "default", "its winner", "its winner differs from the default in")
        return _html.block(
            _html.said(self.verdict, self.headline),
            _html.table("each search, tested on rows that it never saw", columns, lines, columns[1:4]),
            _html.details("the prompt to ship", _html.messages(self.best.turns)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """One prompt's scores on labelled rows.

    Args:
        prompt: the prompt.
        scores: of the rows whose requests did not fail.
        errors: how many failed.
        unparsed: how many answers could not be read.
        read: gives the table of all that is known of the rows, see `tables.scored_frame`; called when it is asked for.
        name: what it is called in a comparison.
        metric: the name of the metric, where known: scores by different ones are not compared.
    """

    prompt: Prompt
    scores: Sequence[float]
    errors: int
    unparsed: int
    read: Callable[[], pd.DataFrame]
    name: str = "evaluation"
    metric: str | None = None

    @classmethod
    def of(cls, prompt: Prompt, scored: pd.DataFrame, name: str, metric: str | None) -> Evaluation:
        """A prompt with the table of its rows."""
        return cls(
            prompt=prompt,
            scores=scored["score"].dropna().tolist(),
            errors=int(scored["error"].notna().sum()),
            unparsed=int(scored["unparsed"].sum()),
            read=lambda: scored,
            name=name,
            metric=metric,
        )

    def only(self, rows: Collection[int], splits: Collection[str]) -> Evaluation:
        """The same on some rows and of some splits alone."""
        kept = self.scored["row"].isin(rows) & self.scored["split"].isin(splits)
        return self.of(self.prompt, self.scored[kept].reset_index(drop=True), self.name, self.metric)

    @property
    def score(self) -> float:
        """Their mean, NaN without any."""
        return sum(self.scores) / len(self.scores) if self.scores else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the mean."""
        return mean_interval(self.scores)

    @cached_property
    def scored(self) -> pd.DataFrame:
        """All that is known of each row; see `tables.scored_frame`.

        Raises:
            StorageError: the storage that holds it is gone or was cleared.
        """
        return self.read()

    def samples_df(self) -> pd.DataFrame:
        """One row per row of the data; see `tables.samples_frame`."""
        return tables.samples_frame(self.scored)

    def _repr_html_(self) -> str:
        frame = self.samples_df()
        failed = frame[(frame["score"] < 1) | frame["score"].isna()].sort_values("score", na_position="first")
        lines = [
            (record["row"], _html.clipped(tables.answer_text(record["target"]), 200),
             "(none)" if record["answer"] is None else _html.clipped(tables.answer_text(record["answer"]), 200),
             f"{record['score']:.3f}", _html.clipped(record["error"] or record["response"], 200))
            for record in failed.head(FAILED).to_dict("records")
        ]  # fmt: skip
        low, high = self.interval
        title = f"the worst of {len(failed)} rows with less than full score"
        columns = ("row", "target", "answer", "score", "response or error")
        return _html.block(
            _html.fill("<div>{} {}</div>", repr(self), _html.bar(self.score, low, high)),
            _html.table(title, columns, lines, ("row", "score")) if lines else "",
            _html.details("the prompt", _html.messages(self.prompt.turns)),
        )

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Evaluation: {self.score:.3f} ({low:.3f} to {high:.3f}) on {len(self.scores)} rows, "
            f"{self.unparsed} unparsed, {self.errors} errors"
        )


def stored_calls(store: Store, study: str) -> pd.DataFrame:
    """The stored calls of a study; see `tables.calls_frame`."""
    with reading(f"the calls of study {study!r}"):
        return tables.calls_frame(store.call_columns(study))


def stored_rows(store: Store, study: str, calls: pd.DataFrame) -> pd.DataFrame:
    """The stored scored rows of a study; see `tables.scored_frame`."""
    with reading(f"the scored rows of study {study!r}"):
        return tables.scored_frame(store.samples(study), calls)


def evaluated(storage: str | Store, name: str, rows: int) -> pd.DataFrame:
    """What is stored of an evaluation; see `tables.scored_frame`.

    Raises:
        StorageError: not so many rows are there.
    """
    if isinstance(storage, str):
        with closing(Store(storage)) as store:
            return evaluated(store, name, rows)
    scored = stored_rows(storage, name, stored_calls(storage, name))
    if len(scored) < rows:
        raise StorageError(
            f"storage {shown_url(storage.url)!r} has {len(scored)} of the {rows} rows of this evaluation: it was "
            f"cleared or replaced; evaluate again"
        )
    return scored


def open_result(storage: str, name: str) -> Result:
    """Open a stored study.

    Raises:
        StorageError: the storage cannot be opened.
        StudyError: there is no study of that name.
    """
    return Result(Store(storage), name)


def _score(scores: Sequence[float]) -> Score:
    mean = sum(scores) / len(scores) if scores else math.nan
    return (mean, *mean_interval(scores), len(scores))


def score_text(score: Score) -> str:
    """Mean and interval as text."""
    mean, low, high, _ = score
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def _words(verdict: Verdict, rival: str) -> str:
    return {
        "better": f"The winner is better than {rival}",
        "worse": f"The winner is worse than {rival}",
        "not shown": f"It is not shown that the winner beats {rival}",
    }[verdict]


def shown_text(verdict: Verdict) -> str:
    """The difference, and where nothing is shown, what the rows could have shown."""
    said = (
        f"difference {verdict.difference:+.3f} ({verdict.low:+.3f} to {verdict.high:+.3f}), p = {verdict.p:.2g}"
        f"{verdict.decider}"
    )
    if verdict != "not shown":
        return said
    if math.isnan(verdict.detectable):
        return f"{said}; so few rows can hardly show any difference"
    return f"{said}; so many rows show a true difference of {verdict.detectable:.2f} four times in five"
