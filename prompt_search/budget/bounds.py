"""Upper bounds of what one attempt can use, which are reserved before it is sent."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Final

from prompt_search.budget.limits import Budget, unbounded, unpriced
from prompt_search.budget.spending import CostOf, Spending
from prompt_search.errors import InputError
from prompt_search.llm.messages import ANSWER_LIMITS, Request, Usage

PER_MESSAGE: Final = 8
PER_REQUEST: Final = 64
"""Numbers of tokens that a server may add to each message and to each request: roles, separators, its own preamble."""

SURPRISE: Final = 3.0
"""After one answer above the bound, the next may exceed it by so many times more; after a hundred, by a tenth of
that."""


def most_used(request: Request) -> Usage | None:
    """The most tokens that a request can use; None where the request does not bound its answer.

    No token of a byte-level tokenizer is shorter than a byte of UTF-8, so the number of bytes of the messages bounds
    the number of their tokens. `PER_MESSAGE` and `PER_REQUEST` allow for what servers add.

    >>> from prompt_search.llm.messages import Message
    >>> fields = {"endpoint": "e", "model": "m", "messages": (Message("user", "hi"),)}
    >>> most_used(Request(**fields, parameters={"max_tokens": 16})).completion_tokens
    16
    >>> most_used(Request(**fields)) is None
    True
    """
    values = [request.parameters.get(name) for name in ANSWER_LIMITS]
    limits = [value for value in values if isinstance(value, int)]
    if not limits:
        return None
    texts = [message.content for message in request.messages]
    others = [*(message.fields for message in request.messages), *request.parameters.values()]
    texts += [json.dumps(value) for value in others if value and isinstance(value, dict | list)]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    counts = [request.parameters.get(name) for name in ("n", "best_of")]
    return Usage(
        prompt_tokens=size + PER_MESSAGE * len(request.messages) + PER_REQUEST,
        completion_tokens=max(limits) * max((count for count in counts if isinstance(count, int)), default=1),
    )


@dataclass(slots=True)
class _Counting:
    """How a model's server counts: the number of answers that showed it, and the most tokens of prompt and answer that
    it has counted above the bound."""

    answers: int = 0
    prompt: int = 0
    completion: int = 0

    def expected(self, excess: int) -> int:
        """How much more than the bound a further answer may take, where so much was the most.

        Servers that count above the bound count reasoning that no parameter limits. How long it can be is known the
        better, the more answers were seen.
        """
        return math.ceil(excess * (1 + SURPRISE / math.sqrt(self.answers)))

    def raised(self, bound: Usage) -> Usage:
        """A bound that allows for what was counted above such bounds so far."""
        if not self.answers:
            return bound
        return Usage(
            prompt_tokens=(bound.prompt_tokens or 0) + self.expected(self.prompt),
            completion_tokens=(bound.completion_tokens or 0) + self.expected(self.completion),
        )


class AttemptBounds:
    """Bounds of single attempts, as far as a budget needs them.

    Args:
        budget: only its kinds of limits are used: a budget in calls needs no bound of tokens.
        cost_of: prices usage.

    Attributes:
        largest: the most tokens and dollars that any attempt could have used.
    """

    def __init__(self, budget: Budget, cost_of: CostOf) -> None:
        self.largest = Spending()
        self._needed = budget.tokens is not None or budget.usd is not None
        self._budget = budget
        self._cost_of = cost_of
        self._countings: defaultdict[tuple[str, str], _Counting] = defaultdict(_Counting)
        """By endpoint and model."""

    def most(self, request: Request) -> Spending:
        """The most that one attempt of a request can use.

        Raises:
            InputError: the budget needs to know it, and the answer's length or the price is not known.
        """
        if not self._needed:
            return Spending(calls=1)
        return self._most(request, self._usage(request))

    def _most(self, request: Request, usage: Usage) -> Spending:
        """The most that an attempt with this usage can cost, which is remembered where it is the largest."""
        usd = 0.0 if self._budget.usd is None else self._usd(request, usage)
        most = Spending(calls=1, tokens=_sum(usage), usd=usd)
        self.largest = Spending(tokens=max(self.largest.tokens, most.tokens), usd=max(self.largest.usd, most.usd))
        return most

    def most_in_flight(self, request: Request) -> float:
        """The number of attempts of the request's model that may be in flight: as many as answers have shown how its
        server counts. One that counts more than the bound then surprises a few requests, and not all at once."""
        return max(1, self._countings[request.endpoint, request.model].answers) if self._needed else math.inf

    def whole(self, request: Request, usage: Usage) -> Usage:
        """The usage of an answer, with the bound in place of what the server did not count."""
        if not self._needed or is_known(usage):
            return usage
        most = self._usage(request)
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        return replace(
            usage,
            prompt_tokens=most.prompt_tokens if prompt is None else prompt,
            completion_tokens=most.completion_tokens if completion is None else completion,
        )

    def learn(self, request: Request, usage: Usage) -> bool:
        """Take note of an answer, and raise the bounds of a model whose server has counted more than they allow.

        Returns:
            whether they were raised.
        """
        if not self._needed:
            return False
        most = most_used(request)
        if most is None:  # an answer that was stored under another budget
            return False
        counting = self._countings[request.endpoint, request.model]
        self._most(request, counting.raised(most))  # a resumed run has to know the largest request, too
        counting.answers += 1
        before = counting.prompt, counting.completion
        counting.prompt = max(counting.prompt, (usage.prompt_tokens or 0) - (most.prompt_tokens or 0))
        counting.completion = max(counting.completion, (usage.completion_tokens or 0) - (most.completion_tokens or 0))
        return before != (counting.prompt, counting.completion)

    def _usage(self, request: Request) -> Usage:
        usage = most_used(request)
        if usage is None:
            raise InputError(unbounded(self._budget, request.model))
        return self._countings[request.endpoint, request.model].raised(usage)

    def _usd(self, request: Request, usage: Usage) -> float:
        cached = replace(usage, cached_tokens=usage.prompt_tokens)
        usd = max(self._cost_of(request, usage), self._cost_of(request, cached))
        if math.isnan(usd):
            raise InputError(unpriced(self._budget, request.model))
        return usd


def is_known(usage: Usage) -> bool:
    """Whether a server has counted both the prompt and the answer."""
    return usage.prompt_tokens is not None and usage.completion_tokens is not None


def _sum(usage: Usage) -> int:
    return (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
