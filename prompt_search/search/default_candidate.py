"""The candidate that others are compared with: the first options, as far as the server takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product

from prompt_search.errors import RequestRefused
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.settings import BatchEvaluator

MOST_CHANGED = 2
"""Number of choices at most in which the default differs from the first options."""

MOST_ALTERNATIVES = 500
"""Number of candidates that are looked through for one that the server takes."""

Prepare = Callable[[Candidate], tuple[PreparedPrompt, Sequence[int]]]


@dataclass(frozen=True, kw_only=True)
class RefusedCandidate:
    """A candidate that was to be the default, and that the server refuses.

    Args:
        candidate: the candidate.
        outcome: the outcome of the request that showed it; None where the refused feature was known already.
        reason: what the server refuses.
    """

    candidate: Candidate
    outcome: Outcome | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class DefaultCandidate:
    """The default candidate, and those before it that the server refuses."""

    candidate: Candidate
    refused: Sequence[RefusedCandidate]


async def default_candidate(
    space: SearchSpace, prepare: Prepare, evaluator: BatchEvaluator, split: str
) -> DefaultCandidate:
    """The candidate of all first options; or the most similar one that the server takes.

    Its first row is sent, and its response used again when the row is evaluated. Where the server refuses every
    candidate, requests do without what it refuses, if that leaves the prompt as it is.

    Args:
        space: all candidates.
        prepare: gives a candidate's prompt, and its rows.
        evaluator: sends requests.
        split: what the calls are used for.

    Raises:
        RequestRefused: the server refuses every candidate.
    """
    candidate = space.candidate({})
    refused: dict[Candidate, RefusedCandidate] = {}
    while True:
        prepared, rows = prepare(candidate)
        if not rows:
            return DefaultCandidate(candidate=candidate, refused=list(refused.values()))
        outcome = await evaluator.ask(prepared, rows[0], split)
        refusal = evaluator.refusals()(prepared, rows[0])
        if refusal is None:
            return DefaultCandidate(candidate=candidate, refused=list(refused.values()))
        refused[candidate] = RefusedCandidate(candidate=candidate, outcome=outcome, reason=str(refusal))
        other = _most_similar(space, prepare, evaluator)
        if other is None:
            if not evaluator.evade(prepared, rows[0]):
                raise RequestRefused(f"{refusal}, and every candidate has it; {refusal.cure}")
            refused.clear()
        candidate = space.candidate({}) if other is None else other


def _most_similar(space: SearchSpace, prepare: Prepare, evaluator: BatchEvaluator) -> Candidate | None:
    """The candidate that differs from the first options in the fewest choices, of those that are not refused."""
    refusal = evaluator.refusals()
    for candidate in islice(_alternatives(space), MOST_ALTERNATIVES):
        prepared, rows = prepare(candidate)
        if rows and refusal(prepared, rows[0]) is None:
            return candidate
    return None


def _alternatives(space: SearchSpace) -> Iterator[Candidate]:
    """The candidates that differ from the first options in one choice, then in two, and so on."""
    seen = {space.candidate({})}
    for count in range(1, MOST_CHANGED + 1):
        for factors in combinations(space.factors, count):
            for options in product(*(range(1, factor.proposed) for factor in factors)):
                names = [factor.name for factor in factors]
                candidate = space.candidate(dict(zip(names, options, strict=True)))
                if candidate not in seen:
                    seen.add(candidate)
                    yield candidate
