"""The settings of growth: which model proposes options, with which operators, and for which share of the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prompt_search._first_tries import named, told_class
from prompt_search.answers.base import check_max_tokens
from prompt_search.errors import InputError
from prompt_search.llm.messages import ANSWER_LIMITS
from prompt_search.llm.model import Model
from prompt_search.prompts.growing.operators import SHIPPED_NEEDS, Operator
from prompt_search.prompts.requests.own_parameters import own_parameters

OPERATORS: Final = tuple(SHIPPED_NEEDS)
"""The names of the package's operators."""

SHARE: Final = 0.15
"""Share of the budget that proposals may use where nothing else is said."""

MOST_SHARE: Final = 0.5
"""Largest share: what is proposed has to be tried, too."""

MAX_TOKENS: Final = 600
"""Number of tokens that a reply may have where nothing else is said."""

_SET_ELSEWHERE: Final = {
    "messages": "the operators write them",
    "model": "give the model as the first argument",
    "n": "one reply has several texts",
    "stream": "replies are read as a whole",
    **dict.fromkeys(ANSWER_LIMITS, "write max_tokens= of the proposer"),
}


@told_class(
    "ps.Proposer('MODEL', operators=[...], share=0.15, max_tokens=600)",
    temperature="write request={'temperature': ...}",
    top_p="write request={'top_p': ...}",
    budget="write share=, a part of the study's budget",
)
@dataclass(frozen=True, init=False)
class Proposer:
    """A model that proposes new options of the choices that may grow.

    Args:
        model: the model, or its name as `Model.parse` takes it.
        operators: operators, names of the package's operators, or paths of ``.j2`` files.
        share: the share of the study's budget that proposals may use, above 0 and at most 0.5.
        max_tokens: the number of tokens that a reply may have.
        request: other request parameters, such as ``{"temperature": 1.0}``.

    Raises:
        InputError: an argument breaks one of these rules.
        TemplateError: an operator's file cannot be read or is broken.

    >>> proposer = Proposer("gpt-4.1", operators=["reflect", "vary"])
    >>> [operator.name for operator in proposer.operators], proposer.share
    (['reflect', 'vary'], 0.15)
    """

    model: Model
    operators: tuple[Operator, ...]
    share: float
    max_tokens: int
    request: Mapping[str, Any] = field(hash=False)

    def __init__(
        self,
        model: Model | str,
        operators: Sequence[str | Operator] = OPERATORS,
        share: float = SHARE,
        max_tokens: int = MAX_TOKENS,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        check_max_tokens(max_tokens)
        values = {
            "model": _model(model),
            "operators": _operators(operators),
            "share": _share(share),
            "max_tokens": max_tokens,
            "request": own_parameters(request, "a proposer", _SET_ELSEWHERE),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def parse(cls, value: Proposer | Model | str | None) -> Proposer | None:
        """A proposer as ``Study(proposer=...)`` takes it: itself, a model, a model's name, or None for no growth.

        Raises:
            InputError: the value is none of these.
        """
        if value is None or isinstance(value, Proposer):
            return value
        return cls(value)

    def identity(self) -> dict[str, Any]:
        """What makes a study with another proposer another study, as JSON: the model, and all settings.

        Raises:
            InputError: the model's address is not known.
        """
        return {
            "model": self.model.name,
            "endpoint": self.model.endpoint,
            "operators": {operator.name: operator.digest for operator in self.operators},
            "share": self.share,
            "max_tokens": self.max_tokens,
            "request": dict(self.request),
        }


def named_model(name: str) -> Model:
    """The model of a name, as `Model.parse` takes it.

    Raises:
        InputError: it is an address or a few words: a proposer that no server knows would be asked in vain.
    """
    if "://" in name:
        raise InputError(
            f"a proposer is a model, got the address {name!r}; write ps.Proposer(ps.Model('NAME', base_url={name!r}))"
        )
    if len(name.split()) > 1 and not name.startswith("local:"):
        raise InputError(
            f"a model's name has no spaces, got {name!r}; write it as its server does, such as gpt-4.1 (ps.Model takes "
            "any name)"
        )
    return Model.parse(name)


def _model(model: object) -> Model:
    if isinstance(model, str):
        return named_model(model)
    if not isinstance(model, Model):
        raise InputError(
            f"proposer= takes a model, its name, a ps.Proposer or None, not {named(model)}; write "
            "ps.Proposer('gpt-4.1')"
        )
    return model


def _operators(given: object) -> tuple[Operator, ...]:
    if isinstance(given, (str, Operator)) or not isinstance(given, Sequence):
        raise InputError(f"operators= takes a list of operators, not {named(given)}; write operators=['reflect']")
    if not given:
        raise InputError(f"operators= takes at least one operator, got none; give some of {', '.join(OPERATORS)}")
    found = tuple(map(_operator, given))
    names = [operator.name for operator in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"operators= has two operators {name!r}; remove one, or give it another name")
    return found


def _operator(given: object) -> Operator:
    if isinstance(given, Operator):
        return given
    if not isinstance(given, str):
        raise InputError(
            f"an operator is a name or a ps.Operator, not {named(given)}; write 'reflect', or "
            "ps.Operator.read('FILE.j2')"
        )
    if given in OPERATORS or given.endswith(".j2"):
        return Operator.read(given)
    raise InputError(
        f"there is no operator {given[:60]!r}, only {', '.join(OPERATORS)}; give one of them, or a file: "
        "ps.Operator.read('FILE.j2')"
    )


def _share(share: object) -> float:
    if isinstance(share, bool) or not isinstance(share, (int, float)):
        raise InputError(f"share= takes a number, not {named(share)}; give a share of the budget such as {SHARE}")
    if math.isnan(share) or not 0 < share <= MOST_SHARE:
        raise InputError(
            f"share= must be above 0 and at most {MOST_SHARE}, got {share}; give a share of the budget such as {SHARE}"
        )
    return float(share)
