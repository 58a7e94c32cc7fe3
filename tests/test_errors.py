"""The exception tree, exit codes, and what messages carry."""

from __future__ import annotations

import pytest

from prompt_search import errors
from prompt_search.errors import (
    BudgetExceeded,
    DataError,
    InputError,
    MissingExtra,
    PromptSearchError,
    RequestRefused,
    RunError,
    ServerUnreachable,
    StorageError,
    StudyError,
    TemplateError,
)

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_in_the_tree(kind: type[Exception]) -> None:
    """The docstring draws every error, all are `PromptSearchError`, and all are documented."""
    assert issubclass(kind, PromptSearchError)
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__doc__


@pytest.mark.parametrize("kind", [InputError, TemplateError, DataError, StudyError, StorageError, MissingExtra])
def test_wrong_input_exits_with_2(kind: type[PromptSearchError]) -> None:
    """What the user gave wrong is an `InputError` and a `ValueError`, exit code 2."""
    assert issubclass(kind, InputError)
    assert issubclass(kind, ValueError)
    assert kind.exit_code == 2


@pytest.mark.parametrize("kind", [RunError, ServerUnreachable, RequestRefused, BudgetExceeded])
def test_failed_run_exits_with_1(kind: type[PromptSearchError]) -> None:
    """What ends a run is a `RunError`, exit code 1."""
    assert issubclass(kind, RunError)
    assert not issubclass(kind, InputError)
    assert kind.exit_code == 1


def test_place_is_told_with_and_without_line() -> None:
    """Errors about files begin with the file and, where known, the line; both are attributes."""
    template = TemplateError("broken", template="a.j2", line=3)
    assert (str(template), template.template, template.line) == ("a.j2 line 3: broken", "a.j2", 3)
    assert str(TemplateError("broken", template="a.j2")) == "a.j2: broken"
    data = DataError("empty", file="a.csv", line=7)
    assert (str(data), data.file, data.line) == ("a.csv line 7: empty", "a.csv", 7)
    assert str(DataError("empty", file="a.csv")) == "a.csv: empty"


def test_missing_extra_says_how_to_install() -> None:
    """A missing optional package is an ImportError whose message holds the command."""
    error = MissingExtra("BLEU", package="sacrebleu", extra="text")
    assert isinstance(error, ImportError)
    assert str(error) == "BLEU needs the package 'sacrebleu'; install it with: pip install 'prompt_search[text]'"
