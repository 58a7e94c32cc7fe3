"""Finding a stored study: by its study file, its storage or its name, or because it is the only one in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_search._names import PROMPT_SUFFIXES
from prompt_search.cli.loading import load_study
from prompt_search.cli.options import DEFAULT_STORAGE
from prompt_search.errors import StorageError, StudyError

if TYPE_CHECKING:
    from prompt_search.report.result import Result
    from prompt_search.results.evaluation import Evaluation
    from prompt_search.storage.store import Store

_STUDY_FILE = re.compile(r"(?P<file>.+\.py(?::[^\W\d]\w*)?)(?:@(?P<version>\d+))?(?::(?P<trial>\d+))?")
_STORAGE = re.compile(r".+\.(?:db|db3|sqlite|sqlite3)|\w+(?:\+\w+)?://.+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A stored study, or one of its trials, as a command line names it.

    Attributes:
        storage: the storage.
        name: the study's name; None: the only one of the storage. It may end in ``@VERSION``, ``:TRIAL`` or both.
        version: number of a result that was named apart from the study.
        trial: number of a trial that was named apart from the study.
    """

    storage: str
    name: str | None = None
    version: int | None = None
    trial: int | None = None


def place_of(spec: str | None, storage: str | None) -> Place:
    """The place that a command line names.

    Args:
        spec: ``FILE.py``, ``FILE.py:name`` or ``NAME``, each with ``@VERSION``, ``:TRIAL`` or both; the path or URL of
            a storage; None.
        storage: the storage that an option names; None: that of the study file, else `found_storage`.

    Raises:
        StudyError: there is no such study file, or it is an exported prompt.
        StorageError: there are several storages, none of which is the default one.
    """
    from prompt_search.storage.database import storage_url

    in_file = _STUDY_FILE.fullmatch(spec or "")
    if in_file:
        study = load_study(in_file["file"])
        version, trial = (None if in_file[part] is None else int(in_file[part]) for part in ("version", "trial"))
        url = storage or study.storage or DEFAULT_STORAGE
        return Place(storage=url, name=study.name, version=version, trial=trial)
    if spec is not None and storage is None and _STORAGE.fullmatch(spec):
        return Place(storage=storage_url(spec))
    if spec is not None and storage is None and spec.lower().endswith(PROMPT_SUFFIXES) and Path(spec).is_file():
        raise StudyError(
            f"{spec}: this is a prompt, not a stored study; give a study file, a storage or a name here, and a prompt "
            "to predict or evaluate"
        )
    return Place(storage=storage or found_storage(), name=spec)


def found_storage() -> str:
    """The storage of this folder: the default one if it holds studies, or else the only SQLite file that does.

    Raises:
        StorageError: there are several.
    """
    from prompt_search.storage.database import holds_studies, sqlite_file

    default = sqlite_file(DEFAULT_STORAGE)
    if default is not None and holds_studies(default):
        return DEFAULT_STORAGE
    endings = (".db", ".db3", ".sqlite", ".sqlite3")
    found = [path for path in sorted(Path().iterdir()) if path.suffix in endings and holds_studies(path)]
    if len(found) > 1:
        raise StorageError(
            f"this folder has several storages ({', '.join(map(str, found))}); name one, such as --storage {found[0]}"
        )
    return f"sqlite:///{found[0]}" if found else DEFAULT_STORAGE


@contextmanager
def opened_storage(url: str | None) -> Iterator[Store]:
    """A storage to read from; unlike for a run, a missing SQLite file is an error and is not created."""
    from prompt_search.storage.store import open_to_read

    with closing(open_to_read(url or found_storage())) as store:
        yield store


@contextmanager
def opened_study(spec: str | None, storage: str | None) -> Iterator[tuple[Result, Place]]:
    """A stored study, and the place where it is; `Place.trial` is the trial that the command line named, if any.

    Raises:
        StorageError: there is no such storage.
        StudyError: there is no such study or trial, or the name is missing where the storage holds several.
    """
    place = place_of(spec, storage)
    with opened_storage(place.storage) as store:
        names = store.study_names()
        if place.name is None and len(names) != 1:
            remedy = f"name one of {', '.join(names)}" if names else "run a study first"
            raise StudyError(f"the storage holds {len(names)} studies; {remedy}")
        found = _split(replace(place, name=place.name or names[0]), names)
        assert found.name is not None  # it was just set
        store.study(found.name, found.version)  # an error where there is none, before what takes a second to load
        from prompt_search.report.result import Result

        yield Result(store, found.name, found.version), found


@contextmanager
def opened_prompt(spec: str, storage: str | None) -> Iterator[Result | Evaluation]:
    """A stored study, for its winner, or where a trial is named the evaluation of that trial.

    Raises:
        StudyError: there is no such study or trial; with those that there are.
    """
    with opened_study(spec, storage) as (result, place):
        yield result if place.trial is None else result.evaluation(place.trial)


def checked_trial(result: Result, trial: int | None) -> int:
    """The number of a trial that has scores; the winner's where none is named.

    Raises:
        StudyError: there is no such trial, or none was named and the study, being unfinished, has no winner.
    """
    from prompt_search.results.wording import trials_there

    trials = sorted(result.ranking()["trial"].tolist())
    if trial is None and trials and not result.finished:
        raise StudyError(
            f"the study {result.name!r} is unfinished, so it has no tested winner; run it again to resume, or name a "
            f"trial, such as {result.name}:{result.best_trial} for the best so far"
        )
    wanted = result.best_trial if trial is None else trial
    if wanted not in trials:
        remedy = f"give one of {trials_there(trials)}" if trials else "none is scored yet; run the study first"
        raise StudyError(f"the study {result.name!r} has no trial {wanted}; {remedy}")
    return wanted


def _split(place: Place, names: list[str]) -> Place:
    """The place with version and trial apart from the study's name, which may itself end in a colon and digits."""
    from prompt_search.storage.versions import named_version

    given = place.name or ""
    name, version = named_version(given, names)
    if name in names:
        return replace(place, name=name, version=place.version if version is None else version)
    before, _, trial = given.rpartition(":")
    name, version = named_version(before, names)
    if name not in names or not trial.isdecimal():
        return place
    return replace(place, name=name, version=version, trial=int(trial))
