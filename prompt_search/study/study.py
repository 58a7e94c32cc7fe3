"""A study: one template, one labelled data set, one model, and the search for the prompt to ship."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, is_dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import islice, product
from typing import TYPE_CHECKING, Any, TypeVar

from prompt_search import _html, metrics
from prompt_search._json import reading
from prompt_search.answers.forms import Answer, default_answer
from prompt_search.budget import ANSWER_LIMITS, Budget, Ledger, unbounded
from prompt_search.data.dataset import Dataset, Row
from prompt_search.data.duplicates import near_duplicates
from prompt_search.errors import InputError, RunError, StudyError
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.executor import DaskClient, executor_of
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.evaluation.own_thread import in_own_thread
from prompt_search.evaluation.session import check_priced, connected_evaluator, opened
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.client import Executor, Model
from prompt_search.llm.messages import Request, Response, Usage
from prompt_search.metrics.corpus import Corpus
from prompt_search.metrics.row import Metric
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.space import Candidate, Factor, Kind, Options, SearchSpace
from prompt_search.prompts.template import Template
from prompt_search.results.result import CrossFit, Result
from prompt_search.results.statistics import mean_interval
from prompt_search.search.optuna_adapter import proposals, stops
from prompt_search.search.order import common_order, design
from prompt_search.search.race import Race
from prompt_search.search.settings import BATCH_ROWS, SEARCH_VERSION, CallBudget, RaceSettings
from prompt_search.search.trial import DEFAULT_TRIAL, Trial
from prompt_search.storage.lease import Lease
from prompt_search.storage.records import SampleRecord, StudyRecord, TrialRecord, none_if_nan
from prompt_search.storage.store import Store, changes, shown_url
from prompt_search.storage.summary import Summary
from prompt_search.study.estimate import Estimate, estimated
from prompt_search.study.preflight import Preflight, Probe, advise, blocks_of, part_of, probe
from prompt_search.study.progress import DONE, Snapshot, in_notebook

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

HELD_OUT = 0.3
"""The part of the rows that is sealed for the test unless the data says otherwise."""

TEST_SHARE = 0.3
"""The most of the budget that winner, default and the best prompt written by hand may use on the sealed rows."""

PREFLIGHT = "(preflight) {}"
"""Under which name the calls of a study's preflight are kept."""

MOST_COMPARED = 500
"""How many sealed rows, and a tenth of how many search rows, are compared for near repetitions."""

CHANGED_BY_RESCORING = ("data", "answers", "metric", "rows", "search", "enqueued", "sampler", "pruner")
"""In what a study may differ from the one whose responses it reads anew."""

POOL_ROWS = 100
"""From how many of the search rows shots may come."""


