"""What a study takes from earlier ones: settled once, when it begins.

Only scores of search rows are taken, and none of a row that is one of this study's test rows: what decides which
prompts are looked at must not have seen the rows that they are tested on. Rows are the same where their fields are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prompt_search.data.rows import Row
from prompt_search.errors import StudyError
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import WRITTEN
from prompt_search.report.result import Result
from prompt_search.results.stored.study_records import stored_as
from prompt_search.search.prior.scores import prior_trials
from prompt_search.storage.once.prior_studies import PriorStudies, PriorStudy, PriorTrial
from prompt_search.storage.records import StudyRecord
from prompt_search.storage.store import Store
from prompt_search.storage.versions import named_version
from prompt_search.study.arguments.prior import ALL_STUDIES
from prompt_search.study.plan import StudyPlan

MOST_READ = 20
"""Number of studies that are looked at, the latest of a storage."""

MOST_STUDIES = 3
"""Number of studies whose candidates are taken, those that share the most options."""

MOST_TRIALS = 150
"""Number of candidates that are taken of all studies together, those with the most rows: each takes part in every
decision of the search."""

DIGEST_LENGTH = 16
"""Number of hex digits of a row's digest."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A stored study that something may be taken from, and the storage that it is read from."""

    store: Store
    record: StudyRecord


@dataclass(frozen=True, kw_only=True)
class Known:
    """What one earlier study knows.

    Attributes:
        study: its candidates.
        ease: the ease of its rows, by their digests.
    """

    study: PriorStudy
    ease: Mapping[str, float]


def row_digest(row: Row) -> str:
    """A digest of a row's fields, by which it is known in other data.

    >>> row_digest(Row({"text": "fine", "label": "positive"}, target="label"))
    '1288edd9161587eb'
    """
    fields = row.fields
    text = json.dumps({name: fields[name] for name in fields}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def sources(plan: StudyPlan, store: Store, apart: Collection[str]) -> list[Source]:
    """The studies that a plan names as its prior, the latest first.

    Args:
        plan: the study.
        store: the storage that it runs in.
        apart: names of studies that are parts of the same work, and are no earlier ones.

    Raises:
        StudyError: there is no study of the name that it gives, or it is the study itself.
    """
    prior = plan.settings.prior
    if prior is None:
        return []
    if isinstance(prior, Result):
        opened, record = stored_as(prior)
        return [Source(store=opened, record=record)]
    names = store.study_names()
    if prior != ALL_STUDIES:
        name, version = named_version(prior, names)
        if name == plan.name:
            raise StudyError(f"study {name!r} cannot be its own prior; give another study, or another name")
        return [Source(store=store, record=store.study(name, version))]
    found = [store.study(name) for name in reversed(names) if name != plan.name and name not in apart]
    used = [each for each in found if each.summary is not None and not each.summary.rescored]
    return [Source(store=store, record=each) for each in used[:MOST_READ]]


def settled_prior(plan: StudyPlan, store: Store, found: Sequence[Source]) -> PriorStudies | None:
    """What a study takes from earlier ones: what it took when it began, or else what they know now.

    Raises:
        StorageError: a study cannot be read.
    """
    if plan.settings.prior is None:
        return None
    stored = store.prior_studies.of_study(plan.name)
    return stored or store.prior_studies.settle(plan.name, _taken(plan, found))


def save_rows(plan: StudyPlan, store: Store, rows: Collection[int]) -> None:
    """Write by what later studies know the rows that a study was scored on."""
    store.prior_studies.save_row_digests(plan.name, {row: row_digest(plan.data.rows[row]) for row in rows})


def _taken(plan: StudyPlan, found: Sequence[Source]) -> PriorStudies:
    """What earlier studies know of this one now."""
    unfinished = [each.record.version.label for each in found if each.record.summary is None]
    rows = {row: row_digest(plan.data.rows[row]) for row in (*plan.search_rows, *plan.test_rows)} if found else {}
    every = [_known(plan, each, rows) for each in found if each.record.summary is not None]
    alike = sorted((each.study for each in every if each.study.options), key=lambda each: -each.options)[:MOST_STUDIES]
    studies = [_with_most_rows(each, MOST_TRIALS // len(alike)) for each in alike]
    ease = [
        (row, round(float(np.mean(known)), 4))
        for row in sorted(plan.search_rows)
        if (known := [each.ease[rows[row]] for each in every if rows[row] in each.ease])
    ]
    return PriorStudies(studies=studies, ease=ease, unfinished="".join(unfinished[:1]))


def _known(plan: StudyPlan, source: Source, rows: Mapping[int, str]) -> Known:
    """What a finished study knows of this one.

    Args:
        plan: this one.
        source: the finished one.
        rows: the digests of the rows of this one, by position.
    """
    digests = source.store.prior_studies.row_digests(source.record.study)
    if not digests and source.record.identity.get("data") == plan.identity()["data"]:
        digests = dict(rows)  # an earlier release kept none
    sealed = {rows[row] for row in plan.test_rows}
    stored = source.store.trials(source.record.version)
    trials = [trial for trial in stored if not trial.positions.get(WRITTEN)]  # a whole prompt has no choices
    places = {digest: place for place, digest in enumerate(dict.fromkeys(digests.values()))}
    indices = {trial.trial: index for index, trial in enumerate(trials)}
    scores = np.full((len(trials), len(places)), np.nan)
    for sample in source.store.samples(source.record.version):
        digest = digests.get(sample.row)
        if digest and digest not in sealed and sample.split == "search" and sample.trial in indices:
            scores[indices[sample.trial], places[digest]] = np.nan if sample.score is None else sample.score
    known, ease = prior_trials([trial.choices for trial in trials], scores)
    options = shared_options(plan.prompts.space.factors, known)
    return Known(
        study=PriorStudy(study=source.record.version.label, options=options, trials=known),
        ease={digest: float(ease[place]) for digest, place in places.items() if not np.isnan(ease[place])},
    )


def shared_options(factors: Sequence[Factor], trials: Sequence[PriorTrial]) -> int:
    """The number of options that candidates share with a space, of choices in which they differ."""
    count = 0
    for factor in factors:
        had = {trial.choices[factor.name] for trial in trials if factor.name in trial.choices}
        shared = had & set(factor.texts)
        count += len(shared) if len(had) > 1 and len(factor.options) > 1 else 0
    return count


def _with_most_rows(study: PriorStudy, most: int) -> PriorStudy:
    """A study with at most so many candidates."""
    kept = sorted(range(len(study.trials)), key=lambda index: -study.trials[index].rows)[:most]
    return replace(study, trials=[study.trials[index] for index in sorted(kept)])
