"""The package's public names, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import prompt_search


def test_public_names_are_sorted() -> None:
    """`__all__` is sorted as isort does it: classes, then the rest, each without regard to case, none twice."""
    classes = [name for name in prompt_search.__all__ if name[0].isupper()]
    others = [name for name in prompt_search.__all__ if not name[0].isupper()]
    assert prompt_search.__all__ == sorted(classes, key=str.casefold) + sorted(others, key=str.casefold)
    assert len(set(prompt_search.__all__)) == len(prompt_search.__all__)


@pytest.mark.parametrize("name", prompt_search.__all__)
def test_public_name_is_importable(name: str) -> None:
    """Every public name is there, is listed by `dir`, and has a docstring."""
    value = getattr(prompt_search, name)
    assert value.__doc__
    assert name in dir(prompt_search)


def test_unknown_name_is_an_attribute_error() -> None:
    """Asking for a name that is not there fails as in any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = prompt_search.nothing


@pytest.mark.parametrize("line", ["import prompt_search", "import prompt_search; dir(prompt_search)"])
def test_import_is_light(line: str) -> None:
    """Importing the package loads none of the heavy packages."""
    heavy = ["jsonschema", "openai", "optuna", "pandas", "scipy", "sqlalchemy"]
    code = f"{line}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
