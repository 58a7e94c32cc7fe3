"""Template, data, model, budget and the like as a study takes them, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from prompt_search.budget import Budget
from prompt_search.data.dataset import Dataset
from prompt_search.data.readers import AnyTable
from prompt_search.errors import StudyError
from prompt_search.llm.model import Model
from prompt_search.prompts.factors import Options
from prompt_search.prompts.template import Template, shipped_templates
from prompt_search.study.arguments.names import named

AnyData: TypeAlias = "Dataset | AnyTable | str | Path"
"""Rows: a `Dataset`; or what one is made of, which needs the target's name as well."""


def template_of(given: Template | str | Path) -> Template:
    """The template: a `Template`; a path; or a text, which is the name of a file or of a shipped template where there
    is one, and a template's text otherwise.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(given, Template):
        return given
    if isinstance(given, Path):
        return Template.read(given)
    if not isinstance(given, str):
        raise StudyError(
            f"template= takes a Template, a template's text or a file's path, not {named(given)}; give one of them"
        )
    shipped = [Path(entry.name).stem for entry in shipped_templates()]
    if given in shipped or ("\n" not in given and "{" not in given):
        return Template.read(given)
    return Template(given)


def data_of(given: AnyData, target: str | None) -> Dataset:
    """The data set: a `Dataset`; or a table or the path of a file, with the name of the target.

    Raises:
        InputError: it is none of these, or the target is missing, or another one than that of the `Dataset`.
    """
    if isinstance(given, Dataset):
        if target is not None and target != given.target:
            raise StudyError(
                f"target={target!r} is not the target of the Dataset, which is {given.target!r}; leave target= out, or "
                "make another Dataset"
            )
        return given
    if target is None:
        what = "a file" if isinstance(given, (str, Path)) else "a table"
        raise StudyError(
            f"data= is {what}, so that the column with the correct answers has to be named; give target='COLUMN'"
        )
    return Dataset.read(given, target=target) if isinstance(given, (str, Path)) else Dataset(given, target=target)


def model_of(given: Model | str | Options) -> Model | str | Options:
    """The model, its name, or a choice of both.

    Raises:
        InputError: it is something else, such as a function or the address of a server.
    """
    for each in given.values if isinstance(given, Options) else (given,):
        if isinstance(each, str) and "://" in each:
            raise StudyError(f"model={each!r} is an address, not a model; give ps.Model('NAME', base_url={each!r})")
        if not isinstance(each, (Model, str)):
            raise StudyError(f"model= takes a Model, its name or ps.choice([...]) of them, not {_model_cure(each)}")
    return given


def _model_cure(given: Any) -> str:
    """What was given as a model, and what to do."""
    if isinstance(given, type):
        return f"the class {given.__name__}; give an instance such as ps.Model('gpt-4o-mini') or ps.Model.local()"
    if isinstance(given, (list, tuple)):
        return "a list; give ps.choice([...])"
    if hasattr(given, "chat") or hasattr(given, "base_url"):
        return (
            f"the client {type(given).__name__}; give the model's name, and with ps.Model(NAME, base_url=URL) where it "
            "is served"
        )
    if callable(given):
        return (
            "a function; give the URL of a server that calls it, ps.Model(NAME, base_url=URL), or in tests "
            "executor=InProcessExecutor(function) with model=executor.model(), from prompt_search.testing"
        )
    return f"{named(given)}; give one such as ps.Model('gpt-4o-mini') or ps.Model.local()"


def budget_of(given: Budget | int | None, call: str) -> Budget:
    """A budget; a number counts calls.

    Args:
        given: the budget.
        call: the method that needs it, for the error.

    Raises:
        InputError: there is none, or it is none.
    """
    if isinstance(given, Budget):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return Budget(calls=given)
    what = "none was given" if given is None else f"not {named(given)}"
    raise StudyError(f"{call} needs a budget, {what}; give a number of calls, study.{call}(600), or ps.Budget(usd=2.0)")


def check_others(
    test: int | float | Sequence[int], seed: int, context: Mapping[str, Any] | None, request: Mapping[str, Any] | None
) -> None:
    """Refuse what is often given for these arguments and is something else.

    Raises:
        InputError: one of them has another type.
    """
    if isinstance(test, (Dataset, str)) or hasattr(test, "to_pandas") or hasattr(test, "columns"):
        raise StudyError(
            f"test= takes a number, a share or a list of row numbers, not {named(test)}; for test rows of your own "
            "put all rows into one table, with a column that holds search or test: Dataset(..., split=COLUMN)"
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise StudyError(f"seed= takes a whole number, not {named(seed)}; give one such as 0")
    for name, value in (("context", context), ("request", request)):
        if value is not None and not isinstance(value, Mapping):
            raise StudyError(f"{name}= takes a dict of values by name, not {named(value)}; write {{'NAME': value}}")