class Study:
    """Searches one template for its best prompt.

    Args:
        template: a `Template`; its choices are the space.
        data: labelled rows.
        model: a `Model`, a model name, or a choice of models.
        answer: how a response is read, or a choice of ways; default: `Label` over the data's labels, or
            `Text` when the target has many values.
        metric: ``(answer, row) -> bool | float | Score``, larger is better.
        context: values for the template's variables; ``target`` (the target's column name) is there already, and
            ``labels`` when the target has few values.
        request: further request parameters, each a value or a choice; None drops one of ours. The temperature
            is 0 unless given.
        name: under which name the store keeps it.
        storage: an SQLAlchemy URL; None keeps everything in memory.
        seed: for all that is left to chance.
        max_concurrency: requests in flight, for each model (and each worker of the executor).
        sampler: an Optuna sampler in place of ours.
        pruner: an Optuna pruner in place of ours. Trials then go on, in blocks of ten rows, until it stops them;
            a trial that it does not stop takes a twelfth of the calls, but 20 to 100 rows.
        test: rows kept for the sealed test: a number, a part of all, or their row numbers; default 0.3.
        executor: a ``dask.distributed.Client``, or the address of a Dask scheduler, whose workers send the requests
            then, each of them ``max_concurrency`` at once for each model; see docs/many-machines.md. Or an object with
            the method ``connect`` of `prompt_search.llm.client.Executor`, such as a fake model in tests.

    Raises:
        InputError: anything that is wrong with the above, before any request.
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
        storage: str | None = None,
        seed: int = 0,
        max_concurrency: int = 16,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        test: int | float | Sequence[int] = HELD_OUT,
        executor: Executor | DaskClient | str | None = None,
    ) -> None:
        self._settings = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        if not name:
            raise StudyError("a study needs a name, got an empty one")
        if max_concurrency < 1:
            raise StudyError(f"max_concurrency must be at least 1, got {max_concurrency}")
        self.name = name
        self.data = data
        self.metric = metric
        self.storage = storage
        self.seed = seed
        self.max_concurrency = max_concurrency
        self.sampler = sampler
        self.pruner = pruner
        self.models = [Model.parse(m) if isinstance(m, str) else m for m in _options(model)]
        self._executor = executor_of(executor, name, self.models)
        self.answers: list[Answer] = _options(answer if answer is not None else default_answer(data))
        self.request = _checked_request(request or {})
        self.metric_name = metrics.metric_name(metric)
        metrics.check(metric, [*data.fields, data.target])
        splits = data.splits(test, seed)
        known = {"target": data.target, **({"labels": data.labels} if data.is_categorical else {})}
        self.template = template.with_context({**known, **(context or {})})
        self.template.check(data.fields, data.target)

        targets = [str(row.target) for row in data.rows]
        self.search_rows = common_order(
            [targets[index] for index in splits.search] if data.is_categorical else None, splits.search, seed
        )
        # A small budget tests on the first of them, so they are in a common order too.
        self.test_rows = common_order(
            [targets[index] for index in splits.test] if data.is_categorical else None, splits.test, seed
        )
        # Shots come from the rows at the end of the common order, which few candidates are ever scored on.
        self.pool = ExamplePool(
            tuple({name: data.rows[i][name] for name in data.rows[i]} for i in self.search_rows[-POOL_ROWS:]),
            data.target,
        )
        self._extra = [
            _factor("answer", "answer", answer, self.answers),
            _factor("model", "model", model, self.models),
            *(_factor(key, "request", value, _options(value)) for key, value in self.request.items()),
        ]
        self._space: SearchSpace | None = None
        self._enqueued: list[Mapping[str, Any]] = []
        self._result: Result | None = None

    def enqueue(self, choices: Mapping[str, Any]) -> None:
        """Have a candidate raced in any case, right after the default (as Optuna's ``enqueue_trial``).

        Args:
            choices: option or its text by name; missing ones: the first option.

        Raises:
            InputError: an unknown choice or option.
        """
        self.space().candidate_of(choices)
        self._enqueued.append(dict(choices))

    @property
    def optuna_study(self) -> optuna.Study:
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
        study = Study(**{**self._settings, **changes})
        for choices in self._enqueued:
            study.enqueue(choices)
        return study

    def space(self) -> SearchSpace:
        """The dimensions, their options and conditions, and how many candidates they make.

        Raises:
            TemplateError: see `Template.space`.
        """
        if self._space is None:
            extra = [factor for factor in self._extra if len(factor.options) > 1]
            self._space = self.template.space(self._any_row, pool=self.pool, extra=extra)
        return self._space

    @property
    def _any_row(self) -> Row:
        """The fields of a row to render with where the result must not depend on which."""
        return self.data.rows[self.search_rows[0]].fields

    def prepared(self, candidate: Candidate) -> PreparedPrompt:
        """How a candidate is asked and read."""
        space = self.space()
        values, texts = space.values(candidate), space.texts(candidate)
        answer: Answer = values.get("answer", self.answers[0])
        model: Model = values.get("model", self.models[0])
        given = {key: values.get(key, _options(value)[0]) for key, value in self.request.items()}
        parameters = {"temperature": 0, **answer.parameters, **given}
        source = self.template.specialize(self._template_choices(candidate), self._any_row, pool=self.pool)
        prompt = Prompt(
            source=source,
            choices=texts,
            parameters={key: value for key, value in parameters.items() if value is not None},
            answer=answer.to_dict(),
            model=model.name,
            name=self.template.name,
        )
        return PreparedPrompt(prompt=prompt, answer=answer, model=model.name, endpoint=model.endpoint)

    def reader(self, trial: TrialRecord, stored: StudyRecord) -> PreparedPrompt:
        """A stored trial's prompt, read as this study reads.

        Raises:
            StudyError: the stored study had another number of answer forms to choose from.
        """
        forms, count = self.answers, len(stored.identity["answers"])
        if len(forms) not in (1, count):
            raise StudyError(f"study {stored.study!r} had {count} answer forms, not {len(forms)}; give one, or as many")
        answer = forms[trial.positions.get("answer", 0) if len(forms) > 1 else 0]
        prompt = replace(Prompt(**trial.prompt), answer=answer.to_dict())
        endpoint = dict(stored.identity["models"])[prompt.model]
        return PreparedPrompt(prompt=prompt, answer=answer, model=str(prompt.model), endpoint=endpoint)

    def check_sent(self, prepared: PreparedPrompt, sample: SampleRecord) -> None:
        """
        Raises:
            StudyError: a stored response is not that to a prompt with this row.
        """
        inside = sample.row < len(self.data)
        if not inside or prepared.request(self.data.rows[sample.row].fields).key != sample.key:
            raise StudyError(
                f"row {sample.row} is not the one that was asked about; rescore with the rows of the stored study, of "
                f"which the target alone may be corrected"
            )

    def _template_choices(self, candidate: Candidate) -> dict[str, Any]:
        """What the template is told of a candidate: its own choices, and the answer form as text."""
        space = self.space()
        inside = {
            name: value
            for name, value in space.values(candidate).items()
            if name not in ("answer", "model", *self.request)
        }
        return {**inside, "answer": space.texts(candidate).get("answer") or self._extra[0].texts[0]}

    def prompt(self, choices: Mapping[str, Any] | None = None) -> Prompt:
        """The prompt of some choices (option or its text by name; missing ones: the first option)."""
        return self.prepared(self.space().candidate_of(choices or {})).prompt

    def _rows_for(self, candidate: Candidate) -> list[int]:
        """The rows a candidate may be scored on: all but those that it shows as examples."""
        values = self._template_choices(candidate)
        pickers = [str(value) for name, value in values.items() if name.endswith(".picker")]
        if not pickers or pickers == ["nearest"]:  # nearest leaves the row itself out
            return self.search_rows
        shown = self.template.shots(values, self._any_row, self.pool)
        taken = [{name: shot[name] for name in self.data.fields} for shot in shown]
        return [
            index
            for index in self.search_rows
            if {name: self.data.rows[index][name] for name in self.data.fields} not in taken
        ]

    @property
    def sealed(self) -> str:
        """Which rows are sealed, as a digest that studies of the same data and split share."""
        return sha256(json.dumps([self.data.fingerprint, sorted(self.test_rows)]).encode()).hexdigest()

    @property
    def _first_candidates(self) -> list[Candidate]:
        """The default, what was enqueued, and the design: with what a search begins, each once."""
        space = self.space()
        found = [space.candidate({}), *self._candidates_enqueued]
        found += [space.candidate(positions) for positions in design(space, self.seed)]
        return list(dict.fromkeys(found))

    @property
    def _candidates_enqueued(self) -> list[Candidate]:
        return [self.space().candidate_of(choices) for choices in self._enqueued]

    def identity(self) -> dict[str, Any]:
        """What makes this study this study: a stored one is continued only while all of it is the same."""
        return {
            "template": self.template.source,
            "context": self.template.context,
            "data": self.data.fingerprint,
            "rows": [len(self.search_rows), len(self.test_rows), self.sealed[:12]],
            "models": [[model.name, model.endpoint] for model in self.models],
            "answers": [answer.to_dict() for answer in self.answers],
            "metric": repr(self.metric) if is_dataclass(self.metric) else self.metric_name,
            "request": {key: [str(v) for v in _options(value)] for key, value in self.request.items()},
            "seed": self.seed,
            "search": SEARCH_VERSION,
            "sampler": type(self.sampler).__name__ if self.sampler else "default",
            "pruner": type(self.pruner).__name__ if self.pruner else "default",
            "enqueued": [self.space().texts(candidate) for candidate in self._candidates_enqueued],
        }

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
        """Search, then score winner and baselines on the sealed rows; the same call resumes.

        Works with or without a running event loop. Whatever was answered is stored at once: run the same line
        again after an interruption and nothing is paid twice.

        Args:
            budget: the most that may be spent; a number counts calls.
            progress: told where the study stands, after every response; default: a view below a notebook's cell.
            fresh: forget the stored study of this name (its responses stay, and cost nothing).
            retry_errors: send requests that failed in an earlier run again.
            test: False leaves the sealed rows alone and spends the whole budget on the search, for those who test
                on rows of their own.
            n_trials: how many candidates are tried at most; default: as many as pays.

        Raises:
            InputError: the stored study differs, the storage cannot be opened, or fewer than one trial is asked for.
            RunError: the endpoint cannot be reached or refuses for good; what was answered is kept.
        """
        budget = Budget(calls=budget) if isinstance(budget, int) else budget
        if n_trials is not None and n_trials < 1:
            raise InputError(f"n_trials must be at least 1, got {n_trials}")
        self.space()
        self._check(budget)  # fetches and hashes an embedded model, before anything is timed
        with opened(self.storage, self.name) as (store, lease):
            store.open_study(self.name, self.identity(), fresh=fresh)
            number, former, before = store.open_budget(self.name, budget)
            store.clear_trials(self.name)
            ledger = Ledger(budget, former=former, before=before, price=self._price)
            run = _Run(self, store, ledger, progress or in_notebook(), test, n_trials)
            settings = replace(
                self._evaluation_settings(self.name, store, ledger, lease),
                budget=number,
                paid_before=store.paid_before(self.name, number),
                retry_errors=retry_errors,
                on_response=run.on_response,
            )
            evaluating = connected_evaluator(settings, self.models, self._executor)
            in_own_thread(lambda: run.main(evaluating), lambda: ledger.stop("interrupted"))
            if lease is not None and lease.lost:
                raise RunError(f"the study {self.name!r} was taken over while this process gave no sign of life")
            store.end_writing()
            self._result = Result(store, self.name)
            return self._result

    def _check(self, budget: Budget) -> None:
        """
        Raises:
            InputError: a budget that cannot be kept with these models and request parameters.
        """
        for model in self.models:
            _ = model.endpoint
            check_priced(budget, model)
        if budget.tokens is None and budget.usd is None:
            return
        given = [_options(self.request[name]) for name in ANSWER_LIMITS if name in self.request]
        for answer in self.answers:
            kept = [answer.parameters[name] for name in ANSWER_LIMITS if name in {*answer.parameters} - {*self.request}]
            if not kept and any(not any(limits) for limits in product(*given)):
                raise InputError(unbounded(budget, self.models[0].name))

    def _price(self, request: Request, usage: Usage) -> float:
        """US dollars that a request with such usage costs."""
        asked = (request.endpoint, request.model)
        return next(model.cost(usage) for model in self.models if (model.endpoint, model.name) == asked)

    def estimate(self, budget: Budget | int) -> Estimate:
        """What a run with this budget is expected to take, before anything is sent.

        It rests on stored responses of this study or its preflight where there are any, else on rendered prompts and
        the most that answers may take; it says on which.

        Args:
            budget: of the run; a number counts calls.

        Raises:
            InputError: the storage cannot be opened, or the budget cannot be kept.
        """
        budget = Budget(calls=budget) if isinstance(budget, int) else budget
        space = self.space()
        self._check(budget)
        prepared_prompts = [self.prepared(candidate) for candidate in self._first_candidates]
        rows = self.search_rows[:BATCH_ROWS]
        requests = [prepared.requests(self.data.rows[row])[-1] for prepared in prepared_prompts for row in rows]
        for_each = max(len(prepared.requests(self.data.rows[rows[0]])) for prepared in prepared_prompts)
        store = Store(self.storage or "sqlite://")
        try:
            own = store.calls(self.name)
            known = own or store.calls(PREFLIGHT.format(self.name))
        finally:
            store.close()
        return estimated(
            self.name,
            budget,
            most_calls=for_each * (space.size()[0] * len(self.search_rows) + self._most_tested * len(self.test_rows)),
            requests=requests,
            calls=known,
            stored=sum(call.spending.calls for call in own.values()),
            in_flight=self.max_concurrency,
            price=self._price,
        )

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
        """A search over all rows, and an honest number beside it, for data too small to seal a part of.

        The rows are parted into folds. One search without each fold is tested on it, so that every row is used for
        the test and none was seen by the search that it tests; one more search over all rows gives the prompt to
        ship. The number is that of prompts found so, with fewer rows than the shipped one had (Stone 1974,
        Cross-validatory choice and assessment of statistical predictions). The budget is shared evenly among the
        searches. The same line resumes, as for `run`.

        Args:
            budget: the most that may be spent in all; a number counts calls.
            folds: how many.
            progress, fresh, retry_errors, n_trials: as for `run`, for each search.

        Raises:
            InputError: too few rows, a split of the user's own, and as `run`.
            RunError: as `run`.
        """
        budget = Budget(calls=budget) if isinstance(budget, int) else budget
        parts = self.data.folds(folds, self.seed)
        if min(limit for limit in (budget.calls, budget.tokens, folds + 1) if limit is not None) <= folds:
            raise InputError(f"{folds + 1} searches share {budget}, which is less than one for each; give more")
        share = budget.part(1 / (folds + 1))

        def run(name: str, rows: Sequence[int]) -> Result:
            part = self.replace(name=f"{self.name} {name}", test=rows)
            return part.run(
                share,
                progress=progress,
                fresh=fresh,
                retry_errors=retry_errors,
                test=bool(rows),
                n_trials=n_trials,
            )

        tested = [run(f"fold {number}", rows) for number, rows in enumerate(parts, start=1)]
        return CrossFit(result=run("all rows", ()), folds=tested)

    def rescore(self, of: str | None = None) -> Result:
        """Read and score the stored responses of a study anew, by this study's answer form and metric; no request.

        Answer, metric and the rows' targets may be others than they were; prompts, model, rows and responses are those
        that are stored. The winner stays the one that was tested on sealed rows: whether another is expected to be
        better now is said.

        Args:
            of: the stored study's name; default: this one's.

        Returns:
            a stored study of its own, named after ``of`` with " rescored".

        Raises:
            StudyError: there is no such study, it is unfinished, or the rows or the space are not those of it.
            InputError: the metric raises, or the storage cannot be opened.
        """
        of = of or self.name
        study = self.replace(name=f"{of} rescored")
        store = Store(self.storage or "sqlite://")
        try:
            before = store.study(of)
            if before.summary is None:
                raise StudyError(
                    f"study {of!r} cannot be rescored, for it is unfinished; run the same line that began it to go on, "
                    f"and rescore then"
                )
            identity = self.identity()
            if len(self.models) == len(before.identity["models"]) == 1:  # whichever it was: none is asked
                identity["models"] = before.identity["models"]
            changed = changes(before.identity, identity, but=CHANGED_BY_RESCORING)
            if changed:
                raise StudyError(
                    f"study {of!r} cannot be rescored, for its candidates were others: {changed}; run anew"
                )
            store.open_study(study.name, identity, fresh=True)
            store.copy_calls(of, study.name)
            run = _Run(study, store, Ledger(_stored_budget(before.summary)), None, test=False)
            rescoring = partial(run.rescore, before, before.summary, store.trials(of), store.samples(of))
            in_own_thread(rescoring, lambda: None)
            return Result(store, study.name)
        except BaseException:
            store.close()
            raise

    def preflight(self, budget: Budget | int | None = None) -> Preflight:
        """A few dozen calls that tell whether a search can pay: at most 60, and at most 5% of the budget.

        The default prompt and some others answer some of the search rows. Nothing is lost by it: a later `run` with
        the same storage finds these answers. Works with or without a running event loop.

        Args:
            budget: of the run that is planned; a number counts calls.

        Raises:
            InputError: the storage cannot be opened.
            RunError: the endpoint cannot be reached or refuses for good.
        """
        planned = Budget(calls=budget) if isinstance(budget, int) else budget
        allowed = part_of(planned)
        default, *first = self._first_candidates
        others = self._telling(first)
        blocks = blocks_of(self._rows_for(default), allowed)
        label = PREFLIGHT.format(self.name)
        self._check(allowed)
        ledger = Ledger(allowed, price=self._price)
        with opened(self.storage, label) as (store, lease):

            async def main() -> Probe:
                settings = self._evaluation_settings(label, store, ledger, lease)
                async with connected_evaluator(settings, self.models, self._executor) as evaluator:
                    return await probe(evaluator, self.prepared(default), blocks, others)

            store.delete_study(label)
            found = in_own_thread(main, lambda: ledger.stop("interrupted"))
            told = advise(
                found,
                store.calls(label),
                study=self.name,
                budget=planned,
                sealed=len(self.test_rows),
                share=TEST_SHARE / self._most_tested,
                repeating=self._near_duplicates(),
                bounded=isinstance(self.metric, (metrics.ReferenceMetric, Corpus)),
            )
            store.close()
            return told

    def _telling(self, candidates: Sequence[Candidate]) -> list[tuple[PreparedPrompt, list[int]]]:
        """Candidates with the rows that they may be asked about, those first from which few answers tell most.

        A label's probability tells more than a label, an answer after examples more than one without (rows that they
        show are not asked about); and the prompts that are asked should differ from each other in many choices.
        """
        texts = self.space().texts

        def telling(other: tuple[Candidate, PreparedPrompt, list[int]]) -> tuple[bool, bool, int]:
            candidate, prepared, rows = other
            apart = min(_differing(texts(candidate), texts(before)) for before in taken)
            return prepared.answer.has_probabilities, len(rows) < len(self.search_rows), apart

        left = [(candidate, self.prepared(candidate), self._rows_for(candidate)) for candidate in candidates]
        taken, found = [self.space().candidate({})], []
        while left:
            best = max(left, key=telling)
            left.remove(best)
            taken.append(best[0])
            found.append(best[1:])
        return found

    def _near_duplicates(self) -> list[tuple[int, int, float]]:
        """Sealed rows with the search rows that they nearly repeat, by row numbers."""

        def texts(rows: Sequence[int]) -> list[str]:
            return [" ".join(str(self.data.rows[row][name]) for name in self.data.fields) for row in rows]

        sealed, searched = self.test_rows[:MOST_COMPARED], self.search_rows[: 10 * MOST_COMPARED]
        found = near_duplicates(texts(sealed), texts(searched))
        return [(sealed[one], searched[other], similarity) for one, other, similarity in found]

    @property
    def _most_tested(self) -> int:
        """How many prompts are tested on the sealed rows, at most: winner, default, the best written by hand."""
        return 3 if self._enqueued else 2

    def _evaluation_settings(self, name: str, store: Store, ledger: Ledger, lease: Lease | None) -> EvaluationSettings:
        """How this study's prompts are scored; calls are kept under a name."""
        if lease is not None:
            lease.on_lost = lambda: ledger.stop("another process took the study over")
        return EvaluationSettings(
            study=name,
            rows=self.data.rows,
            metric=self.metric,
            store=store,
            ledger=ledger,
            owner=lease.owner if lease else None,
            max_concurrency=self.max_concurrency,
            seed=self.seed,
        )

    def __repr__(self) -> str:
        models = ", ".join(model.name for model in self.models)
        return (
            f"Study({self.name!r}: {self.template.name}, {len(self.search_rows)} search rows, "
            f"{len(self.test_rows)} sealed test rows, model {models}, metric {self.metric_name})"
        )

    def _repr_html_(self) -> str:
        if self._result is not None:
            return self._result._repr_html_()
        settings = {
            "template": self.template.name,
            "rows": f"{len(self.search_rows)} to search on, {len(self.test_rows)} sealed",
            "model": ", ".join(model.name for model in self.models),
            "metric": self.metric_name,
            "storage": shown_url(self.storage) if self.storage else "in memory",
            "choices": ", ".join(factor.name for factor in self.space().factors),
            "candidates": f"{self.space().size()[0]:,}",
        }
        return _html.block(_html.table(f"{self.name}: not run in this session", ("setting", "value"), settings.items()))


