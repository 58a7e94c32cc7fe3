"""The package's public names, and what importing it costs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import prompt_search
from prompt_search import errors


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


@pytest.mark.parametrize("name", sorted(name for name in dir(prompt_search.Result) if name.endswith("_df")))
def test_help_of_a_table_lists_its_columns(name: str) -> None:
    """The docstring of every table of a result names its columns, after its first sentence."""
    summary, *details = (inspect.getdoc(getattr(prompt_search.Result, name)) or "").split("\n\n")
    assert summary.endswith(".")
    assert sum("Columns: " in paragraph for paragraph in details) == 1


def test_unknown_name_is_an_attribute_error() -> None:
    """Asking for a name that is not there fails as in any module; names that people try are told with ours."""
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'$"):
        _ = prompt_search.nothing
    told = r"has no attribute 'read_csv'; write ps\.Dataset\.read\(path, target='COLUMN'\)$"
    with pytest.raises(AttributeError, match=told):
        _ = prompt_search.read_csv


@pytest.mark.parametrize("line", ["import prompt_search", "import prompt_search; dir(prompt_search)"])
def test_import_is_light(line: str) -> None:
    """Importing the package loads none of the heavy packages."""
    heavy = ["jsonschema", "openai", "optuna", "pandas", "scipy", "sqlalchemy"]
    code = f"{line}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_scipy_stats_stays_out() -> None:
    """No module of the package imports scipy.stats, which alone takes half a second and 50 MB with what it loads."""
    found = pkgutil.walk_packages(prompt_search.__path__, "prompt_search.")
    modules = [module.name for module in found if not module.name.endswith("__main__")]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "scipy.special" in loaded
    assert "scipy.stats" not in loaded


def classes_of_the_package() -> dict[str, type]:
    """Every class that a module of the package defines, by name."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(prompt_search.__path__, "prompt_search."):
        if not module.name.endswith("__main__"):
            members = vars(importlib.import_module(module.name)).items()
            found |= {
                name: value for name, value in members if isinstance(value, type) and value.__module__ == module.name
            }
    return found


def returned_types() -> Iterator[tuple[str, str]]:
    """What every public function, method and property says that it returns, with its name."""
    for name in prompt_search.__all__:
        value = getattr(prompt_search, name)
        members = dict(inspect.getmembers(value)) if isinstance(value, type) else {"": value}
        for member, function in members.items():
            function = getattr(function, "fget", None) or getattr(function, "func", None) or function
            annotations = getattr(function, "__annotations__", {})
            if not member.startswith("_") and "return" in annotations:
                yield f"{name}.{member}", str(annotations["return"])


def test_what_public_calls_return_is_public() -> None:
    """Every class of the package that a public call returns is a public name, so that users can annotate with it."""
    classes = classes_of_the_package()
    hidden = {
        f"{where} returns {name}"
        for where, returned in returned_types()
        for name in re.findall(r"\w+", returned)
        if name in classes and name not in prompt_search.__all__
    }
    assert hidden == set()


def test_every_error_is_public() -> None:
    """Users catch errors by the names that the package exports."""
    raised = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert raised <= set(prompt_search.__all__)
