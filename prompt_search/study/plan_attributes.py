"""What a study says of its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prompt_search.answers.base import Answer
from prompt_search.data.dataset import Dataset
from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.llm.model import Model
from prompt_search.metrics.base import Metric
from prompt_search.metrics.objective import Objective, objective_text
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.space import SearchSpace
from prompt_search.prompts.template import Template
from prompt_search.study.plan import StudyPlan


class PlanAttributes:
    """What a study says of its plan: settings, candidates and their prompts."""

    plan: StudyPlan

    @property
    def name(self) -> str:
        """Name under which the study is stored."""
        return self.plan.name

    @property
    def data(self) -> Dataset:
        """All rows."""
        return self.plan.data

    @property
    def template(self) -> Template:
        """The template, with the study's context."""
        return self.plan.prompts.template

    @property
    def metric(self) -> Metric:
        """The metric."""
        return self.plan.settings.metric

    @property
    def metric_name(self) -> str:
        """The metric's name."""
        return self.plan.metric_name

    @property
    def storage(self) -> str | None:
        """SQLAlchemy URL of the storage; None: in memory."""
        return self.plan.settings.storage

    @property
    def seed(self) -> int:
        """Seed of everything that is left to chance."""
        return self.plan.settings.seed

    @property
    def max_concurrency(self) -> int:
        """Number of requests in flight, for each model."""
        return self.plan.settings.max_concurrency

    @property
    def models(self) -> list[Model]:
        """The models to choose from."""
        return list(self.plan.models)

    @property
    def proposer(self) -> Proposer | None:
        """The model that proposes options, and how."""
        return self.plan.proposer

    @property
    def objective(self) -> Objective | None:
        """What is maximized; None for the score alone."""
        return self.plan.settings.objective

    @property
    def answers(self) -> list[Answer]:
        """The answer forms to choose from."""
        return list(self.plan.prompts.answers)

    @property
    def shown_settings(self) -> dict[str, str]:
        """The settings that a study is shown with, each in a few words."""
        return {
            "rows": f"{len(self.search_rows)} search rows, {len(self.test_rows)} test rows",
            "model": ", ".join(model.name for model in self.models),
            "metric": self.metric_name,
            **({} if self.plan.judge is None else {"judge": self.plan.judge.model.name}),
            **({} if self.proposer is None else {"proposer": self.proposer.model.name}),
            **({"requests": "in batches"} if self.plan.settings.batch else {}),
            **({} if self.objective is None else {"objective": objective_text(self.objective)}),
            **({} if self.plan.task is None else {"task": self.plan.task.name}),
        }

    @property
    def search_rows(self) -> list[int]:
        """Positions of the rows that the search may use, in the order in which every candidate is scored on them."""
        return self.plan.search_rows

    @property
    def test_rows(self) -> list[int]:
        """Positions of the test rows, in the order in which they are tested."""
        return self.plan.test_rows

    @property
    def sealed(self) -> str:
        """A digest of which rows are test rows; studies of the same data and split share it."""
        return self.plan.sealed

    def space(self) -> SearchSpace:
        """The search space: the choices, their options and conditions, and the number of candidates.

        Raises:
            TemplateError: see `Template.space`.
        """
        return self.plan.prompts.space

    def prepared(self, candidate: Candidate) -> PreparedPrompt:
        """The prompt of a candidate, with its model and answer form."""
        return self.plan.prompts.prepared(candidate)

    def rows_for(self, candidate: Candidate) -> Sequence[int]:
        """The rows that a candidate may be scored on: the search rows that its prompt does not show as examples."""
        return self.plan.prompts.rows_for(candidate)

    def prompt(self, choices: Mapping[str, Any] | None = None) -> Prompt:
        """The prompt of some choices: option, or its text, by choice name; missing choices have their first option."""
        return self.prepared(self.space().candidate_of(choices or {})).prompt

    def identity(self) -> dict[str, Any]:
        """The settings that identify the study: a stored study is resumed only if all of them are equal."""
        return self.plan.identity()
