"""The settings of a study, and the plan that they make: settings checked, rows split, candidates known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from itertools import product
from typing import Any

from prompt_search import metrics
from prompt_search.answers.base import Answer
from prompt_search.answers.forms import default_answer
from prompt_search.budget import Budget, Ledger, unbounded
from prompt_search.data.dataset import Dataset
from prompt_search.errors import InputError, StudyError
from prompt_search.evaluation.judging.judge import Judge
from prompt_search.evaluation.judging.judge_check import check_judge
from prompt_search.evaluation.label_check import check_labels, check_target_hidden
from prompt_search.evaluation.session import check_priced, cost_of, distinct
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.evaluation.task_runs.row_calls import RowCalls
from prompt_search.llm.dask_executor import executor_of
from prompt_search.llm.messages import ANSWER_LIMITS, Request, Usage
from prompt_search.llm.model import Model, known_secrets
from prompt_search.llm.transport import Executor
from prompt_search.prompts.environment import environment
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.few_shot import BY_OWN_ANSWERS, ExamplePool, OwnAnswers, rows_shown
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.task import Task
from prompt_search.prompts.requests.task_check import check_needs_task, check_task_settings, check_task_shots
from prompt_search.prompts.space import WRITTEN
from prompt_search.search.order import common_order, design
from prompt_search.search.settings import SEARCH_VERSION, Goal
from prompt_search.storage.ownership.lease import Lease
from prompt_search.storage.records import ProposalRecord
from prompt_search.storage.store import Store
from prompt_search.study.arguments.prior import prior_identity
from prompt_search.study.arguments.settings import StudySettings
from prompt_search.study.candidates import (
    CandidatePrompts,
    check_apart,
    check_grows,
    checked_request,
    options_of,
    settings_factors,
)

TEST_SHARE = 0.3
"""Share of a budget that winner and baselines together may use on the test rows, at most."""

POOL_ROWS = 100
"""Number of search rows that few-shot examples may come from."""

PROMPT = "prompt"
"""The key of a prompt that was enqueued as a whole, in the identity of a study."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyPlan:
    """What running, estimating and rescoring a study have in common.

    Attributes:
        settings: the settings.
        executor: who sends the requests; None: this process.
        models: the models to choose from.
        search_rows, test_rows: positions of the search rows and of the test rows, in their common order.
        prompts: the search space, and the prompts of its candidates.
        enqueued: candidates that are raced in any case: choices, or prompts that were written as a whole.
    """

    settings: StudySettings
    executor: Executor | None
    models: Sequence[Model]
    search_rows: list[int]
    test_rows: list[int]
    prompts: CandidatePrompts
    enqueued: tuple[Mapping[str, Any] | Prompt, ...] = ()

    @classmethod
    def of(cls, settings: StudySettings, enqueued: Sequence[Mapping[str, Any] | Prompt] = ()) -> StudyPlan:
        """The plan of a study with these settings, and these candidates enqueued.

        Raises:
            InputError: anything that is wrong with the settings, before any request.
        """
        data, models = settings.data, settings.models
        executor = executor_of(settings.executor, settings.name, settings.asked_models)
        answers: list[Answer] = options_of(settings.answer if settings.answer is not None else default_answer(data))
        request = checked_request(settings.request or {})
        metrics.check(settings.metric, [*data.fields, data.target])
        check_judge(settings.metric, answers, [*data.fields, data.target])
        check_task_settings(settings.task, answers, has_objective=settings.objective is not None)
        splits = data.splits(settings.test, settings.seed)
        known = {"target": data.target, **({"labels": data.labels} if data.is_categorical else {})}
        template = settings.template.with_context({**known, **(settings.context or {})})
        template.check(data.fields, data.target)
        check_apart(template, request)
        search_rows = _ordered(data, splits.search, settings.seed)
        plan = cls(
            settings=settings,
            executor=executor,
            models=models,
            search_rows=search_rows,
            # A small budget tests on the first of the test rows, so they are in a common order too.
            test_rows=_ordered(data, splits.test, settings.seed),
            prompts=CandidatePrompts(
                template=template,
                data=data,
                search_rows=search_rows,
                pool=_example_pool(data, search_rows),
                models=models,
                answers=answers,
                request=request,
                settings=settings_factors(settings.answer, answers, settings.model, models, request),
            ),
        )
        check_labels(answers, settings.metric, data)
        check_target_hidden(environment().parse(template.source), data)
        plan = plan._asking_about_pool()
        check_task_shots(settings.task, asks_about_pool=plan.asks_about_pool)
        if settings.proposer is not None:
            check_grows(plan.prompts.space, settings.proposer)
        for each in enqueued:
            plan = plan.with_enqueued(each)
        return plan

    def _asking_about_pool(self) -> StudyPlan:
        """The same plan; where an option picks shots by what the model itself answers, one that is ready to ask."""
        said = self.prompts.template.source + repr(self.prompts.template.context)
        if not any(kind in said for kind in BY_OWN_ANSWERS):  # then none is offered, and no space has to be made
            return self
        asking = self.with_own_answers(OwnAnswers())
        return asking if asking.prompts.needs_own_answers else self

    def with_own_answers(self, own: OwnAnswers | None) -> StudyPlan:
        """The same plan, where it is known how the model itself answers the rows of the pool. Candidates stay the same,
        and some of them show other shots."""
        return replace(self, prompts=self.prompts.with_own_answers(own))

    @property
    def asks_about_pool(self) -> bool:
        """Whether the model has to be asked about the rows of the pool before the search."""
        return self.prompts.pool.own is not None

    def with_enqueued(self, candidate: Mapping[str, Any] | Prompt) -> StudyPlan:
        """The same plan with one more candidate that is raced in any case: choices, or a prompt written as a whole.

        Raises:
            InputError: an unknown choice or option, or a prompt that does not fit the data.
        """
        if isinstance(candidate, Prompt):
            check_needs_task(candidate, self.task)
            shown = rows_shown(candidate.source, self.data, self.test_rows)
            if shown:
                raise StudyError(
                    f"{candidate.name} shows {len(shown)} of the test rows as examples (row "
                    f"{', '.join(map(str, sorted(shown)[:3]))}{', …' * (len(shown) > 3)}), so that a test would not be "
                    "fair; show others, such as those of study.search_rows"
                )
            return replace(self, prompts=self.prompts.with_written(candidate), enqueued=(*self.enqueued, candidate))
        self.prompts.space.candidate_of(candidate)
        return replace(self, enqueued=(*self.enqueued, dict(candidate)))

    def has_enqueued(self, candidate: Mapping[str, Any] | Prompt) -> bool:
        """Whether the same choices, or a prompt that is the same but for its name, are enqueued already.

        Raises:
            InputError: an unknown choice or option.
        """
        if isinstance(candidate, Prompt):
            written = [each for each in self.enqueued if isinstance(each, Prompt)]
            return any(replace(each, name=candidate.name) == candidate for each in written)
        return self.prompts.space.candidate_of(candidate) in self.enqueued_candidates

    def changed(self, *, name: str, test: Sequence[int] | None = None) -> StudyPlan:
        """The same study under another name, and with other test rows where they are given."""
        settings = replace(self.settings, name=name)
        return self.of(settings if test is None else replace(settings, test=test), self.enqueued)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.settings.name

    @property
    def watched(self) -> bool:
        """Whether its trials are written for optuna-dashboard while it runs."""
        return self.settings.mirror == "live"

    @property
    def data(self) -> Dataset:
        """All rows."""
        return self.settings.data

    @property
    def metric_name(self) -> str:
        """The metric's name."""
        return metrics.metric_name(self.settings.metric)

    @cached_property
    def _fingerprint(self) -> str:
        """The digest of all rows, which takes a second for each 100,000 of them."""
        return self.data.fingerprint

    @cached_property
    def sealed(self) -> str:
        """A digest of which rows are test rows; studies of the same data and split share it."""
        return sha256(json.dumps([self._fingerprint, sorted(self.test_rows)]).encode()).hexdigest()

    @property
    def proposer(self) -> Proposer | None:
        """The model that proposes options, and how."""
        return self.settings.proposer

    @property
    def asked_models(self) -> list[Model]:
        """All models that are sent requests, each once: those that score prompts, and the proposer's."""
        return distinct(self.settings.asked_models)

    @property
    def judge(self) -> Judge | None:
        """The judge, where the metric is one."""
        return self.settings.metric if isinstance(self.settings.metric, Judge) else None

    @property
    def task(self) -> Task | None:
        """The user's own program that answers the rows, where there is one."""
        return self.settings.task

    def calls_per_row(self, counted: RowCalls | None = None) -> float:
        """The number of calls that a row of a prompt takes: its own, and those of the judge. How many a task makes is
        what was counted so far, or what the user says of it."""
        own = 1 if self.task is None else self.task.calls if counted is None else counted.mean
        return own + (0 if self.judge is None else self.judge.calls)

    @property
    def grows(self) -> bool:
        """Whether options may be proposed: a proposer without a choice that may grow is refused."""
        return self.proposer is not None

    def with_grown(self, accepted: Sequence[ProposalRecord]) -> StudyPlan:
        """The same plan with options that were proposed and accepted."""
        return replace(self, prompts=self.prompts.with_grown(accepted)) if accepted else self

    @property
    def max_tested(self) -> int:
        """The highest number of prompts that are tested on test rows: winner, default, the best written by hand."""
        return 3 if self.grows or {*self.enqueued_candidates} - {self.prompts.space.candidate({})} else 2

    def rows_to_test(self, calls: float, prompts: int, counted: RowCalls | None = None) -> int:
        """The number of test rows that so many calls leave room for, if so many prompts are tested on each."""
        each = prompts * self.calls_per_row(counted)
        return min(len(self.test_rows), int(calls * TEST_SHARE / each)) if prompts else 0

    def search_calls(self, calls: float, prompts: int, counted: RowCalls | None = None) -> float:
        """The number of calls that the search may spend of so many, if so many prompts are tested."""
        return calls - prompts * self.calls_per_row(counted) * self.rows_to_test(calls, prompts, counted)

    @property
    def enqueued_candidates(self) -> list[Candidate]:
        """The candidates that are raced in any case."""
        names = iter(self.prompts.written)
        chosen = [{WRITTEN: next(names)} if isinstance(each, Prompt) else each for each in self.enqueued]
        return [self.prompts.space.candidate_of(choices) for choices in chosen]

    @property
    def first_candidates(self) -> list[Candidate]:
        """The candidates that a search begins with, each once: default, enqueued ones, the design."""
        space = self.prompts.space
        found = [space.candidate({}), *self.enqueued_candidates]
        found += [space.candidate(positions) for positions in design(space, self.settings.seed)]
        return list(dict.fromkeys(found))

    def identity(self) -> dict[str, Any]:
        """The settings that make a study this study: a stored one is continued only while all of them are equal
        but for the range of the metric, by which results are shown."""
        settings, prompts = self.settings, self.prompts
        return {
            "template": prompts.template.source,
            "context": prompts.template.context,
            "data": self._fingerprint,
            "rows": [len(self.search_rows), len(self.test_rows), self.sealed[:12]],
            "models": [[model.name, model.endpoint] for model in self.models],
            "answers": [answer.to_dict() for answer in prompts.answers],
            "metric": self.metric_name if self.judge or not is_dataclass(settings.metric) else repr(settings.metric),
            "metric_range": metrics.metric_range(settings.metric).to_json(),
            "request": {key: [str(option) for option in options_of(value)] for key, value in prompts.request.items()},
            "seed": settings.seed,
            "search": SEARCH_VERSION,
            "sampler": type(settings.sampler).__name__ if settings.sampler else "default",
            "pruner": type(settings.pruner).__name__ if settings.pruner else "default",
            "enqueued": [
                {**prompts.space.texts(candidate), **({PROMPT: each.to_dict()} if isinstance(each, Prompt) else {})}
                for candidate, each in zip(self.enqueued_candidates, self.enqueued, strict=True)
            ],
            **({} if self.proposer is None else {"proposer": self.proposer.identity()}),
            **({} if settings.prior is None else {"prior": prior_identity(settings.prior)}),
            **({} if self.judge is None else {"judge": self.judge.identity()}),
            **({} if settings.objective is None else {"objective": settings.objective.to_dict()}),
            **({} if self.task is None else {"task": self.task.identity()}),
        }

    def check_budget(self, budget: Budget) -> None:
        """Refuse a budget that cannot be kept, or an objective without prices; fetches and hashes the weights of an
        embedded model.

        Raises:
            InputError: a price is unknown, or a request does not say how long its answer may be.
        """
        for model in self.asked_models:
            _ = model.endpoint
            check_priced(budget, model)
        if self.settings.objective is not None:
            self.settings.objective.check_priced(self.models)
        if budget.tokens is None and budget.usd is None:
            return
        request = self.prompts.request
        given = [options_of(request[name]) for name in ANSWER_LIMITS if name in request]
        for answer in self.prompts.answers:
            bounds = [answer.parameters[name] for name in ANSWER_LIMITS if name in {*answer.parameters} - {*request}]
            if not bounds and any(not any(limits) for limits in product(*given)):
                raise InputError(unbounded(budget, self.models[0].name))
        for candidate in self.enqueued_candidates:
            prompt = self.prompts.prepared(candidate).prompt
            if not any(prompt.parameters.get(name) for name in ANSWER_LIMITS):
                raise InputError(unbounded(budget, str(prompt.model)))

    def price(self, request: Request, usage: Usage) -> float:
        """US dollars that a request with such usage costs when it is sent alone; NaN where that is unknown."""
        return cost_of(self.asked_models, request, usage)

    @property
    def goal(self) -> Goal | None:
        """What a race maximizes; None for the score."""
        given = self.settings.objective
        return None if given is None else Goal(objective=given, size=self.prompts.size)

    def evaluation_settings(self, name: str, store: Store, ledger: Ledger, lease: Lease | None) -> EvaluationSettings:
        """How this study's prompts are scored, with calls stored under a name."""
        if lease is not None:
            lease.on_lost = lambda: ledger.stop("another process took the study over")
        return EvaluationSettings(
            study=name,
            rows=self.data.rows,
            metric=self.settings.metric,
            store=store,
            ledger=ledger,
            owner=lease.owner if lease else None,
            max_concurrency=self.settings.max_concurrency,
            seed=self.settings.seed,
            batch=self.settings.batch,
            task=self.task,
            secrets=partial(known_secrets, self.asked_models),
        )


def _ordered(data: Dataset, rows: Sequence[int], seed: int) -> list[int]:
    labels = [str(data.rows[row].target) for row in rows] if data.is_categorical else None
    return common_order(labels, rows, seed)


def _example_pool(data: Dataset, search_rows: Sequence[int]) -> ExamplePool:
    """The rows that examples come from: those at the end of the common order, on which few candidates are scored."""
    rows = (data.rows[row] for row in search_rows[-POOL_ROWS:])
    return ExamplePool(tuple({name: row[name] for name in row} for row in rows), data.target)
