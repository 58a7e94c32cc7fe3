"""Template, data, model, budget and the like as a study takes them, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prompt_search._first_tries import named
from prompt_search.budget import Budget
from prompt_search.data.dataset import Dataset
from prompt_search.errors import StudyError
from prompt_search.llm.given_model import check_model
from prompt_search.llm.model import Model
from prompt_search.prompts.factors import Options
from prompt_search.prompts.template import Template, shipped_templates

OF_OTHERS = {
    "budget": "give it to the run: study.run(600)",
    **{name: f"give it to the run: study.run(600, {name}=...)" for name in ("on_finish", "progress", "n_trials")},
    "prompt": "write template=",
    "labels": "write answer=[...]",
    **{name: f"write request={{{name!r}: ...}}" for name in ("temperature", "max_tokens", "top_p")},
}
"""What to write instead of arguments that a study does not have, by their names."""


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


def model_of(given: Model | str | Options) -> Model | str | Options:
    """The model, its name, or a choice of both.

    Raises:
        InputError: it is something else, such as a function or the address of a server.
    """
    for each in given.values if isinstance(given, Options) else (given,):
        check_model(each)
    return given


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


def check_callable(**given: object) -> None:
    """Refuse what is to be called during a run and cannot be, before anything is paid for.

    Raises:
        InputError: one of them is no function.
    """
    for name, value in given.items():
        if value is not None and not callable(value):
            raise StudyError(f"{name}= takes a function, not {named(value)}; give one such as {name}=print")


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
