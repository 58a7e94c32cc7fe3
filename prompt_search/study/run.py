"""A run of a study: search, then score winner and baselines on the test rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from typing import Any

from prompt_search.budget import Budget, Ledger
from prompt_search.errors import InputError, RunError
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.outcome import Outcome
from prompt_search.evaluation.own_thread import in_own_thread
from prompt_search.evaluation.session import connected_evaluator, opened
from prompt_search.evaluation.task_runs.row_calls import RowCalls
from prompt_search.llm.model import address_of
from prompt_search.report.result import Result
from prompt_search.search.deciding.decisions import Journal
from prompt_search.search.optuna_adapter import proposals, stops
from prompt_search.search.proposals import GrowthSettings
from prompt_search.search.race import Race
from prompt_search.search.settings import BATCH_ROWS, CallBudget, RaceSettings
from prompt_search.search.trial import DEFAULT_TRIAL, Trial
from prompt_search.storage.calls.budgets import OpenedBudget
from prompt_search.storage.faults import StorageFault
from prompt_search.storage.once.prior_studies import PriorStudies
from prompt_search.storage.ownership.lease import Lease
from prompt_search.storage.ownership.leases import taken_over
from prompt_search.storage.records import ProposalRecord, Version
from prompt_search.storage.store import Store
from prompt_search.study import wording
from prompt_search.study.growth.proposing import growth_settings, unmet_needs
from prompt_search.study.journal import StoredJournal
from prompt_search.study.plan import StudyPlan
from prompt_search.study.prior.taking import settled_prior, sources
from prompt_search.study.prior.wording import prior_sentence
from prompt_search.study.shots.bootstrap import Bootstrap
from prompt_search.study.snapshot import ProgressReporter, Snapshot
from prompt_search.study.watching.progress import in_notebook
from prompt_search.study.watching.recorder import RunRecorder


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The arguments of `Study.run` besides the budget, which it documents; and ``apart``, the names of studies that no
    prior is taken from."""

    progress: Callable[[Snapshot], None] | None = None
    fresh: bool = False
    retry_errors: bool = False
    test: bool = True
    n_trials: int | None = None
    apart: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.n_trials is not None and (type(self.n_trials) is not int or self.n_trials < 1):
            raise InputError(
                f"n_trials must be a whole number of at least 1, got {self.n_trials!r}; give one such as 20"
            )


def run(plan: StudyPlan, budget: Budget, options: RunOptions) -> tuple[Result, Store]:
    """Run a study, or resume it; see `Study.run`. The result comes with the storage that it is read from.

    What has ended with the same settings is read, not computed again: another machine may round differently.
    """
    _ = plan.prompts.space  # a template that has no space is refused before the storage is touched
    plan.check_budget(budget)  # fetches and hashes an embedded model, before anything is timed
    settings = stored_settings(budget, options)
    if options.fresh and plan.executor is None:  # nothing is deleted for a run that cannot begin
        for model in plan.asked_models:
            _ = model.is_local or address_of(model)
    with opened(plan.settings.storage, plan.name) as (store, lease):
        earlier = sources(plan, store, options.apart)
        store.open_study(plan.name, plan.identity(), fresh=options.fresh)
        again = options.retry_errors and store.has_failures(plan.name)
        version = None if again else store.finished_version(plan.name, settings)
        if version is None:
            opened_budget = store.open_budget(plan.name, budget)
            owner = lease.owner if lease else None
            version = store.open_version(plan.name, settings, owner, keep_decisions=not options.retry_errors)
            try:
                known = settled_prior(plan, store, earlier)
                _Run(plan, store, version, budget, opened_budget, options, known).run(lease)
            except BaseException as error:
                if not isinstance(error, StorageFault):
                    store.drop_empty_version(version)
                raise
        store.end_writing()
        store.database.reopen()
        return Result(store, plan.name, version.number), store


def stored_settings(budget: Budget, options: RunOptions) -> dict[str, Any]:
    """What tells one version of a study from another."""
    settings: dict[str, Any] = {"budget": budget.limits, "test": options.test}
    return settings if options.n_trials is None else {**settings, "n_trials": options.n_trials}


def hand_over(result: Result, on_finish: Callable[[Result], object]) -> None:
    """Call the user's function with a result that is stored.

    Raises:
        RunError: the function raised.
    """
    try:
        on_finish(result)
    except Exception as error:
        message = " ".join(str(error).split())
        raised = RunError(
            f"on_finish raised {type(error).__name__}: {message}; study {result.name!r} is finished: its result is "
            "stored, and is the attribute result of this error; correct on_finish, and call it with the result"
        )
        raised.result = result
        raise raised from error