class _Run:
    """One run of a study: what it writes down, round by round."""

    def __init__(
        self,
        study: Study,
        store: Store,
        ledger: Ledger,
        progress: Callable[[Snapshot], None] | None,
        test: bool,
        n_trials: int | None = None,
    ) -> None:
        self.study = study
        self.n_trials = n_trials
        self.store = store
        self.ledger = ledger
        self.progress = progress
        self.tested = study._most_tested if test else 0
        self.saved: dict[int, tuple[PreparedPrompt, str, Mapping[int, Outcome]]] = {}
        self.cached = self.responses = self.errors = self.unparsed = self.trials = 0
        self.best: tuple[float, float, float] | None = None
        self.phase = "starting"

    @property
    def test_rows(self) -> list[int]:
        """The sealed rows that the budget has room for, by what is known at the moment."""
        if not self.tested:
            return []
        return self.study.test_rows[: int(self.ledger.affordable() * TEST_SHARE / self.tested)]

    async def main(self, evaluating: AbstractAsyncContextManager[Evaluator]) -> None:
        async with evaluating as evaluator:
            race = self.race(evaluator, self.study.search_rows)
            winner = await race.run()
            if self.ledger.stopped is None:
                await self.test(evaluator, race, winner)
        if self.ledger.stopped is None:
            self.finish(race, self.summary(race, winner))

    def race(self, evaluator: Evaluator, order: Sequence[int]) -> Race:
        study = self.study
        return Race(
            RaceSettings(
                space=study.space(),
                prepare=lambda candidate: (study.prepared(candidate), study._rows_for(candidate)),
                row_order=order,
                seed=study.seed,
                propose=None if study.sampler is None else proposals(study.space(), study.sampler),
                stop=None if study.pruner is None else stops(study.space(), study.pruner, BATCH_ROWS),
                enqueued=study._candidates_enqueued,
                max_trials=self.n_trials,
            ),
            evaluator=evaluator,
            budget=CallBudget(
                limit=lambda: self.ledger.affordable() - self.tested * len(self.test_rows),
                spent=lambda: self.ledger.spent,
                previous=self.ledger.former.calls,
            ),
            on_round=self.on_round,
        )

    async def rescore(
        self,
        before: StudyRecord,
        summary: Summary,
        trials: Sequence[TrialRecord],
        samples: Sequence[SampleRecord],
    ) -> None:
        """Write down stored trials as this study reads and scores their responses."""
        study = self.study
        settings = EvaluationSettings(
            study=study.name, rows=study.data.rows, metric=study.metric, store=self.store, ledger=self.ledger
        )
        evaluator = Evaluator(settings, clients={})  # every response is there
        order = [sample.row for sample in samples if sample.split == "search"]
        race = self.race(evaluator, sorted(set(order), key=_place_in(study.search_rows)))
        tested: list[SampleRecord] = []
        for trial in trials:
            prepared = study.reader(trial, before)
            found = sorted((s for s in samples if s.trial == trial.trial), key=lambda sample: sample.row)
            for sample in found:
                study.check_sent(prepared, sample)
            searched = [(prepared, sample.row) for sample in found if sample.split == "search"]
            outcomes = [outcome for outcome in await evaluator.evaluate(searched, "search") if outcome is not None]
            prepared, outcomes = await evaluator.reparse(prepared, outcomes, "search")
            race.restore(
                trial.trial, study.space().candidate(trial.positions), prepared, outcomes, trial.state, trial.reason
            )
            sealed = [(prepared, sample.row) for sample in found if sample.split == "test"]
            outcomes = [outcome for outcome in await evaluator.evaluate(sealed, "test") if outcome is not None]
            tested += [
                each.to_record(trial.trial, "test", study.data.rows[each.row].target)
                for each in evaluator.with_corpus_scores(outcomes)
            ]
        race.conclude()
        self.on_round(race)
        self.store.save_trials(study.name, [], tested)
        winners = [trial for trial in race.trials if trial.number == summary.winner]
        estimate = race.estimates()
        self.finish(
            race,
            replace(
                self.summary(race, (winners or [race.winner])[0]),
                budget=summary.budget,
                tested=summary.tested,
                sealed=summary.sealed,
                hand_written=summary.hand_written,
                model=summary.model,
                order=sorted(estimate, key=lambda trial: (-estimate[trial], trial)),
                rescored={"of": before.study, "metric": summary.metric or str(before.identity["metric"])},
                calls=0,
                reused=0,
                tokens=0,
                usd=0.0,
            ),
        )

    async def test(self, evaluator: Evaluator, race: Race, winner: Trial) -> None:
        """Score winner and baselines on the same sealed rows, as many as the budget has room for.

        One prompt after the other: a server that caches prefixes reads each prompt's shots once.
        """
        self.phase = "sealed test"
        baselines = [race.trials[DEFAULT_TRIAL], race.hand_written or winner]
        trials = list(dict.fromkeys([*baselines, winner]))
        affordable = self.ledger.affordable()
        room = affordable - self.ledger.spent
        # What an earlier budget tested is free, so there may be more rows than this one alone has room for.
        most = int((affordable + self.ledger.former.calls) * TEST_SHARE / self.tested) if self.tested else 0
        rows: list[int] = []
        for row in self.study.test_rows[:most]:
            room -= sum(evaluator.price(trial.prepared, [row])[0] for trial in trials)
            if room < 0:
                break
            rows.append(row)
        if rows:
            identity = repr(winner.prepared.identity).encode("utf-8", "surrogatepass")
            self.store.record_test_use(self.study.sealed, sha256(identity).hexdigest(), self.study.name)
        jobs = [(trial.prepared, row) for trial in trials for row in rows]
        outcomes = iter(await evaluator.evaluate(jobs, "test"))
        for trial in trials:
            found = [outcome for outcome in islice(outcomes, len(rows)) if outcome is not None]
            samples = [
                each.to_record(trial.number, "test", self.study.data.rows[each.row].target)
                for each in evaluator.with_corpus_scores(found)
            ]
            self.store.save_trials(self.study.name, [], samples)

    def finish(self, race: Race, summary: Summary) -> None:
        """Write down the outcome."""
        estimates, uncertainties = race.estimates(), race.uncertainties()
        trials = [
            replace(
                self.record_of(trial), estimate=estimates[trial.number], uncertainty=uncertainties.get(trial.number)
            )
            if trial.scores
            else self.record_of(trial)
            for trial in race.trials
        ]
        self.store.save_trials(self.study.name, trials, [])
        self.store.save_summary(self.study.name, summary)
        note = Result(self.store, self.study.name).headline
        self.store.mirror(self.study.name, self.study.space(), trials, note)
        self.phase = DONE
        self.tell()

    def summary(self, race: Race, winner: Trial) -> Summary:
        """The outcome, as the race and the ledger have it."""
        ledger, study = self.ledger, self.study
        return Summary(
            winner=winner.number,
            baseline=DEFAULT_TRIAL,
            hand_written=race.hand_written.number if race.hand_written else None,
            order=[trial.number for trial in race.ranked()],
            budget=ledger.budget.limits,
            calls=ledger.total.calls,
            reused=ledger.reused,
            tokens=ledger.total.tokens,
            usd=none_if_nan(round(ledger.total.usd, 12)),  # sums in another order differ in the last digits
            seconds=ledger.seconds,
            metric=study.metric_name,
            model=", ".join(model.name for model in study.models),
            template=study.template.name,
            candidates=study.space().size(),
            search_rows=len(study.search_rows),
            held_out_rows=len(study.test_rows),
            tested=self.tested > 0,
            sealed=study.sealed,
            effects=self.effects(race),
            interactions=self.interactions(race),
        )

    def effects(self, race: Race) -> list[dict[str, Any]]:
        """The lines of `tables.effects_frame`, without how many trials had the option."""
        factors = self.study.space().factors
        lines = []
        for found in race.effects():
            factor = factors[found.choice]
            columns = {
                "effect": found.mean,
                "effect_low": found.low,
                "effect_high": found.high,
                "p": found.p,
                "estimate": found.expected,
            }
            for position, option in enumerate(factor.texts):
                known = {name: none_if_nan(float(values[position])) for name, values in columns.items()}
                line = {"choice": factor.name, "position": position, "option": option, "importance": found.importance}
                lines.append(line | known)
        return lines

    def interactions(self, race: Race) -> list[dict[str, Any]]:
        """The lines of `tables.interactions_frame`."""
        factors = self.study.space().factors
        lines = []
        for found in race.interactions():
            (choice, option), (other_choice, other_option) = [
                (factors[which].name, factors[which].texts[position])
                for which, position in zip(found.choices, found.options, strict=True)
            ]
            lines.append(
                {
                    "choice": choice,
                    "option": option,
                    "other_choice": other_choice,
                    "other_option": other_option,
                    "effect": found.mean,
                    "effect_low": found.low,
                    "effect_high": found.high,
                }
            )
        return lines

    def on_round(self, race: Race) -> None:
        """Write down what is new, and tell where the search stands."""
        trials, samples = [], []
        for trial in race.trials:
            if not trial.outcomes and trial.number != DEFAULT_TRIAL:
                continue  # entered, but not looked at yet
            prepared, state, before = self.saved.get(trial.number, (None, "", {}))
            if prepared is not trial.prepared or state != trial.state:
                trials.append(self.record_of(trial))
            samples += [
                outcome.to_record(trial.number, "search", self.study.data.rows[outcome.row].target)
                for outcome in trial.outcomes
                if before.get(outcome.row) != outcome  # new, or read anew
            ]
            self.saved[trial.number] = trial.prepared, trial.state, {o.row: o for o in trial.outcomes}
        self.store.save_trials(self.study.name, trials, samples)
        leader = race.leader
        if leader is not None and leader.scores:
            low, high = mean_interval(leader.scores)
            self.best = (sum(leader.scores) / len(leader.scores), low, high)
        self.phase, self.trials = race.phase, sum(bool(trial.outcomes) for trial in race.trials)
        outcomes = [outcome for trial in race.trials for outcome in trial.outcomes]
        self.unparsed = sum(outcome.unparsed for outcome in outcomes)
        self.tell()

    def record_of(self, trial: Trial) -> TrialRecord:
        prompt = trial.prepared.prompt
        stopped = self.ledger.stopped is not None  # then the race ended early and decided nothing
        return TrialRecord(
            trial=trial.number,
            state="running" if stopped else trial.state,
            reason="" if stopped else trial.reason,
            choices=self.study.space().texts(trial.candidate),
            positions=trial.candidate.to_dict(),
            prompt=asdict(prompt),
            text=prompt.text,
        )

    def on_response(self, response: Response, cached: bool) -> None:
        self.responses += 1
        self.cached += cached
        self.errors += response.error is not None
        self.tell()

    def tell(self) -> None:
        if self.progress is None:
            return
        best, low, high = self.best or (None, None, None)
        self.progress(
            Snapshot(
                study=self.study.name,
                phase=self.phase,
                trials=self.trials,
                calls=self.ledger.total.calls,
                limit=self.ledger.affordable() + self.ledger.former.calls,
                best=best,
                low=low,
                high=high,
                errors=self.errors,
                unparsed=self.unparsed,
                cached=self.cached,
                responses=self.responses,
                usd=self.ledger.total.usd,
                seconds=self.ledger.seconds,
            )
        )


