"""What a study takes from earlier ones before it begins: written once, so that it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from prompt_search._json import json_text
from prompt_search.storage import schema
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient
from prompt_search.storage.once.stored_once import StoredOnce


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorTrial:
    """A candidate of an earlier study.

    Attributes:
        choices: the text of its option, by the name of each active choice.
        score: its mean score, corrected for the difficulty of its rows, in standard deviations of a single score from
            the mean of its study.
        rows: the number of rows that it was scored on.
    """

    choices: Mapping[str, str]
    score: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorStudy:
    """What an earlier study knows of the effects of options.

    Attributes:
        study: its name, with the version.
        options: the number of options that both studies have, of choices in which its candidates differ.
        trials: its candidates.
    """

    study: str
    options: int
    trials: list[PriorTrial]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorStudies:
    """What a study takes from earlier ones.

    Attributes:
        studies: those that know effects of its options.
        ease: for rows of the study, by position, by how much a score is higher on each than on a mean one, in standard
            deviations of a single score; a list of pairs.
        unfinished: the name of a study that knows nothing yet, because it is unfinished; empty without one.
    """

    studies: list[PriorStudy] = field(default_factory=list)
    ease: list[tuple[int, float]] = field(default_factory=list)
    unfinished: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDigests:
    """By which later studies know the rows of a study.

    Attributes:
        digests: the position of a row, and the digest of its fields.
    """

    digests: list[tuple[int, str]]


class StoredPriorStudies(StoredOnce[PriorStudies]):
    """What the studies of a database took from earlier ones when they began, and what later ones need to take from
    them; none where a study has not begun, or takes nothing."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, schema.prior_studies, PriorStudies, "what study {} took from earlier ones")
        self._digests = StoredOnce(database, schema.row_digests, RowDigests, "the rows of study {}")

    def row_digests(self, study: str) -> dict[int, str]:
        """The digests of those rows that a study was scored on, by position; none where it has not ended, or an earlier
        release wrote it.

        Raises:
            StorageError: the record cannot be read.
        """
        found = self._digests.of_study(study)
        return {} if found is None else dict(found.digests)

    @patient
    def save_row_digests(self, study: str, digests: Mapping[int, str]) -> None:
        """Write the digests of those rows that a study was scored on."""
        record = json_text(asdict(RowDigests(digests=sorted(digests.items()))))
        with self._database.writing() as connection:
            connection.execute(
                self._database.insert_or_update(schema.row_digests), [{"study": study, "record": record}]
            )