def new_race(
    plan: StudyPlan,
    evaluator: Evaluator,
    row_order: Sequence[int],
    budget: CallBudget,
    on_round: Callable[[Race], None],
    max_trials: int | None = None,
    journal: Journal | None = None,
    earlier: Sequence[tuple[Mapping[str, int], Collection[int]]] = (),
    growth: GrowthSettings | None = None,
    prior: PriorStudies | None = None,
) -> Race:
    """A race over a study's candidates, on rows in their common order."""
    settings, prompts = plan.settings, plan.prompts
    return Race(
        RaceSettings(
            space=prompts.space,
            prepare=prompts.prepared_with_rows,
            row_order=row_order,
            seed=settings.seed,
            propose=None if settings.sampler is None else proposals(settings.sampler),
            stop=None if settings.pruner is None else stops(settings.pruner, BATCH_ROWS),
            enqueued=plan.enqueued_candidates,
            max_trials=max_trials,
            earlier=earlier,
            growth=growth,
            prior=prior,
            goal=plan.goal,
        ),
        evaluator=evaluator,
        budget=budget,
        on_round=on_round,
        journal=journal,
    )


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    """What an earlier version of a study leaves to one with a larger budget: its trials, each with its choices and the
    rows that it was scored on, what was proposed, and the calls of its task."""

    trials: Sequence[tuple[Mapping[str, int], Collection[int]]] = ()
    proposals: Sequence[ProposalRecord] = ()
    task_calls: Mapping[str, Sequence[str]] = field(default_factory=dict)


