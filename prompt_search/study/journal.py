"""The decisions of a study's search in its storage, so that it takes the same course wherever it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from prompt_search._json import json_text, read, reading
from prompt_search.search.deciding.decisions import Decision
from prompt_search.storage.records import Version
from prompt_search.storage.versions import Versions


class StoredJournal:
    """The journal of one version of a study.

    Args:
        versions: where it is.
        version: the version.
        is_stopped: tells whether the run was stopped: decisions then rest on rounds that were not finished, and are
            not kept.
    """

    def __init__(self, versions: Versions, version: Version, is_stopped: Callable[[], bool]) -> None:
        self._versions = versions
        self._version = version
        self._is_stopped = is_stopped
        self._stored = versions.decisions(version)
        self._number = 0

    def settled(self, decision: Decision) -> Decision:
        """The decision that is stored at this place; the given one, stored from now on, where none is, or one of
        another stage: then all that follow are dropped.

        Raises:
            StorageError: what is stored cannot be read.
            RunError: another process has taken the study over.
        """
        number, self._number = self._number, self._number + 1
        if number < len(self._stored):
            with reading(f"a decision of study {self._version.label!r}"):
                kept = read(Decision, self._stored[number])
            if kept.stage == decision.stage:
                return kept
            del self._stored[number:]
        if not self._is_stopped():
            self._versions.save_decision(self._version, number, json_text(asdict(decision)))
        return decision
