"""A study: one template, one labelled data set, one model, and the search for the prompt to ship."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_search import _html
from prompt_search._first_tries import FirstTries, by_names, told
from prompt_search._names import MetricName
from prompt_search.budget import Budget
from prompt_search.data.dataset import AnyData, Dataset
from prompt_search.errors import StudyError
from prompt_search.llm.batches.api import check_batches
from prompt_search.llm.dask_executor import AnyExecutor
from prompt_search.llm.model import Model
from prompt_search.metrics.base import Metric
from prompt_search.metrics.default import metric_of
from prompt_search.metrics.objective import Objective, objective_of
from prompt_search.prompts.factors import Options
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.task import Task, TaskFunction
from prompt_search.prompts.template import Template
from prompt_search.search.optuna_adapter import OptunaPruner, OptunaSampler
from prompt_search.storage.database import shown_url, storage_url
from prompt_search.storage.optuna_mirror import OptunaStudy
from prompt_search.study import arguments
from prompt_search.study.arguments import budget_of
from prompt_search.study.arguments.settings import HELD_OUT_SHARE, MirrorWhen, StudySettings
from prompt_search.study.candidates import options_of
from prompt_search.study.plan import StudyPlan
from prompt_search.study.plan_attributes import PlanAttributes

if TYPE_CHECKING:
    from prompt_search.report.cross_fit import CrossFit
    from prompt_search.report.result import Result
    from prompt_search.storage.store import Store
    from prompt_search.study.estimate import Estimate
    from prompt_search.study.preflight import Preflight
    from prompt_search.study.snapshot import Snapshot

# The stages are imported by the methods that need them: to read a study file must not take scipy, pandas and optuna.


class Study(PlanAttributes, FirstTries):
    """A study: a search of one template for its best prompt, and a test of the winner.

    Args:
        template: a `Template`, whose choices are the search space; or a path; or a text. A text of one line without
            braces is the path of a file or the name of a shipped template; every other text is a template itself.
        data: labelled rows; or a table or the path of a file, as `Dataset` takes them, with ``target``.
        model: a `Model`, a model name, or a choice of models.
        answer: the answer form, which parses responses, or a choice of forms; a list of texts for these labels.
            ``label``, ``number``, ``text`` and ``json``, or the classes, take labels or schema from the data.
            Default: `Label` over the data's labels, or `Text` when the target has many values.
        metric: ``(answer, row) -> bool | float | Score``, larger is better; a `Judge`, which asks a model; or the name
            of one of `prompt_search.metrics`. Default: `exact`, and `fields` for JSON answers to targets of JSON text.
        context: values for the template's variables; ``target`` (its column's name) and ``labels`` are there already.
        request: further request parameters, each a value or a choice; None removes one. The temperature is 0.
        name: name under which the study is stored.
        storage: the path of an SQLite file, or an SQLAlchemy URL; None keeps everything in memory.
        seed: seed of everything random.
        max_concurrency: number of requests in flight, for each model (and each worker of the executor).
        sampler: an Optuna sampler that replaces the default search.
        pruner: an Optuna pruner that replaces the default early stopping. Trials then continue, by ten rows, until it
            stops them; one that it does not stop gets a twelfth of the calls, but 20 to 100 rows.
        test: the test rows: their number, their share of all rows, or their positions; default: 0.3.
        target: name of the column with the correct answers, where ``data`` is no `Dataset`.
        executor: a ``dask.distributed.Client`` or the address of a Dask scheduler, whose workers send the requests (see
            docs/many-machines.md); or an object with the method ``connect`` of `prompt_search.llm.transport.Executor`.
        mirror: ``live`` writes trials for optuna-dashboard while the study runs; ``end``, where it is used with Optuna.
        proposer: a model, or a `Proposer`, that proposes options of choices with ``grow=``, from the same budget.
        prior: earlier studies to start from: ``storage`` for all in it, one's name, or a `Result`; see docs/priors.md.
        batch: whether the requests of a round are sent as one batch, cheaper and within a day (see docs/batch.md).
        objective: what costs are worth in score, and caps on them; default: the score alone counts.
        task: ``async def task(prompt, row, call)``, or a `Task`: your own program that answers a row (docs/tasks.md).

    Attributes:
        plan: the settings, the split of the rows, and the candidates.

    Raises:
        InputError: an argument is wrong; raised before any request.
    """

    _instead = by_names(**{"study.run(600)": "optimize fit search start go execute", "study.optuna_study": "study"})

    @told("ps.Study(template=..., data=..., model=...)", **arguments.OF_OTHERS)
    def __init__(
        self,
        *,
        template: Template | str | Path,
        data: AnyData,
        model: Model | str | Options,
        answer: arguments.AnyAnswer | None = None,
        metric: Metric | MetricName | None = None,
        context: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
        name: str = "study",
        storage: str | Path | None = None,
        seed: int = 0,
        max_concurrency: int = 16,
        sampler: OptunaSampler | None = None,
        pruner: OptunaPruner | None = None,
        test: int | float | Sequence[int] = HELD_OUT_SHARE,
        target: str | None = None,
        executor: AnyExecutor | None = None,
        mirror: MirrorWhen = "end",
        proposer: Proposer | Model | str | None = None,
        prior: Result | str | None = None,
        batch: bool = False,
        objective: Objective | None = None,
        task: Task | TaskFunction | None = None,
    ) -> None:
        rows = Dataset.of(data, target)
        form = arguments.answer_of(answer, rows)
        arguments.check_others(test, seed, context, request)
        settings = StudySettings(
            template=arguments.template_of(template),
            data=rows,
            model=arguments.model_of(model),
            answer=form,
            metric=metric_of(metric, options_of(form), rows),
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
            proposer=Proposer.parse(proposer),
            prior=arguments.prior_of(prior),
            batch=batch,
            objective=objective_of(objective),
            task=Task.parse(task),
        )
        check_batches(batch, settings.models)
        self.plan = StudyPlan.of(settings)
        self._result: Result | None = None
        self._memory: Store | None = None  # of the last run, where the study keeps everything in memory

    def enqueue(
        self,
        choices: Mapping[str, Any] | None = None,
        *,
        prompt: Prompt | str | Path | Mapping[str, Any] | Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        """Add a candidate that becomes a trial in any case, right after the default (as Optuna's ``enqueue_trial``).

        One that is enqueued already is ignored with a warning, so that a notebook's cell may be run again.

        Args:
            choices: the option, or its text, by choice name; choices that are missing have their first option.
            prompt: a whole prompt instead: text with ``{{ row.field }}``, messages, a path, or a `Prompt`. It is raced
                under its name, in the column ``written``, with the study's first form and settings if it has none.

        Raises:
            InputError: an unknown choice or option, or a prompt that does not fit the data.
        """
        if (choices is None) == (prompt is None):
            raise StudyError("enqueue takes either choices or a whole prompt=; give one of them")
        if not isinstance(choices, Mapping | None):
            said = "write enqueue(prompt=...) for a whole prompt"
            raise StudyError(f"enqueue takes choices by name first, got {choices!r}; {said}")
        # The study has a metric of its own.
        candidate = choices if choices is not None else replace(Prompt.of(prompt), metric=None)
        if self.plan.has_enqueued(candidate):
            what = "this prompt" if isinstance(candidate, Prompt) else f"{candidate!r}"
            warnings.warn(f"{what} is enqueued already, and is ignored", stacklevel=2)
        else:
            self.plan = self.plan.with_enqueued(candidate)

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
        if not isinstance(changes.get("data", self.data), Dataset):
            changes.setdefault("target", self.data.target)
        study = Study(**{**{field.name: getattr(settings, field.name) for field in fields(settings)}, **changes})
        for candidate in self.plan.enqueued:
            study.plan = study.plan.with_enqueued(candidate)
        study._memory = self._memory
        return study

    @told("study.run(600)", calls="write study.run(600), or ps.Budget(calls=600)", max_calls="write study.run(600)")
    def run(
        self,
        budget: Budget | int | None = None,
        *,
        progress: Callable[[Snapshot], None] | None = None,
        fresh: bool = False,
        retry_errors: bool = False,
        test: bool = True,
        n_trials: int | None = None,
        on_finish: Callable[[Result], object] | None = None,
    ) -> Result:
        """Search, then score winner and baselines on the test rows; the same call resumes an interrupted run.

        It works with or without a running event loop. A response is stored before it counts: none is paid twice.

        Args:
            budget: limits of what may be spent; a number counts calls. Without one nothing is sent.
            progress: called with a `Snapshot` after every response; default: a view below a notebook's cell.
            fresh: delete the stored study of this name and start over (its responses stay cached, and cost nothing).
            retry_errors: send requests that failed in an earlier run again.
            test: False scores no test rows and spends the whole budget on the search.
            n_trials: the largest number of candidates to try; default: the search decides.
            on_finish: called once with the result, after it is stored; for trackers such as MLflow.

        Raises:
            InputError: there is no budget, the stored study differs, the storage cannot be opened, or ``n_trials`` is
                below 1.
            RunError: the model's server cannot be reached or refuses all requests; all responses so far are stored.
                Or ``on_finish`` raised; the result is stored.
        """
        from prompt_search.study.run import RunOptions, hand_over, run

        arguments.check_callable(progress=progress, on_finish=on_finish)
        options = RunOptions(progress=progress, fresh=fresh, retry_errors=retry_errors, test=test, n_trials=n_trials)
        self._result, store = run(self.plan, budget_of(budget, "run"), options)
        self._memory = store if store.in_memory else None
        if on_finish is not None:
            hand_over(self._result, on_finish)
        return self._result

    def estimate(self, budget: Budget | int | None = None) -> Estimate:
        """The calls, tokens, US dollars and seconds that a run with this budget is expected to take; sends nothing.

        The estimate is based on cached responses of this study or its preflight if there are any, else on rendered
        prompts and the largest number of tokens that answers may have; ``basis`` says on which.

        Args:
            budget: budget of the run; a number counts calls.

        Raises:
            InputError: the storage cannot be opened, or the budget cannot be kept.
        """
        from prompt_search.study.estimate import estimate

        return estimate(self.plan, budget_of(budget, "estimate"))

    def cross_fit(
        self,
        budget: Budget | int | None = None,
        folds: int = 3,
        *,
        progress: Callable[[Snapshot], None] | None = None,
        fresh: bool = False,
        retry_errors: bool = False,
        n_trials: int | None = None,
    ) -> CrossFit:
        """A search over all rows, with an unbiased test by cross-validation, for data with too few rows for a test set.

        For each fold of the rows, one search uses the other rows, and its winner is scored on the fold, so every row is
        scored by a search that did not use it. One more search over all rows gives the prompt to ship. The test is
        about the winners of such searches, which have fewer rows than the shipped prompt had (Stone 1974). The budget
        is divided evenly among the searches. The same call resumes, as for `run`.

        Args:
            budget: limits of what all searches together may spend; a number counts calls.
            folds: number of folds.
            progress, fresh, retry_errors, n_trials: as for `run`, for each search.

        Raises:
            InputError, RunError: there are too few rows, or the data has a split column; and as `run`.
        """
        from prompt_search.study.cross_fit import cross_fit
        from prompt_search.study.run import RunOptions

        options = RunOptions(progress=progress, fresh=fresh, retry_errors=retry_errors, n_trials=n_trials)
        return cross_fit(self.plan, budget_of(budget, "cross_fit"), folds, options)

    def rescore(self, of: str | None = None) -> Result:
        """Parse and score a study's cached responses again, by this study's answer form and metric, without a call.

        Answer form, metric and targets may differ from the stored study's. Prompts, model, rows and responses are the
        stored ones; without a storage, those of the last run of this study, or of the one that it replaces. The winner
        stays the prompt that was scored on test rows; the result says whether another is now expected to be better.

        Args:
            of: the stored study's name, or ``name@1`` for its first result; default: this one's name.

        Returns:
            a new stored study, whose name is ``of`` with " rescored"; where there is one, another version of it.

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

        return preflight(self.plan, None if budget is None else budget_of(budget, "preflight"))

    def __repr__(self) -> str:
        about = dict(self.shown_settings)
        rows = about.pop("rows")
        others = ", ".join(f"{name} {value}" for name, value in about.items())
        return f"Study({self.name!r}: {self.template.name}, {rows}, {others})"

    def _repr_html_(self) -> str:
        if self._result is not None:
            return self._result._repr_html_()
        settings = {
            "template": self.template.name,
            **self.shown_settings,
            "storage": shown_url(self.storage) if self.storage else "in memory",
            "choices": ", ".join(factor.name for factor in self.space().factors),
            "candidates": f"{self.space().size()[0]:,}",
        }
        return _html.block(_html.table(f"{self.name}: not run in this session", ("setting", "value"), settings.items()))
