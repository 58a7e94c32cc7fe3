"""Request parameters of those who are asked besides the model of a study: a proposer, a judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prompt_search._first_tries import named
from prompt_search._names import check_name
from prompt_search.errors import InputError


def own_parameters(request: object, whose: str, elsewhere: Mapping[str, str]) -> dict[str, Any]:
    """Request parameters as values of their own, which nobody else can change.

    Args:
        request: the parameters by name; None for none.
        whose: whose they are, such as ``a proposer``.
        elsewhere: parameters that are given in another way, each with the cure.

    Raises:
        InputError: they are no JSON values by name, or belong elsewhere.
    """
    if request is None:
        return {}
    if not isinstance(request, Mapping):
        raise InputError(f"request= takes a dict of values by name, not {named(request)}; write {{'NAME': value}}")
    for name, value in request.items():
        if not isinstance(name, str):
            raise InputError(f"the name of a request parameter must be a text, not {name!r}; write it in quotes")
        check_name(name, "a request parameter")
        if name in elsewhere:
            raise InputError(f"request[{name!r}] of {whose} cannot be given here; {elsewhere[name]}")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"request[{name!r}] must be JSON: {error}; got {named(value)}") from None
    copied: dict[str, Any] = json.loads(json.dumps(dict(request)))
    return copied
