"""A study's result as people see it: printed, in a notebook, and as a report in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prompt_search import _html
from prompt_search._files import write_by_suffix
from prompt_search._first_tries import FirstTries, by_names, named, told
from prompt_search._printable import printable
from prompt_search.errors import StudyError
from prompt_search.report.growth import GrowthSection
from prompt_search.report.html import html_report
from prompt_search.report.markdown import markdown_report
from prompt_search.results.frames import with_columns_of
from prompt_search.results.lines import growth, titles
from prompt_search.results.shown.failures import failures_frame, failures_view
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.view import TEXT_WIDTH, to_html, to_text
from prompt_search.results.views import ranking_view, tested_view
from prompt_search.storage.store import open_to_read
from prompt_search.storage.versions import named_version


class Result(FirstTries, StoredStudy):
    """A stored study, finished or not: winner, verdict, headline, tables and report.

    Args:
        store: the opened storage that holds it.
        study: the study's name.
        version: the number of the result; default: the last finished one.

    Raises:
        StudyError: there is no such study or version.
        StorageError: its records cannot be read.
    """

    _instead = by_names(
        **{
            "result.best": "best_prompt winner prompt_text",
            "result.test_score(result.best_trial).mean": "score best_score accuracy",
            "result.best.export('best.json')": "save export to_json",
            "result.trials_df()": "to_df to_pandas df trials",
        }
    )

    def __repr__(self) -> str:
        return f"{printable(self._told)}\n\n{to_text(ranking_view(self), TEXT_WIDTH)}"

    @property
    def _told(self) -> str:
        """The headline, which of an unfinished study does not say what it used, with that."""
        return self.headline if self.finished else f"{self.headline}\n{self.spent}"

    def _repr_html_(self) -> str:
        head = _html.verdict(self.verdict if self.finished else "", self._told)
        if not len(self.trials_df()):
            return _html.block(head)
        parts = [head, to_html(tested_view(self)) if self.finished else ""]
        parts.append(to_html(ranking_view(self, width=60)))
        parts.append(_html.details(titles.WINNING_PROMPT, _html.messages(self.best.turns)))
        if self.best_trial:
            changes = _html.diff(self.baseline.diff(self.best))
            parts.append(_html.details(titles.CHANGED_BY_WINNER, changes))
        grown = GrowthSection.of(self)
        if grown is not None and grown.views:
            parts.append(_html.details(growth.PROPOSALS_TITLE, _html.join(map(to_html, grown.views))))
        failing = failures_view(self)
        if failing.rows:
            parts.append(_html.details(titles.FAILING_ROWS, to_html(failing)))
        return _html.block(*parts)

    @with_columns_of(failures_frame)
    def failures_df(self, trial: int | None = None) -> pd.DataFrame:
        """The rows that a prompt fails on: their text, the answers of this prompt and of the default one.

        Args:
            trial: a trial's number; default: the winner's.

        Raises:
            StudyError: there is no such trial.
        """
        return failures_frame(self, trial)

    def report(self, path: str | Path, slices: Sequence[pd.DataFrame] = ()) -> Path:
        """Write the report, which has everything needed to decide, to one file: ``.html`` (works offline) or ``.md``.

        Args:
            path: the file; nothing else is written.
            slices: tables of scores by groups of rows to show as well, see `slices_df`.

        Raises:
            InputError: another suffix, or the file cannot be written.
        """
        writers = {
            ".html": lambda: html_report(self, slices).encode("utf-8", "backslashreplace"),
            ".md": lambda: markdown_report(self, slices).encode("utf-8", "backslashreplace"),
        }
        return write_by_suffix(path, writers, "report")


@told("ps.open_result('study.db')", study="write name=")
def open_result(storage: str | Path, name: str | None = None) -> Result:
    """Open a stored study, finished or not.

    Args:
        storage: the path of an SQLite file, or an SQLAlchemy URL.
        name: the study's name, for the last result that it finished, or ``name@1`` for its first result; needed where
            the storage holds several studies.

    Raises:
        StorageError: the storage is not there or cannot be opened.
        StudyError: there is no study of that name or no such result of it, or no name is given and there are several.
    """
    if not isinstance(storage, (str, Path)):
        raise StudyError(
            f"open_result takes the path or URL of a storage, not {named(storage)}; give one such as study.db"
        )
    store = open_to_read(storage)
    names = store.study_names()
    if name is None and len(names) != 1:
        store.close()
        remedy = f"give one of them: {', '.join(names)}" if names else "run a study first"
        raise StudyError(f"the storage holds {len(names)} studies; {remedy}")
    return Result(store, *named_version(name or names[0], names))
