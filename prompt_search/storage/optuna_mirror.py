"""A stored study as a normal Optuna study, for Optuna's plots and for optuna-dashboard.

Optuna's tables are made by the first use of a study's `optuna_study`, not by every run: making and migrating them takes
about as long as a small study. Once they are there, each run that ends brings its own study in them up to date. A run
that somebody watches makes them when it begins, and writes its trials as they come (`LiveMirror`).
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sql

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.storage import schema
from prompt_search.storage.database import Database
from prompt_search.storage.records import ProposalRecord, TrialRecord, split_label

if TYPE_CHECKING:
    import optuna

OptunaStudy: TypeAlias = "optuna.Study"
"""The type of Optuna's studies, for modules that do not import Optuna."""

NOTE = "result"
"""The attribute of a mirrored study that holds its note; it is written last, so a mirror without it is incomplete."""

NAME_LENGTH = 24
"""Number of characters of an option without words that stand in its name."""

NOTE_LENGTH = 1_000
"""Number of characters that optuna-dashboard shows of the note: it keeps pieces of 2,045 characters of JSON."""

METRIC_NAMES = "study:metric_names"
"""Optuna's key of the names of a study's values."""

IMPORTANCES = (
    "Optuna's hyperparameter importances, here and in its plots, are misleading: a search selected these trials. What "
    "each choice changes, with intervals, is in `prompt-search show` and in the report."
)
"""The note about the dashboard's importances."""

CAUTION = "importances"
"""The attribute of a mirrored study that holds the note about importances."""

RUNNING = (
    "The study is running. Until it ends, a trial's values are its mean scores by the number of rows, which are "
    "optimistic for the best trials; at its end they become corrected estimates."
)
"""The note on a study that is watched while it runs."""

NOT_TRIED = "(not tried)"
"""The text of an option of which only the position is stored."""

RESERVED_OPTIONS = 100
"""Number of names that a running study keeps for options which are proposed to a choice: Optuna refuses a choice whose
options change. Options after these share the last name; at the end each has a name of its own."""

Names: TypeAlias = Mapping[str, Sequence[str]]
"""The names of the options of each choice."""

Times: TypeAlias = Mapping[int, tuple[datetime, datetime]]
"""By trial the moments when it began and when it got its last score."""


