"""What a race asks a proposer for, and what the proposer gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.space import SearchSpace
from prompt_search.storage.records import ProposalRecord


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request for new options of a choice.

    Attributes:
        choice: the name of the choice.
        operator: the name of the operator that makes the request.
        parents: positions of the options that it starts from, best first; none where it starts from rows alone.
        trial: number of the trial whose prompt, and whose answers to the rows, it shows.
        rows: the rows that it shows; where these are rows with wrong answers, the trial's own come first, and then
            those that requests before it showed for the option.
        aside: the rows that no candidate with an option that comes of it is scored on: those that it shows, and all
            others of their blocks, because which of a block's rows are shown depends on how they were answered.
        count: the number of texts that it asks for.
    """

    choice: str
    operator: str
    parents: list[int] = field(default_factory=list)
    trial: int = 0
    rows: list[int] = field(default_factory=list)
    aside: list[int] = field(default_factory=list)
    count: int = 2


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The texts that one request gave.

    Attributes:
        ask: what was asked for.
        texts: each text, and the reason why it is no option; empty where it is one.
        key: the key of the request; empty where none was sent.
    """

    ask: Ask
    texts: Sequence[tuple[str, str]]
    key: str


@dataclass(frozen=True, kw_only=True)
class ShownTrial:
    """The trial that a request shows: its choices, its prompt, its outcomes so far, and those of earlier trials on the
    rows that were shown when its option was proposed."""

    candidate: Candidate
    prepared: PreparedPrompt
    outcomes: Sequence[Outcome]
    earlier: Sequence[Outcome] = ()


@dataclass(frozen=True, kw_only=True)
class GrownSpace:
    """A space with the options that were accepted: its candidates, and the prompt of each with the rows that it may be
    scored on."""

    space: SearchSpace
    prepare: Callable[[Candidate], tuple[PreparedPrompt, Sequence[int]]]


ProposeTexts = Callable[[SearchSpace, Sequence[tuple[Ask, ShownTrial]]], Awaitable[list[Reply]]]
"""Sends requests for options of a space, and gives the replies in their order."""


@dataclass(frozen=True, kw_only=True)
class GrowthSettings:
    """How the choices of a race grow.

    Attributes:
        operators: what each operator needs, by name: ``rows``, ``failures``, ``parents`` or ``parent``.
        share: the highest share of the search's calls that go to the proposer.
        propose: sends the requests.
        grow: gives the space with all options that were accepted.
        described: rows for operators that show labelled rows without answers.
        earlier: what an earlier search of the study proposed.
    """

    operators: Mapping[str, str]
    share: float
    propose: ProposeTexts
    grow: Callable[[Sequence[ProposalRecord]], GrownSpace]
    described: Sequence[int]
    earlier: Sequence[ProposalRecord] = ()
