"""The stored responses of a study, read and scored again by other settings, without a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prompt_search._json import checked, reading
from prompt_search.answers.forms import from_dict
from prompt_search.budget import Budget, Ledger
from prompt_search.errors import StudyError
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.evaluation.own_thread import in_own_thread
from prompt_search.evaluation.session import leased
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.space import WRITTEN
from prompt_search.report.result import Result
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget
from prompt_search.storage.changes import changes
from prompt_search.storage.records import SampleRecord, StudyRecord, TrialRecord, Version
from prompt_search.storage.store import Store, open_to_read
from prompt_search.storage.summary import Summary
from prompt_search.storage.versions import named_version
from prompt_search.study.plan import PROMPT, StudyPlan
from prompt_search.study.run import new_race
from prompt_search.study.shots.bootstrap import with_pool_answers
from prompt_search.study.snapshot import ProgressReporter
from prompt_search.study.watching.recorder import RunRecorder

MAY_CHANGE = (
    "data", "answers", "metric", "metric_range", "rows", "search", "enqueued", "sampler", "pruner", "proposer", "judge",
    "prior", "objective",
)  # fmt: skip
"""Settings that may differ from those of the stored study that is rescored."""


def rescore(plan: StudyPlan, of: str, memory: Store | None) -> Result:
    """Rescore a stored study; see `Study.rescore`.

    Args:
        plan: the study that reads and scores the responses.
        of: name of the stored study.
        memory: the storage in memory of the study's last run, for a study without a storage.
    """
    if plan.judge is not None:
        raise StudyError(
            f"rescore sends nothing, and the judge {plan.judge.model.name} would have to be asked; run the study under "
            "another name, which pays for the judge alone"
        )
    if plan.task is not None:
        raise StudyError(
            f"rescore sends nothing, and the task {plan.task.short_name} would have to run again; run the study under "
            "another name, where stored responses are not paid again"
        )
    store = _opened(plan, memory)
    name = f"{of} rescored"
    try:
        with leased(store, name) as lease:
            stored = _stored_study(store, of)
            plan = _with_prompts_of(plan, stored.record)
            rescored = plan.changed(name=name)
            _check_rescored(store, of, name)
            identity = _checked_identity(plan, stored.record)
            store.open_rescored(name, stored.record.study, identity)
            owner = lease.owner if lease else None
            settings = {"rescored": stored.record.version.label, "identity": identity}
            version = store.open_version(name, settings, owner)
            in_own_thread(lambda: _Rescoring(rescored, store, version, stored).main(), lambda: None)
        return Result(store, name)
    except BaseException:
        if store is not memory:
            store.close()
        raise


def _with_prompts_of(plan: StudyPlan, record: StudyRecord) -> StudyPlan:
    """The plan with the prompts that the stored study raced as a whole, which are candidates of that study alone."""
    with reading(f"the enqueued prompts of study {record.study!r}"):
        whole = [each for each in record.identity.get("enqueued", ()) if PROMPT in each]
        prompts = [Prompt.from_dict(each[PROMPT], each[WRITTEN]) for each in whole]
    choices = [each for each in plan.enqueued if not isinstance(each, Prompt)]
    return StudyPlan.of(plan.settings, [*choices, *prompts])


def _opened(plan: StudyPlan, memory: Store | None) -> Store:
    """The storage that holds the responses.

    Raises:
        StudyError: the study keeps everything in memory, and has not run.
    """
    store = open_to_read(plan.settings.storage or "sqlite://")
    if not store.in_memory:
        return store
    store.close()
    if memory is None:
        raise StudyError(
            f"study {plan.name!r} has no storage, so only a run of this Study object can be rescored, and it has "
            "not run; call run() first, or give both studies storage="
        )
    return memory


@dataclass(frozen=True, kw_only=True)
class _StoredStudy:
    """A finished study in the storage."""

    record: StudyRecord
    summary: Summary
    trials: Sequence[TrialRecord]
    samples: Sequence[SampleRecord]

    @property
    def budget(self) -> Budget:
        """The budget that it was run with."""
        with reading(f"the budget of study {self.record.study!r}"):
            return Budget(**self.summary.budget)  # type: ignore[arg-type]  # its names are those of the limits


def _stored_study(store: Store, name: str) -> _StoredStudy:
    """
    Raises:
        StudyError: there is no study or result of that name, or it is unfinished.
    """
    record = store.study(*named_version(name, store.study_names()))
    if record.summary is None:
        raise StudyError(
            f"study {name!r} cannot be rescored, because it is unfinished; run it again to resume, then rescore it"
        )
    return _StoredStudy(
        record=record,
        summary=record.summary,
        trials=store.trials(record.version),
        samples=store.samples(record.version),
    )


def _check_rescored(store: Store, of: str, name: str) -> None:
    """
    Raises:
        StudyError: the study of that name was not made by rescoring.
    """
    for each in store.versions.of_study(name):
        if "rescored" not in each.settings and not (each.summary and each.summary.rescored):
            raise StudyError(
                f"study {of!r} cannot be rescored, because {name!r} is a study that was run itself; run {of!r} "
                "under another name, which costs nothing, and rescore that"
            )


def _checked_identity(plan: StudyPlan, record: StudyRecord) -> dict[str, object]:
    """The identity of the rescored study.

    Raises:
        StudyError: the stored study had other candidates.
    """
    identity = plan.identity()
    models = record.identity.get("models", [])
    if len(plan.models) == len(models) == 1:  # no model is asked, so it may be any
        identity["models"] = models
    changed = changes(record.identity, identity, but=MAY_CHANGE)
    if changed:
        raise StudyError(
            f"study {record.study!r} cannot be rescored, because its candidates differ: {changed}; run it as a new "
            "study"
        )
    return identity


class _Rescoring:
    """Writes down stored trials as another study reads and scores their responses."""

    def __init__(self, plan: StudyPlan, store: Store, version: Version, stored: _StoredStudy) -> None:
        self._plan = plan
        self._store = store
        self._version = version
        self._stored = stored
        self._ledger = Ledger(stored.budget, price=lambda request, usage: 0.0)  # nothing is sent that needs a price
        self._proposals = store.versions.proposals(stored.record.version)
        plan = with_pool_answers(plan, store.pool_answers.of_study(plan.name))
        self._plan = plan = plan.with_grown([each for each in self._proposals if each.accepted])
        self._recorder = RunRecorder(
            plan, store, version, self._ledger, ProgressReporter(plan.name, self._ledger, None)
        )

    async def main(self) -> None:
        """Rescore all trials, and write the outcome."""
        settings = self._plan.evaluation_settings(self._plan.name, self._store, self._ledger, None)
        # No client is needed, and no request saved by an early end: every response is stored.
        evaluator = Evaluator(replace(settings, ends_unread=False, on_refusal="ignore"), clients={})
        searched = {sample.row for sample in self._stored.samples if sample.split == "search"}
        budget = CallBudget(limit=self._ledger.affordable, spent=lambda: self._ledger.spent)
        order = sorted(searched, key=_place_in(self._plan.search_rows))
        race = new_race(self._plan, evaluator, order, budget, self._recorder.on_round)
        tested = [record for trial in self._stored.trials for record in await self._trial(evaluator, race, trial)]
        race.conclude()
        self._recorder.on_round(race)
        self._store.save_trials(self._version, [], tested)
        if self._proposals:
            self._store.versions.save_proposals(self._version, 0, self._proposals)
        self._recorder.finish(race, self._summary(race))

    async def _trial(self, evaluator: Evaluator, race: Race, trial: TrialRecord) -> list[SampleRecord]:
        """Rescore a trial, and enter it into the race.

        Returns:
            its records on test rows.
        """
        prepared = _prepared(self._plan, self._stored.record, trial)
        samples = [sample for sample in self._stored.samples if sample.trial == trial.trial]
        samples.sort(key=lambda sample: sample.row)
        for sample in samples:
            _check_sent(self._plan, prepared, sample)
        jobs = [(prepared, sample.row) for sample in samples if sample.split == "search"]
        outcomes = [outcome for outcome in await evaluator.evaluate(jobs, "search") if outcome is not None]
        prepared, outcomes = await evaluator.reparse(prepared, outcomes, "search")
        candidate = self._plan.prompts.space.candidate(trial.positions)
        race.restore(trial.trial, candidate, prepared, outcomes, trial.state, trial.reason)
        jobs = [(prepared, sample.row) for sample in samples if sample.split == "test"]
        tested = [outcome for outcome in await evaluator.evaluate(jobs, "test") if outcome is not None]
        return self._recorder.sample_records(trial.trial, "test", evaluator.with_corpus_scores(tested))

    def _summary(self, race: Race) -> Summary:
        """The outcome: the winner stays the one that was tested, and nothing is spent."""
        before = self._stored.summary
        winners = [trial for trial in race.trials if trial.number == before.winner]
        estimates = race.estimates()
        return replace(
            self._recorder.summary(race, (winners or [race.winner])[0], tested=before.tested),
            budget=before.budget,
            sealed=before.sealed,
            test_uses=before.test_uses,
            hand_written=before.hand_written,
            dialect=before.dialect,
            unmet=before.unmet,
            model=before.model,
            order=sorted(estimates, key=lambda trial: (-estimates[trial], trial)),
            rescored={
                "of": self._stored.record.version.label,
                "metric": before.metric or str(self._stored.record.identity["metric"]),
            },
            calls=0,
            reused=0,
            tokens=0,
            usd=0.0,
        )


def _prepared(plan: StudyPlan, record: StudyRecord, trial: TrialRecord) -> PreparedPrompt:
    """A stored trial's prompt, with the answer form of the study that rescores it, or its own if it was enqueued with
    one.

    Raises:
        StudyError: the stored study had another number of answer forms to choose from.
    """
    forms, count = plan.prompts.answers, len(record.identity.get("answers", ()))
    if len(forms) not in (1, count):
        raise StudyError(
            f"study {record.study!r} had {count} answer forms, not {len(forms)}; give one, or as many as that study had"
        )
    with reading(f"trial {trial.trial} of study {record.study!r}"):
        written = plan.prompts.written_as(plan.prompts.space.candidate(trial.positions))
        own = from_dict(written.answer) if written is not None and written.answer else None
        answer = own or forms[trial.positions.get("answer", 0) if len(forms) > 1 else 0]
        prompt = replace(checked(Prompt, trial.prompt), answer=answer.to_dict())
        endpoint = dict(record.identity["models"])[prompt.model]
    shown, model = tuple(trial.shown), str(prompt.model)
    return PreparedPrompt(prompt=prompt, answer=answer, model=model, endpoint=endpoint, shown=shown)


def _check_sent(plan: StudyPlan, prepared: PreparedPrompt, sample: SampleRecord) -> None:
    """
    Raises:
        StudyError: a stored response is not that to a prompt with this row.
    """
    inside = sample.row < len(plan.data)
    if not inside or prepared.request(plan.data.rows[sample.row].fields).key != sample.key:
        raise StudyError(
            f"row {sample.row} differs from the row of the stored request; rescore with the rows of the stored "
            "study, in which only targets may differ"
        )


def _place_in(order: Sequence[int]) -> Callable[[int], tuple[int, int]]:
    """A sort key for rows: their place in an order, and after those all others by number."""
    places = {row: place for place, row in enumerate(order)}
    return lambda row: (places.get(row, len(places)), row)