class OptunaMirror:
    """Studies as Optuna keeps them, in the same database; for a database in memory in Optuna's own memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._in_memory: dict[str, optuna.Study] = {}

    def is_kept(self, study: str) -> bool:
        """Whether somebody reads this database with Optuna, so that a run that ends has to be mirrored."""
        return any(_is_of(name, study) for name in self._in_memory) if self._database.in_memory else self._has_tables

    @property
    def _has_tables(self) -> bool:
        with self._database.connected() as connection:
            return sql.inspect(connection).has_table("studies")

    def mirror(
        self,
        study: str,
        space: SearchSpace,
        trials: Iterable[TrialRecord],
        note: str = "",
        *,
        metric: str = "score",
        times: Times | None = None,
    ) -> None:
        """Write trials with their estimated scores as an Optuna study of the same name, in place of an earlier one.

        optuna-dashboard shows each trial's prompt, and the note on the study.

        Args:
            study: the label of the study's version.
            space: its options.
            trials: its trials.
            note: what is said about it.
            metric: the name of the scores.
            times: when the trials ran; those of others are the moment of writing.
        """
        with self._database.telling("written"):
            made = self._made(study, metric)
            names = {factor.name: option_names(factor) for factor in space.factors}
            made.add_trials([_trial(names, trial, (times or {}).get(trial.trial)) for trial in trials])
            _set_note(made, note)
            made.set_user_attr(NOTE, note)
        if self._database.in_memory:
            self._in_memory[study] = made
        else:
            _close(made._storage)

    def live(self, study: str, space: SearchSpace, metric: str, *, grows: bool = False) -> LiveMirror:
        """An Optuna study without trials in place of the one of that name, to be written while a run goes on.

        Args:
            study: the label of the study's version.
            space: its options when the run begins.
            metric: the name of the scores.
            grows: whether further options may be proposed to its choices with ``grow=``.
        """
        with self._database.telling("written"):
            made = self._made(study, metric)
            _set_note(made, RUNNING)
        names = {factor.name: reserved_names(factor) if grows else option_names(factor) for factor in space.factors}
        return LiveMirror(made, names, self._database)

    def _made(self, study: str, metric: str) -> optuna.Study:
        """An Optuna study without trials, in place of an earlier one."""
        _prepare_optuna()
        import optuna

        self._delete(lambda name: name == study)
        storage = optuna.storages.InMemoryStorage() if self._database.in_memory else self._open()
        made = optuna.create_study(study_name=study, storage=storage, direction="maximize")
        made._storage.set_study_system_attr(made._study_id, METRIC_NAMES, [metric])  # the method warns: experimental
        return made

    def load(self, study: str) -> optuna.Study | None:
        """The mirror of a study; None where there is none, or where writing it was interrupted."""
        if self._database.in_memory:
            return self._in_memory.get(study)
        if not self._has_tables:
            return None
        _prepare_optuna()
        import optuna

        storage = self._open()
        try:
            found = optuna.load_study(study_name=study, storage=storage)
            if NOTE in found.user_attrs:
                weakref.finalize(found, _close, storage)  # its connections are open for as long as it is there
                return found
        except KeyError:  # there is none of this name
            pass
        _close(storage)
        return None

    def delete(self, study: str) -> None:
        """Delete the mirrors of a study, of all its versions."""
        with self._database.telling("written"):
            self._delete(lambda name: _is_of(name, study))

    def _delete(self, chosen: Callable[[str], bool]) -> None:
        self._in_memory = {name: made for name, made in self._in_memory.items() if not chosen(name)}
        if self._database.in_memory or not self._has_tables:
            return
        _prepare_optuna()
        import optuna

        storage = self._open()
        for name in optuna.get_all_study_names(storage):
            if chosen(name):
                optuna.delete_study(study_name=name, storage=storage)
        _close(storage)

    def _open(self) -> optuna.storages.RDBStorage:
        """Optuna's tables in this database; they are made when missing."""
        _prepare_optuna()
        import optuna

        url = self._database.url.render_as_string(hide_password=False)
        with self._database.engine.begin() as connection:
            if not self._database.is_sqlite:  # two processes may make Optuna's tables at the same moment
                schema.wait_for_others(connection)
            try:
                return optuna.storages.RDBStorage(url)
            except sql.exc.OperationalError:  # SQLite's way to say that they have just been made
                return optuna.storages.RDBStorage(url)


class LiveMirror:
    """An Optuna study that is written while a run goes on, for those who watch it in optuna-dashboard.

    Trials run until the race ends them: Optuna's trials that are finished can neither get another value nor go on.
    At its end the run writes the study anew, with estimates as values.

    Args:
        study: an Optuna study without trials.
        names: the names of each choice's options, see `reserved_names`.
        database: where it is.
    """

    def __init__(self, study: optuna.Study, names: Names, database: Database) -> None:
        self._study = study
        self._database = database
        self._names = names
        self._ids: dict[int, int] = {}
        self._ended: set[int] = set()

    def update(self, trial: TrialRecord, rows: int, score: float | None) -> None:
        """Write where a trial stands; trials come in the order of their numbers.

        Args:
            trial: the trial.
            rows: number of rows that it has a score on.
            score: its mean score on them; None without any.
        """
        if trial.trial not in self._ended:
            with self._database.telling("written"):
                self._update(trial, rows, score)

    def _update(self, trial: TrialRecord, rows: int, score: float | None) -> None:
        import optuna

        storage = self._study._storage
        if trial.trial not in self._ids:
            running = _trial(self._names, replace(trial, state="running", estimate=None), None)
            running.state, running.datetime_complete = optuna.trial.TrialState.RUNNING, None
            self._ids[trial.trial] = storage.create_new_trial(self._study._study_id, template_trial=running)
        number = self._ids[trial.trial]
        if score is not None:
            storage.set_trial_intermediate_value(number, rows, score)
        if trial.state in ("pruned", "failed"):
            storage.set_trial_user_attr(number, "reason", trial.reason)
            pruned = trial.state == "pruned"
            state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.FAIL
            storage.set_trial_state_values(number, state, [score] if pruned and score is not None else None)
            self._ended.add(trial.trial)

    def close(self) -> None:
        """Close the connections; the trials stay."""
        _close(self._study._storage)


