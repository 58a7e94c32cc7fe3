"""A study: one template, one labelled data set, one model, and the search for the prompt to ship."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_search import _html, metrics
from prompt_search.answers.base import Answer
from prompt_search.budget import Budget
from prompt_search.data.dataset import Dataset
from prompt_search.errors import StudyError
from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.llm.dask_executor import AnyExecutor
from prompt_search.llm.model import Model
from prompt_search.metrics.base import Metric
from prompt_search.prompts.factors import Candidate, Options
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.space import SearchSpace
from prompt_search.prompts.template import Template
from prompt_search.search.optuna_adapter import OptunaPruner, OptunaSampler
from prompt_search.storage.database import shown_url, storage_url
from prompt_search.storage.optuna_mirror import OptunaStudy
from prompt_search.study.plan import HELD_OUT_SHARE, MirrorWhen, StudyPlan, StudySettings

if TYPE_CHECKING:
    from prompt_search.report.cross_fit import CrossFit
    from prompt_search.report.result import Result
    from prompt_search.storage.store import Store
    from prompt_search.study.estimate import Estimate
    from prompt_search.study.preflight import Preflight
    from prompt_search.study.snapshot import Snapshot

# The stages are imported by the methods that need them: to read a study file must not take scipy, pandas and optuna.


class _PlanAttributes:
    """The attributes of a study that come from its plan."""

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
    def answers(self) -> list[Answer]:
        """The answer forms to choose from."""
        return list(self.plan.prompts.answers)

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


class Study(_PlanAttributes):
    """A study: a search of one template for its best prompt, and a test of the winner.

    Args:
        template: a `Template`; its choices are the search space.
        data: labelled rows.
        model: a `Model`, a model name, or a choice of models.
        answer: the answer form, which parses responses, or a choice of forms; default: `Label` over the data's
            labels, or `Text` when the target has many values.
        metric: ``(answer, row) -> bool | float | Score``, larger is better.
        context: values for the template's variables; ``target`` (the target's column name) is defined already,
            and so is ``labels`` when the target has few values.
        request: further request parameters, each a value or a choice; None removes a parameter that is sent by
            default. The temperature is 0 unless given.
        name: name under which the study is stored.
        storage: the path of an SQLite file, or an SQLAlchemy URL; None keeps everything in memory.
        seed: seed of everything random.
        max_concurrency: number of requests in flight, for each model (and each worker of the executor).
        sampler: an Optuna sampler that replaces the default search.
        pruner: an Optuna pruner that replaces the default early stopping. Trials then continue, in batches of ten
            rows, until it stops them; a trial that it does not stop gets a twelfth of the calls, but 20 to 100 rows.
        test: the test rows: their number, their share of all rows, or their positions; default: 0.3.
        executor: a ``dask.distributed.Client`` or the address of a Dask scheduler, whose workers then send the
            requests, each worker up to ``max_concurrency`` at once for each model (see docs/many-machines.md); or an
            object with the method ``connect`` of `prompt_search.llm.transport.Executor`, such as a fake model in tests.
        mirror: ``live`` writes the trials for optuna-dashboard while the study runs; ``end``, the default, when it
            ends, and only where the storage is used with Optuna.

    Attributes:
        plan: the settings, the split of the rows, and the candidates.

    Raises:
        InputError: an argument is wrong; raised before any request.
    """

    def __init__(
        self,
        *,
        template: Template,
        data: Dataset,
        model: Model | str | Options,
        answer: Answer | Options | None = None,
        metric: Metric = metrics.exact,
        context: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
        name: str = "study",
        storage: str | Path | None = None,
        seed: int = 0,
        max_concurrency: int = 16,
        sampler: OptunaSampler | None = None,
        pruner: OptunaPruner | None = None,
        test: int | float | Sequence[int] = HELD_OUT_SHARE,
        executor: AnyExecutor | None = None,
        mirror: MirrorWhen = "end",
    ) -> None:
        settings = StudySettings(
            template=template,
            data=data,
            model=model,
            answer=answer,
            metric=metric,
            context=context,
            request=request,
            name=name,
            storage=None if storage is None else storage_url(storage),
            seed=seed,
            max_concurrency=max_concurrency,
            sampler=sampler,
            pruner=pruner,
            test=test,
            executor=executor,
            mirror=mirror,
        )
        self.plan = StudyPlan.of(settings)
        self._result: Result | None = None
        self._memory: Store | None = None
        """The storage of the last run, where the study keeps everything in memory."""

    def enqueue(self, choices: Mapping[str, Any] | None = None, *, prompt: Prompt | str | None = None) -> None:
        """Add a candidate that becomes a trial in any case, right after the default (as Optuna's ``enqueue_trial``).

        Args:
            choices: the option, or its text, by choice name; choices that are missing have their first option.
            prompt: in place of choices a prompt that was written as a whole, as text with ``{{ row.field }}`` or as a
                `Prompt`. It is raced like the others; instead of choices it has a name, in the column ``written``. One
                with an answer form is sent as it is, another with the study's first form, model and request parameters.

        Raises:
            InputError: an unknown choice or option, or a prompt that does not fit the data.
        """
        if (choices is None) == (prompt is None):
            raise StudyError("enqueue takes either choices or a whole prompt=; give one of them")
        whole = Prompt.from_text(prompt) if isinstance(prompt, str) else prompt
        self.plan = self.plan.with_enqueued(choices or {} if whole is None else whole)

    @property
    def optuna_study(self) -> OptunaStudy:
        """The finished run as an Optuna study, see `Result.optuna_study`.

        Raises:
            StudyError: there was no run yet.
        """
        if self._result is None:
            raise StudyError(f"the study {self.name!r} has no Optuna study before a run; call run(budget) first")
        return self._result.optuna_study

    def replace(self, **changes: Any) -> Study:
        """The same study with other settings.

        Raises:
            InputError: as `Study`.
        """
        settings = self.plan.settings
        study = Study(**{**{field.name: getattr(settings, field.name) for field in fields(settings)}, **changes})
        for candidate in self.plan.enqueued:
            study.plan = study.plan.with_enqueued(candidate)
        study._memory = self._memory
        return study

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

    def run(
        self,
        budget: Budget | int,
        *,
        progress: Callable[[Snapshot], None] | None = None,
        fresh: bool = False,
        retry_errors: bool = False,
        test: bool = True,
        n_trials: int | None = None,
    ) -> Result:
        """Search, then score winner and baselines on the test rows; the same call resumes an interrupted run.

        It works with or without a running event loop. Every response is stored before it counts, so nothing is paid
        twice.

        Args:
            budget: limits of what may be spent; a number counts calls.
            progress: called with a `Snapshot` after every response; default: a view below a notebook's cell.
            fresh: delete the stored study of this name and start over (its responses stay cached, and cost nothing).
            retry_errors: send requests that failed in an earlier run again.
            test: False does not score the test rows and spends the whole budget on the search, for those who test
                on rows of their own.
            n_trials: the largest number of candidates to try; default: the search decides.

        Raises:
            InputError: the stored study differs, the storage cannot be opened, or ``n_trials`` is below 1.
            RunError: the model's server cannot be reached or refuses all requests; all responses so far are stored.
        """
        from prompt_search.study.run import RunOptions, run

        options = RunOptions(progress=progress, fresh=fresh, retry_errors=retry_errors, test=test, n_trials=n_trials)
        self._result, store = run(self.plan, _budget(budget), options)
        self._memory = store if store.in_memory else None
        return self._result

    def estimate(self, budget: Budget | int) -> Estimate:
        """The calls, tokens, US dollars and seconds that a run with this budget is expected to take; sends nothing.

        The estimate is based on cached responses of this study or its preflight if there are any, else on rendered
        prompts and the largest number of tokens that answers may have; ``basis`` says on which.

        Args:
            budget: budget of the run; a number counts calls.

        Raises:
            InputError: the storage cannot be opened, or the budget cannot be kept.
        """
        from prompt_search.study.estimate import estimate

        return estimate(self.plan, _budget(budget))

    def cross_fit(
        self,
        budget: Budget | int,
        folds: int = 3,
        *,
        progress: Callable[[Snapshot], None] | None = None,
        fresh: bool = False,
        retry_errors: bool = False,
        n_trials: int | None = None,
    ) -> CrossFit:
        """A search over all rows, with an unbiased test by cross-validation, for data with too few rows for a test set.

        The rows are divided into folds. For each fold, one search uses the other rows, and its winner is scored on the
        fold, so every row is scored by a search that did not use it. One more search over all rows gives the prompt to
        ship. The test is about the winners of such searches, which have fewer rows than the shipped prompt had (Stone
        1974, Cross-validatory choice and assessment of statistical predictions). The budget is divided evenly among
        the searches. The same call resumes, as for `run`.

        Args:
            budget: limits of what all searches together may spend; a number counts calls.
            folds: number of folds.
            progress, fresh, retry_errors, n_trials: as for `run`, for each search.

        Raises:
            InputError: there are too few rows, or the data has a split column; and as `run`.
            RunError: as `run`.
        """
        from prompt_search.study.cross_fit import cross_fit
        from prompt_search.study.run import RunOptions

        options = RunOptions(progress=progress, fresh=fresh, retry_errors=retry_errors, n_trials=n_trials)
        return cross_fit(self.plan, _budget(budget), folds, options)

    def rescore(self, of: str | None = None) -> Result:
        """Parse and score a study's cached responses again, by this study's answer form and metric, without a call.

        Answer form, metric and the rows' targets may differ from the stored study's. Prompts, model, rows and responses
        are the stored ones; without a storage, those of the last run of this study, or of the study that it was made
        from by `replace`. The winner stays the prompt that was scored on test rows; the result says whether another
        prompt is now expected to be better.

        Args:
            of: the stored study's name; default: this one's.

        Returns:
            a new stored study, whose name is ``of`` with " rescored".

        Raises:
            StudyError: there is no such study, it is unfinished, or its rows or its search space differ.
            InputError: the metric raises, or the storage cannot be opened.
        """
        from prompt_search.study.rescore import rescore

        return rescore(self.plan, of or self.name, self._memory)

    def preflight(self, budget: Budget | int | None = None) -> Preflight:
        """Check with a few calls, at most 60 and at most 5% of the budget, whether a search is worth its cost.

        The default prompt and some others are scored on some of the search rows. A later `run` with the same storage
        uses these responses. It works with or without a running event loop.

        Args:
            budget: budget of the planned run; a number counts calls.

        Raises:
            InputError: the storage cannot be opened.
            RunError: the model's server cannot be reached or refuses all requests.
        """
        from prompt_search.study.preflight import preflight

        return preflight(self.plan, None if budget is None else _budget(budget))

    def __repr__(self) -> str:
        models = ", ".join(model.name for model in self.models)
        return (
            f"Study({self.name!r}: {self.template.name}, {len(self.search_rows)} search rows, {len(self.test_rows)} "
            f"test rows, model {models}, metric {self.plan.metric_name})"
        )

    def _repr_html_(self) -> str:
        if self._result is not None:
            return self._result._repr_html_()
        settings = {
            "template": self.template.name,
            "rows": f"{len(self.search_rows)} search rows, {len(self.test_rows)} test rows",
            "model": ", ".join(model.name for model in self.models),
            "metric": self.plan.metric_name,
            "storage": shown_url(self.storage) if self.storage else "in memory",
            "choices": ", ".join(factor.name for factor in self.space().factors),
            "candidates": f"{self.space().size()[0]:,}",
        }
        return _html.block(_html.table(f"{self.name}: not run in this session", ("setting", "value"), settings.items()))


def _budget(budget: Budget | int) -> Budget:
    """A budget; a number counts calls."""
    return Budget(calls=budget) if isinstance(budget, int) else budget
