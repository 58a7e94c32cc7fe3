"""The prior as a setting of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prompt_search._first_tries import named
from prompt_search.errors import StudyError

if TYPE_CHECKING:
    from prompt_search.report.result import Result

ALL_STUDIES = "storage"
"""The prior that stands for all earlier studies in the storage."""


def prior_identity(prior: Result | str) -> Any:
    """A prior as a setting: the name that it is given by, or for a result also when its study was begun, because
    another storage may have one of the same name."""
    return prior if isinstance(prior, str) else {"study": prior.name, "created": prior.created}


def prior_of(given: Result | str | None) -> Result | str | None:
    """What a search starts from.

    Raises:
        InputError: it is neither a result nor a name.
    """
    if given is None or (isinstance(given, str) and given.strip()):
        return given
    from prompt_search.report.result import Result  # which takes pandas

    if not isinstance(given, Result):
        what = "an empty text" if isinstance(given, str) else named(given)
        raise StudyError(
            f'prior= takes "storage", the name of a study in the same storage or a Result, not {what}; give one of them'
        )
    return given