class _Run:
    """The stages of a run: race, test, summary."""

    def __init__(
        self,
        plan: StudyPlan,
        store: Store,
        version: Version,
        budget: Budget,
        opened_budget: OpenedBudget,
        options: RunOptions,
        prior: PriorStudies | None,
    ) -> None:
        self._plan = plan
        self._prior = prior
        self._store = store
        self._version = version
        self._opened_budget = opened_budget
        self._options = options
        self._ledger = Ledger(
            budget,
            previous_budgets=opened_budget.paid_before,
            previous_runs=opened_budget.paid,
            price=plan.price,
        )
        self._reporter = ProgressReporter(plan.name, self._ledger, options.progress or in_notebook())
        self._recorder = RunRecorder(plan, store, version, self._ledger, self._reporter)
        self._earlier = self._earlier_version()
        self._max_tested = plan.max_tested if options.test else 0
        self._row_calls: RowCalls | None = None

    def run(self, lease: Lease | None) -> None:
        """Go through all stages, in a thread of their own.

        Raises:
            RunError: nothing is answered, or another process has taken the study over.
        """
        plan, number = self._plan, self._opened_budget.number
        settings = replace(
            plan.evaluation_settings(plan.name, self._store, self._ledger, lease),
            budget=number,
            paid_before=self._store.paid_before(plan.name, number),
            on_refusal="close",
            keeps_scores=True,
            retry_errors=self._options.retry_errors,
            on_response=self._reporter.on_response,
            on_batches=self._reporter.on_batches,
            task_calls=self._earlier.task_calls,
        )
        evaluator = connected_evaluator(settings, plan.asked_models, plan.executor)
        try:
            in_own_thread(lambda: self._main(evaluator), lambda: self._ledger.stop("interrupted"))
        except KeyboardInterrupt:
            open_batches = self._reporter.batches
            raise KeyboardInterrupt(*([wording.left_open(open_batches)] if open_batches else [])) from None
        finally:
            self._recorder.close()
        if lease is not None and lease.lost:
            raise taken_over(plan.name)

    async def _main(self, connecting: AbstractAsyncContextManager[Evaluator]) -> None:
        """Search, test and write the outcome, as far as the run is not stopped."""
        async with connecting as evaluator:
            self._row_calls = evaluator.row_calls
            budget = CallBudget(
                limit=self._search_calls,
                spent=lambda: self._ledger.spent,
                previous=self._ledger.previous_budgets.calls,
                per_row=lambda: self._plan.calls_per_row(self._row_calls),
            )
            proposed = [replace(each, trial=-1) for each in self._earlier.proposals]
            begun = await self._bootstrap.run(evaluator)
            plan = begun.plan.with_grown([each for each in proposed if each.accepted])
            race = new_race(
                plan,
                evaluator,
                plan.search_rows,
                budget,
                self._on_round,
                self._options.n_trials,
                self._journal(),
                self._earlier.trials,
                growth_settings(plan, evaluator.responder, proposed),
                self._prior,
            )
            winner = await race.run(begun.default)
            if self._ledger.stopped is None:
                evaluator.responder.check_answered()
            searched = self._ledger.spent
            if self._ledger.stopped is None:
                await self._test(evaluator, race, winner)
        if self._ledger.stopped is None:
            summary = self._recorder.summary(race, winner, tested=self._max_tested > 0, dialect=evaluator.told)
            said = (
                ""
                if self._prior is None
                else prior_sentence(self._prior, race.prior_weights, len(self._plan.search_rows))
            )
            unmet = {} if race.proposals else unmet_needs(self._plan.proposer, self._search_calls())
            self._recorder.finish(
                race, replace(summary, unmet=unmet, unused=self._unused(winner, searched), prior=said)
            )

    def _on_round(self, race: Race) -> None:
        """Plan the next round with the calls that rows took so far, and write down this one."""
        if self._row_calls is not None:
            self._row_calls.update()
        self._recorder.on_round(race)

    def _unused(self, winner: Trial, searched: int) -> dict[str, int]:
        """The calls of the budget that nothing was left to use for, by what they were for.

        Args:
            winner: the winner of the search.
            searched: number of calls that the search spent.
        """
        # How many calls another limit allows is an estimate, as is how many a task or a judge of equal answers takes.
        if [*self._ledger.budget.limits] != ["calls"] or self._plan.judge is not None or self._plan.task is not None:
            return {}
        kept = self._ledger.affordable() - self._search_calls()
        left = {"test": kept - (self._ledger.spent - searched)}
        if not winner.unseen:
            left["search"] = self._search_calls() - searched
        return {name: int(calls) for name, calls in left.items() if calls > 0}

    @property
    def _bootstrap(self) -> Bootstrap:
        return Bootstrap(
            plan=self._plan,
            stored=self._store.pool_answers,
            budget=self._opened_budget.number,
            search_calls=self._search_calls,
            is_stopped=lambda: self._ledger.stopped is not None,
        )

    def _earlier_version(self) -> _Earlier:
        """The trials of the last result that an earlier budget has paid for: a larger one goes on from them."""
        if not self._opened_budget.paid_before.calls or self._options.n_trials is not None:
            return _Earlier()
        earlier = self._store.study(self._plan.name)
        if earlier.summary is None:
            return _Earlier()
        rows: dict[int, set[int]] = {}
        samples = self._store.samples(earlier.version)
        for sample in samples:
            if sample.split == "search":
                rows.setdefault(sample.trial, set()).add(sample.row)
        trials = self._store.trials(earlier.version)
        return _Earlier(
            trials=[(trial.positions, rows[trial.trial]) for trial in trials if trial.trial in rows],
            proposals=self._store.versions.proposals(earlier.version),
            task_calls={each.calls.run: each.calls.keys for each in samples if each.calls is not None},
        )

    def _journal(self) -> Journal | None:
        """Where the decisions of the search are kept; None for a study in memory, which cannot be resumed."""
        if self._store.in_memory:
            return None
        return StoredJournal(self._store.versions, self._version, lambda: self._ledger.stopped is not None)

    def _search_calls(self) -> float:
        """The number of calls that the search may spend: those that the test does not need, as far as is known now."""
        affordable = self._ledger.affordable()
        return self._plan.search_calls(affordable, self._max_tested, self._row_calls)

    async def _test(self, evaluator: Evaluator, race: Race, winner: Trial) -> None:
        """Score winner and baselines on the same test rows, as many as the budget has room for.
        What was lost on the road is sent again, because the verdict would lack its rows.
        One prompt is scored after the other: a server that caches prefixes then reads each prompt's shots once.
        """
        self._reporter.phase = "test"
        baselines = [race.trials[DEFAULT_TRIAL], race.hand_written or winner]
        trials = list(dict.fromkeys([*baselines, winner]))
        rows = self._affordable_rows(evaluator, trials)
        jobs = [(trial.prepared, row) for trial in trials for row in rows]
        outcomes = iter(await evaluator.evaluate_persistently(jobs, "test"))
        tested = {}
        for trial in trials:
            scored = [outcome for outcome in islice(outcomes, len(rows)) if outcome is not None]
            tested[trial.number] = evaluator.with_corpus_scores(scored)
        self._record_use(winner, tested)
        for number, scored in tested.items():
            self._recorder.save_tested(number, scored)

    def _record_use(self, winner: Trial, tested: Mapping[int, Sequence[Outcome]]) -> None:
        """Count a test before its scores are stored: the same winner with the same scores again is no new one."""
        scores = {number: [(each.row, each.score) for each in scored] for number, scored in tested.items()}
        if any(score is not None for _, score in scores[winner.number]):
            seen = repr((winner.prepared.identity, self._plan.metric_name, [scores[each] for each in sorted(scores)]))
            digest = sha256(seen.encode("utf-8", "surrogatepass")).hexdigest()
            self._store.record_test_use(self._plan.sealed, digest, self._plan.name)

    def _affordable_rows(self, evaluator: Evaluator, trials: Sequence[Trial]) -> list[int]:
        """The test rows that all of these trials can be scored on."""
        affordable = self._ledger.affordable()
        room = affordable - self._ledger.spent
        # What an earlier budget tested is free, so there may be more rows than this one alone has room for.
        # Where the winner was written by hand, the share of a third prompt goes to more rows for the other two.
        prompts = min(self._max_tested, max(len(trials), 2))
        most = self._plan.rows_to_test(affordable + self._ledger.previous_budgets.calls, prompts, self._row_calls)
        rows: list[int] = []
        for row in self._plan.test_rows[:most]:
            room -= sum(evaluator.price(trial.prepared, [row])[0] for trial in trials)
            if room < 0:
                break
            rows.append(row)
        return rows
