"""Every exception the package raises on purpose.

    PromptSearchError
    ├── InputError            what the user gave is wrong: nothing was sent (exit code 2)
    │   ├── TemplateError     a template, with its name and line
    │   ├── DataError         a data file or table, with file and line
    │   ├── StudyError        a study file, its settings, or a stored study that no longer matches
    │   ├── StorageError      a storage or a record in it that cannot be opened or read
    │   └── MissingExtra      an optional package is not installed
    ├── CallFailed            a call of a task failed: the task may handle it, or the row fails by it
    └── RunError              the run cannot go on: all responses so far are stored (exit code 1)
        ├── ServerUnreachable no connection to the endpoint
        ├── RequestRefused    the endpoint refuses for good (401, 402, 403, 404, quota used up; 400 every time)
        └── BudgetExceeded    a request could have exceeded the budget

A message states the rule, what came, and what to do, on one line.
"""

from __future__ import annotations

from typing import Any


def _one_line(message: str) -> str:
    """Names of columns and files may hold line breaks."""
    return "\\n".join(message.splitlines())


class PromptSearchError(Exception):
    """The base of all errors that the package raises on purpose; ``exit_code`` is the exit code of the command line."""

    exit_code = 1


class InputError(PromptSearchError, ValueError):
    """An argument, a file or a setting is wrong, or a metric failed; the message says what to correct. Exit code 2."""

    exit_code = 2


class TemplateError(InputError):
    """A template breaks a rule; the message has the template's name and the line, as do ``template`` and ``line``.

    >>> str(TemplateError("the option list is empty; give at least one", template="a.j2", line=3))
    'a.j2 line 3: the option list is empty; give at least one'
    """

    def __init__(self, message: str, *, template: str, line: int | None = None) -> None:
        self.template = template
        self.line = line
        super().__init__(_one_line(f"{template}{f' line {line}' if line else ''}: {message}"))


class DataError(InputError):
    """A data file or table breaks a rule; the message has the file and the line, as do ``file`` and ``line``.

    >>> str(DataError("the target is empty; fill it or drop the row", file="a.csv", line=7))
    'a.csv line 7: the target is empty; fill it or drop the row'
    """

    def __init__(self, message: str, *, file: str, line: int | None = None) -> None:
        self.file = file
        self.line = line
        super().__init__(_one_line(f"{file}{f' line {line}' if line else ''}: {message}"))


class StudyError(InputError):
    """A study file or setting is wrong, or a stored study is missing or does not match the new settings."""


class StorageError(InputError):
    """A storage cannot be opened or written, or a record in it cannot be read."""


class MissingExtra(InputError, ImportError):
    """An optional package is not installed; the message has the command that installs it.

    >>> str(MissingExtra("the embedded model", package="xllamacpp", extra="local"))
    "the embedded model needs the package 'xllamacpp'; install it with: pip install 'prompt_search[local]'"
    """

    def __init__(self, what: str, *, package: str, extra: str) -> None:
        super().__init__(f"{what} needs the package {package!r}; install it with: pip install 'prompt_search[{extra}]'")


class RunError(PromptSearchError):
    """A run cannot go on; all responses so far are stored, and running it again resumes it. Exit code 1.

    ``result`` is the finished result where the ``on_finish`` of `Study.run` raised; else None.
    """

    result: Any = None


class ServerUnreachable(RunError):
    """No connection to the model's server can be made."""


class RequestRefused(RunError):
    """The server refuses all requests (status 401, 402, 403 or 404, or a used-up quota), or too many fail in a row."""


class BudgetExceeded(RunError):
    """A request could have exceeded the budget."""


class CallFailed(PromptSearchError):
    """A call of a task failed after all attempts. The task may handle it; if not, the row has this failure.

    Attributes:
        response: the `Response`, whose ``error`` says why.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(response.error)
        self.response = response

    @property
    def kind(self) -> str:
        """The kind of the failure, such as ``timeout``; see `Response`."""
        return str(self).partition(":")[0]
