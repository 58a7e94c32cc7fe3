"""A stored study as a normal Optuna study, for Optuna's plots and for optuna-dashboard.

Optuna's tables are made by the first use of a study's `optuna_study`, not by every run: making and migrating them takes
about as long as a small study. Once they are there, each run that ends brings its own study in them up to date.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sql

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.storage import schema
from prompt_search.storage.database import Database
from prompt_search.storage.records import TrialRecord

if TYPE_CHECKING:
    import optuna

OptunaStudy: TypeAlias = "optuna.Study"
"""The type of Optuna's studies, for modules that do not import Optuna."""

NOTE = "result"
"""The attribute of a mirrored study that holds its note; it is written last, so a mirror without it is incomplete."""

NOTE_LENGTH = 1_000
"""Number of characters that optuna-dashboard shows of the note: it keeps pieces of 2,045 characters of JSON."""


class OptunaMirror:
    """Studies as Optuna keeps them, in the same database; for a database in memory in Optuna's own memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._in_memory: dict[str, optuna.Study] = {}

    def is_kept(self, study: str) -> bool:
        """Whether somebody reads this database with Optuna, so that a run that ends has to be mirrored."""
        return study in self._in_memory if self._database.in_memory else self._has_tables

    @property
    def _has_tables(self) -> bool:
        return sql.inspect(self._database.engine).has_table("studies")

    def mirror(self, study: str, space: SearchSpace, trials: Iterable[TrialRecord], note: str = "") -> None:
        """Write trials with their estimated scores as an Optuna study of the same name, in place of an earlier one.

        optuna-dashboard shows each trial's prompt, and the note on the study.
        """
        _prepare_optuna()
        import optuna

        self.delete(study)
        storage = optuna.storages.InMemoryStorage() if self._database.in_memory else self._open()
        made = optuna.create_study(study_name=study, storage=storage, direction="maximize")
        made.add_trials([_trial(space, trial) for trial in trials])
        # As optuna_dashboard.save_note writes it.
        body = note[:NOTE_LENGTH].replace("\n", "\n\n")
        for key, value in (("dashboard:note_ver", 1), ("dashboard:note_str:0", body)):
            made._storage.set_study_system_attr(made._study_id, key, value)
        made.set_user_attr(NOTE, note)
        if isinstance(storage, optuna.storages.RDBStorage):
            _close(storage)
        else:
            self._in_memory[study] = made

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
        """Delete the mirror of a study if there is one."""
        self._in_memory.pop(study, None)
        if self._database.in_memory or not self._has_tables:
            return
        _prepare_optuna()
        import optuna

        storage = self._open()
        if study in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=study, storage=storage)
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


def stored_space(trials: Sequence[TrialRecord], effects: Sequence[Mapping[str, Any]]) -> SearchSpace:
    """The options of a stored study, without their conditions.

    Args:
        trials: they name the options that were tried.
        effects: of the study's summary; they name all options of each choice with more than one. They are missing
            where nothing was scored, and options that were not tried then have a number only.
    """
    texts: dict[str, dict[int, str]] = {}
    for trial in trials:
        for choice, position in trial.positions.items():
            texts.setdefault(choice, {})[position] = trial.choices[choice]
    for effect in effects:
        texts.setdefault(effect["choice"], {})[effect["position"]] = effect["option"]
    factors = [
        Factor(name=choice, kind="choice", options=tuple(options.get(place, "") for place in range(max(options) + 1)))
        for choice, options in texts.items()
    ]
    return SearchSpace(factors, lambda values: list(texts))


def _trial(space: SearchSpace, trial: TrialRecord) -> optuna.trial.FrozenTrial:
    import optuna
    from optuna.distributions import CategoricalDistribution

    states = {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
    return optuna.trial.create_trial(
        state=states.get(trial.state, optuna.trial.TrialState.FAIL),
        params={choice: space.by_name[choice].ids[position] for choice, position in trial.positions.items()},
        distributions={choice: CategoricalDistribution(space.by_name[choice].ids) for choice in trial.positions},
        value=None if trial.state not in states else trial.estimate,
        intermediate_values={0: trial.estimate} if trial.estimate is not None else {},
        user_attrs={"reason": trial.reason, "prompt": trial.text, "choices": dict(trial.choices)},
    )


def _close(storage: optuna.storages.RDBStorage) -> None:
    storage.remove_session()  # which holds a connection of its own
    storage.engine.dispose()


def _prepare_optuna() -> None:
    """Import Optuna without its warning about a progress bar in a notebook that lacks ipywidgets, and without its red
    line for every study that is made."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
