"""A model as people give it."""

from __future__ import annotations

from typing import Any

from prompt_search._first_tries import named
from prompt_search.errors import InputError
from prompt_search.llm.model import Model


def check_model(given: object) -> None:
    """Refuse what is neither a `Model` nor a model's name, such as a function or the address of a server.

    Raises:
        InputError: with the cure.
    """
    if isinstance(given, str) and "://" in given:
        raise InputError(f"model={given!r} is an address, not a model; give ps.Model('NAME', base_url={given!r})")
    if not isinstance(given, (Model, str)):
        raise InputError(f"model= takes a Model, its name or ps.choice([...]) of them, not {_cure(given)}")


def _cure(given: Any) -> str:
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