def _place_in(order: Sequence[int]) -> Callable[[int], tuple[int, int]]:
    """What to sort rows by: their place in an order, or after all that are in it."""
    places = {row: place for place, row in enumerate(order)}
    return lambda row: (places.get(row, len(places)), row)


def _stored_budget(summary: Summary) -> Budget:
    """The budget of a finished study."""
    with reading("the budget in its summary"):
        return Budget(**summary.budget)  # type: ignore[arg-type]  # its names are those of the limits


def _differing(first: Mapping[str, str], second: Mapping[str, str]) -> int:
    """How many choices differ."""
    return sum(first.get(name) != second.get(name) for name in {*first, *second})


def _options(value: Any) -> list[Any]:
    return list(value.values) if isinstance(value, Options) else [value]


def _factor(name: str, kind: Kind, given: Any, values: Sequence[Any]) -> Factor:
    names = given.names if isinstance(given, Options) else None
    factor = Factor(name=name, kind=kind, options=tuple(values), names=names)
    if len(set(factor.texts)) < len(values):
        raise InputError(
            f"the options of {name!r} need different names, got {', '.join(factor.texts)}; name them: "
            f'ps.choice({{"name": …}})'
        )
    return factor


def _checked_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse request parameters that cannot be sent, before anything is."""
    for key, value in request.items():
        if key in ("answer", "messages", "model", "stream"):
            raise StudyError(f"request[{key!r}] cannot be given here; use the template, model= or answer=")
        try:
            json.dumps(_options(value), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StudyError(f"request[{key!r}] must be JSON: {error}; got {value!r}") from None
    return dict(request)
