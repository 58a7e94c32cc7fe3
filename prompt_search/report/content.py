"""The content of a report, whatever its form: which prompt to ship, how sure that is, what it costs, what mattered and
what still fails."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata

import pandas as pd

from prompt_search import _numbers
from prompt_search.metrics.objective import objective_text
from prompt_search.report import wording
from prompt_search.report.answers import (
    Group,
    examples_view,
    failing_columns,
    failing_groups,
    fields_view,
)
from prompt_search.report.growth import GrowthSection
from prompt_search.results.breakdowns import NO_ANSWERS, below_full_score, fields_metric, shown_to_matter
from prompt_search.results.objective.wording import advice
from prompt_search.results.shown.cheaper import cheaper_prompt
from prompt_search.results.shown.labels import MOST_TARGETS, labelled
from prompt_search.results.spent import totals
from prompt_search.results.statistics import NON_INFERIORITY_MARGIN
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.view import Column, View
from prompt_search.results.views import (
    effects_view,
    interactions_view,
    labels_view,
    ledger_view,
    pareto_view,
    ranking_view,
    slices_view,
)

NAMED_ROWS = 20
"""Number of rows that no good prompt answers rightly that are named."""

SHOWN_FRONT = 20
"""Number of prompts on a Pareto front that are listed."""

IMPORTANT_CHOICES = 3
"""Number of choices whose effects are shown at once; those of the others are shown on demand."""

MOST_LABELS = 2 * MOST_TARGETS
"""Number of labels, answers that are no target included, up to which they are listed."""

COMPARED_PROMPTS = 3
"""Number of the best prompts that must have been scored on a row before the row is called never right."""

Fact = tuple[str, str, str]
"""What it is, its value, and a note."""


class Report:
    """The content of the report of a study.

    Args:
        result: the study, finished or not.
        slices: tables of scores by groups of rows to show as well, see `StudyTables.slices_df`.
    """

    def __init__(self, result: StoredStudy, slices: Sequence[pd.DataFrame] = ()) -> None:
        self.result = result
        self.given_slices = slices
        self.name = result.name
        self.winner = result.best_trial
        self.trials = result.ranking()
        self.answered = len(self.trials) > 0
        self.tested = result.tested if result.finished else {}

        self.growth = GrowthSection.of(result)
        left_out = () if self.growth else ("growth",)
        self.sections = {name: title for name, title in wording.SECTIONS.items() if name not in left_out}

    # The outcome

    @property
    def outcome(self) -> str:
        """The outcome in a few words."""
        return wording.badge(self.result.finished, self.result.verdict, self.winner)

    @property
    def verdict_word(self) -> str:
        """The verdict; nothing where there is no winner beside the default."""
        return str(self.result.verdict) if self.result.finished and self.winner else ""

    @property
    def advice(self) -> str:
        """What to do with the outcome."""
        result = self.result
        sentence = capped_advice(result) or wording.advice(result.finished, result.verdict, self.winner)
        if not result.finished or self.winner == 0 or result.verdict.rows < 2:
            return sentence
        tokens = self.trials.set_index("trial")["prompt_tokens"]
        if math.isnan(tokens[self.winner]) or not tokens[0] > 0:
            return sentence
        return f"{sentence} {wording.tokens_per_row(tokens[self.winner], tokens[0])}"

    @property
    def facts(self) -> list[Fact]:
        """The numbers that decide: test scores, their difference, costs."""
        if not self.answered:
            return []
        facts: list[Fact] = []
        if self.result.objective is not None:
            facts.append((wording.OBJECTIVE_FACT, objective_text(self.result.objective), self.result.cap or ""))
        for name, trial in reversed(self.tested.items()):
            score = self.result.test_score(trial)
            facts.append((name, _numbers.number(score.mean), wording.test_note(score)))
        verdict = self.result.verdict
        if self.tested and verdict.majority_label is not None:
            facts.append(wording.majority_fact(verdict))
        if len(self.tested) > 1:
            difference = _numbers.number(verdict.difference, "+.3f")
            facts.append((wording.DIFFERENCE_FACT, difference, wording.difference_note(verdict)))
        return [*facts, *self.winner_costs, (wording.SPENT_FACT, *self.spent)]

    @property
    def winner_costs(self) -> list[Fact]:
        """The cost of 1,000 rows with the winner, and with the default."""
        costs: list[Fact] = []
        prompts = {"winner": self.winner, "default": 0} if self.winner else {"winner": 0}
        for name, trial in prompts.items():
            rows = self.result.trial_samples(trial)
            answered = rows[rows["error"].isna()]
            if len(answered):
                usd, sent, received = (
                    1000 * float(answered[column].mean(skipna=False)) if answered[column].notna().all() else math.nan
                    for column in ("cost_usd", "prompt_tokens", "completion_tokens")
                )
                note = wording.cost_note(sent, received, float(answered["latency_s"].mean()))
                costs.append((wording.COST_FACTS[name], _numbers.dollars(usd), note))
        return costs

    @cached_property
    def spent(self) -> tuple[str, str]:
        """The calls of the study, and what they cost."""
        ledger = self.result.ledger_df()
        calls, tokens, usd = totals(ledger)
        lost = int(ledger["calls"].sum()) - calls
        note = f"; at most {lost:,} more lost with a process that ended" if lost else ""
        return f"{calls:,} calls", f"{_numbers.tokens(tokens)}, {_numbers.dollars(usd)}{note}"

    # The prompt

    @property
    def export(self) -> str:
        """The command that writes the winner to a file."""
        return self._export(self.result.reference)

    @property
    def export_default(self) -> str:
        """The command that writes the default prompt to a file; nothing where the winner is to be shipped."""
        kept = self.verdict_word and self.verdict_word != "better" and self.result.cap_of(0) != "over"
        return self._export(f"{self.result.reference}:0") if kept else ""

    def _export(self, name: str) -> str:
        return f"prompt-search export {shlex.quote(name)} --storage {shlex.quote(self.result.storage)} -o best.j2"

    @property
    def difference(self) -> str:
        """A unified diff from the default prompt to the winner; nothing where the default stays."""
        return self.result.baseline.diff(self.result.best) if self.winner else ""

    @cached_property
    def cheaper(self) -> str:
        """The prompt that costs less than the one to ship and is nearly as good; nothing where there is none, and where
        it is open whether to ship the winner."""
        decided = self.answered and self.result.finished and (not self.winner or self.verdict_word == "better")
        decided = decided and not self.result.weighs_costs  # where costs are weighed they have decided already
        found = cheaper_prompt(self.result) if decided else None
        return "" if found is None else wording.cheaper_prompt(found, NON_INFERIORITY_MARGIN)

    # Tables

    @cached_property
    def ranking(self) -> View:
        """All prompts in the order in which the search ranks them."""
        return ranking_view(self.result, None, width=60, detailed=True)

    @cached_property
    def effects(self) -> list[View]:
        """The effects of the most important choices, and those of all others."""
        view = effects_view(self.result, None, shown_only=False)
        first = list(dict.fromkeys(row[0] for row in view.rows))[:IMPORTANT_CHOICES]
        parts = [
            replace(view, title=title, rows=tuple(row for row in view.rows if (row[0] in first) is important))
            for title, important in (
                (wording.effects_caption(self.result.weighs_costs), True),
                (wording.OTHER_EFFECTS_CAPTION, False),
            )
        ]
        return [part for part in parts if part]

    @property
    def mattered(self) -> str:
        """The choice that matters most, and the options whose effect is shown."""
        effects = self.result.effects_df()
        if effects.empty:
            return wording.EFFECTS_UNKNOWN
        top = effects.iloc[0]
        shown = shown_to_matter(effects)
        options = list(zip(shown["choice"], shown["option"], strict=True))
        important = wording.most_important(top["choice"], top["importance"], top["option"], top["estimate"])
        return f"{important} {wording.shown_effects(options, len(effects))}"

    @property
    def interactions(self) -> View:
        """Pairs of options whose interaction is shown."""
        return replace(interactions_view(self.result), title=wording.INTERACTIONS_CAPTION)

    @cached_property
    def front(self) -> View:
        """The prompts that no other beats both in score and cost."""
        return replace(pareto_view(self.result, SHOWN_FRONT), title=wording.FRONT_CAPTION)

    @property
    def ledger(self) -> View:
        """The requests of the study, by role."""
        return replace(ledger_view(self.result), title=wording.LEDGER_CAPTION)

    # The winner's answers

    @cached_property
    def _winner_rows(self) -> pd.DataFrame:
        return self.result.trial_samples(self.winner)

    @property
    def answered_on(self) -> str:
        """The rows that the tables of answers are about."""
        rows = self._winner_rows
        unparsed, failed = int(rows["unparsed"].sum()), int(rows["error"].notna().sum())
        return wording.answered_on(len(rows), self.winner in self.tested.values(), unparsed, failed)

    @cached_property
    def by_target(self) -> bool:
        """Whether the targets are labels, few enough to count answers by target."""
        return labelled(self._winner_rows, str((self.result.best.answer or {}).get("kind"))) if self.answered else False

    @cached_property
    def fields(self) -> View | None:
        """How many answers have each field right, where the targets are JSON objects."""
        metric = fields_metric(self.result.samples_df()["target"], self.result.metric) if self.answered else None
        return fields_view(self.result, metric) if metric else None

    @cached_property
    def examples(self) -> View | None:
        """Examples of answers that are neither labels nor objects."""
        if self.by_target or self.fields is not None or not self.answered:
            return None
        return examples_view(self.result, self._winner_rows)

    @property
    def slices(self) -> list[View]:
        """Scores by groups of rows, for default and winner."""
        frames = [self.result.slices_by_target()] if self.by_target else []
        views = [slices_view(frame, self.winner) for frame in (*frames, *self.given_slices)]
        return [replace(view, title=view.title.capitalize()) for view in views]

    @cached_property
    def labels(self) -> View | None:
        """Recall, precision and bias of each label."""
        if not self.by_target:
            return None
        return replace(labels_view(self.result).head(MOST_LABELS), title=wording.LABELS_CAPTION)

    @cached_property
    def confusion(self) -> pd.DataFrame | None:
        """Targets against the winner's answers, where these are labels, too."""
        frame = self.result.confusion_df() if self.by_target else pd.DataFrame()
        others = len(set(frame.columns) - {*frame.index, *NO_ANSWERS})
        return frame if 0 < frame.shape[1] <= MOST_LABELS and others <= len(frame) else None

    @cached_property
    def _failing(self) -> pd.DataFrame:
        return below_full_score(self._winner_rows)

    @property
    def failing(self) -> str:
        """The number of rows that the winner fails on, and those that no good prompt answers rightly."""
        if not self.answered:
            return wording.NOTHING_ANSWERED
        sentence = wording.failing(len(self._failing), len(self._winner_rows))
        difficulty = self.result.difficulty_df()
        compared = difficulty[difficulty.notna().sum(axis=1) >= COMPARED_PROMPTS]
        never = compared.index[compared.max(axis=1) <= 0].tolist()
        return f"{sentence} {wording.never_right(never, len(compared), NAMED_ROWS)}" if never else sentence

    @property
    def read_from(self) -> str:
        """Why an answer may differ from the response's text."""
        form = (self.result.best.answer or {}) if self.answered else {}
        return wording.READ_FROM_LOGPROBS if form.get("mode") == "logprobs" else ""

    @property
    def failures(self) -> View:
        """The rows that the winner fails on, those with the same fault beside each other."""
        rows = tuple(failure.values for group in self.failing_groups for failure in group.shown)
        return View(title=wording.worst_rows(self.read_from), columns=failing_columns(self.result), rows=rows)

    @cached_property
    def failing_groups(self) -> list[Group]:
        """The rows that the winner fails on, by what is wrong."""
        return failing_groups(self.result, self.by_target) if self.answered else []

    # How to reproduce it

    @property
    def reproduce(self) -> list[str]:
        """Commands and code that give the study, this report and the prompt again."""
        budget = self.result.summary.get("budget", {})
        flags = " ".join(f"--{name} {limit:g}" for name, limit in budget.items()) or "--calls …"
        flags += wording.objective_flags(self.result.objective)
        seed = self.result.identity.get("seed", 0)
        study, name = self.result.study, self.result.reference
        storage = shlex.quote(self.result.storage)
        models = [
            model for model, endpoint in self.result.identity.get("models", ()) if not endpoint.startswith("local:")
        ]
        given = f"  # and -m {shlex.quote(models[0])} where it was run so" if len(models) == 1 else ""
        return [
            f"prompt-search run STUDY.py {flags} --seed {seed} --name {shlex.quote(study)} --storage {storage}{given}",
            f"prompt-search report {shlex.quote(name)} --storage {storage} -o report.html",
            f"ps.open_result({self.result.storage!r}, {name!r}).best.messages(row)",
        ]

    @property
    def identity(self) -> View:
        """The settings of the study."""
        identity, summary = self.result.identity, self.result.summary
        rows = wording.split_rows(summary["search_rows"], summary["held_out_rows"]) if summary else ""
        facts = {
            "started": f"{datetime.fromtimestamp(self.result.created, UTC):%Y-%m-%d %H:%M} UTC",
            "template": summary.get("template", ""),
            "data": identity.get("data", ""),
            "rows": rows,
            "model": "; ".join(f"{name} at {endpoint}" for name, endpoint in identity.get("models", ())),
            "answer": json.dumps(identity.get("answers", []), ensure_ascii=False),
            "metric": identity.get("metric", ""),
            "objective": "" if self.result.objective is None else objective_text(self.result.objective),
            "seed": str(identity.get("seed", "")),
            "sampler": identity.get("sampler", ""),
            "prompt_search": _release(),
        }
        return View(
            title=wording.IDENTITY_CAPTION,
            columns=(Column("setting"), Column("value")),
            rows=tuple((name, value) for name, value in facts.items() if value),
        )


def capped_advice(result: StoredStudy) -> str | None:
    """What to do where the caps of the objective decide that; None where the verdict decides."""
    if result.objective is None or result.cap is None or not (result.finished and len(result.trials_df())):
        return None
    return advice(result.objective, result.cap, result.cap_of(0) or "under", result.best_trial)


def _release() -> str:
    """The version of this package; nothing where it is not installed but found in a source tree."""
    try:
        return metadata.version("prompt_search")
    except metadata.PackageNotFoundError:
        return ""