def stored_space(
    trials: Sequence[TrialRecord],
    effects: Sequence[Mapping[str, Any]],
    proposals: Sequence[ProposalRecord] = (),
) -> SearchSpace:
    """The options of a stored study, without their conditions.

    Args:
        trials: they name the options that were tried.
        effects: of the study's summary; they name all options of each choice with more than one. They are missing
            where nothing was scored, and the texts of options that were not tried are not known then.
        proposals: what was proposed; options of these are known, tried or not.
    """
    texts: dict[str, dict[int, str]] = {}
    for trial in trials:
        for choice, position in trial.positions.items():
            texts.setdefault(choice, {})[position] = trial.choices[choice]
    for effect in effects:
        texts.setdefault(effect["choice"], {})[effect["position"]] = effect["option"]
    for proposal in proposals:
        if proposal.accepted:
            texts.setdefault(proposal.choice, {})[proposal.position] = proposal.text
    factors = [
        Factor(
            name=choice,
            kind="choice",
            options=tuple(options.get(place, NOT_TRIED) for place in range(max(options) + 1)),
        )
        for choice, options in texts.items()
    ]
    return SearchSpace(factors, lambda values: list(texts))


def option_names(factor: Factor) -> tuple[str, ...]:
    """The names of a choice's options: position and first words, or what there is instead of words."""
    return tuple(
        name if " " in name else f"{name} {repr(text)[:NAME_LENGTH] if text else '(empty)'}"
        for name, text in zip(factor.ids, factor.texts, strict=True)
    )


def reserved_names(factor: Factor) -> tuple[str, ...]:
    """The names of a choice's options while a study runs; one that may grow has names for options that may come."""
    names = option_names(factor)
    if not factor.grow:
        return names
    more = [f"{place} proposed" for place in range(len(names), len(names) + RESERVED_OPTIONS)]
    return (*names, *more, f"{len(names) + RESERVED_OPTIONS} or later, proposed")


def _trial(names: Names, trial: TrialRecord, times: tuple[datetime, datetime] | None) -> optuna.trial.FrozenTrial:
    import optuna
    from optuna.distributions import CategoricalDistribution

    states = {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
    params = {choice: names[choice][min(place, len(names[choice]) - 1)] for choice, place in trial.positions.items()}
    made = optuna.trial.create_trial(
        state=states.get(trial.state, optuna.trial.TrialState.FAIL),
        params=params,
        distributions={choice: CategoricalDistribution(names[choice]) for choice in trial.positions},
        value=None if trial.state not in states else trial.estimate,
        intermediate_values={0: trial.estimate} if trial.estimate is not None else {},
        user_attrs={"reason": trial.reason, "prompt": trial.text, "choices": dict(trial.choices)},
    )
    if times is not None:
        made.datetime_start, made.datetime_complete = times
    return made


def _is_of(name: str, study: str) -> bool:
    """Whether an Optuna study is that of a study's first version, or of a later one."""
    return name == study or split_label(name)[0] == study


def _set_note(study: optuna.Study, note: str) -> None:
    """Set the note that optuna-dashboard shows, as its ``save_note`` does."""
    body = "\n\n".join([*note[:NOTE_LENGTH].split("\n"), IMPORTANCES]).strip()
    for key, value in (("dashboard:note_ver", 1), ("dashboard:note_str:0", body)):
        study._storage.set_study_system_attr(study._study_id, key, value)
    study.set_user_attr(CAUTION, IMPORTANCES)  # beside the chart of importances; the note is on a page of its own


def _close(storage: optuna.storages.BaseStorage) -> None:
    storage.remove_session()  # which holds a connection of its own
    engine = getattr(storage, "engine", None) or getattr(getattr(storage, "_backend", None), "engine", None)
    if engine is not None:  # Optuna wraps its storages of databases in a cache
        engine.dispose()


def _prepare_optuna() -> None:
    """Import Optuna without its warning about a progress bar in a notebook that lacks ipywidgets, and without its red
    line for every study that is made."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
