"""Upper bounds of what one attempt can use, which are reserved before it is sent."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Final

from prompt_search.budget.limits import Budget, unbounded, unpriced
from prompt_search.budget.spending import CostOf, Spending
from prompt_search.errors import InputError
from prompt_search.llm.messages import ANSWER_LIMITS, Request, Usage

PER_MESSAGE: Final = 8
PER_REQUEST: Final = 64
"""Numbers of tokens that a server may add to each message and to each request: roles, separators, its own preamble."""


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
    texts += [json.dumps(value) for value in request.parameters.values() if isinstance(value, dict | list)]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    count = request.parameters.get("n")
    return Usage(
        prompt_tokens=size + PER_MESSAGE * len(request.messages) + PER_REQUEST,
        completion_tokens=max(limits) * (count if isinstance(count, int) else 1),
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
        self._budget = budget
        self._cost_of = cost_of
        self._excess: dict[tuple[str, str], tuple[int, int]] = {}
        """Tokens of prompt and answer that a server has counted above the bound, by endpoint and model."""

    def most(self, request: Request) -> Spending:
        """The most that one attempt of a request can use.

        Raises:
            InputError: the budget needs to know it, and the answer's length or the price is not known.
        """
        budget = self._budget
        if budget.tokens is None and budget.usd is None:
            return Spending(calls=1)
        usage = most_used(request)
        if usage is None:
            raise InputError(unbounded(budget, request.model))
        prompt, completion = self._excess.get((request.endpoint, request.model), (0, 0))
        prompt += usage.prompt_tokens or 0
        completion += usage.completion_tokens or 0
        usd = 0.0
        if budget.usd is not None:
            fresh = Usage(prompt_tokens=prompt, completion_tokens=completion)
            usd = max(self._cost_of(request, fresh), self._cost_of(request, replace(fresh, cached_tokens=prompt)))
            if math.isnan(usd):
                raise InputError(unpriced(budget, request.model))
        most = Spending(calls=1, tokens=prompt + completion, usd=usd)
        self.largest = Spending(tokens=max(self.largest.tokens, most.tokens), usd=max(self.largest.usd, most.usd))
        return most

    def learn(self, request: Request, usage: Usage) -> None:
        """Raise the bounds of a model whose server has counted more tokens than the bound allows."""
        if self._budget.tokens is None and self._budget.usd is None:
            return
        most = most_used(request)
        assert most is not None
        model = (request.endpoint, request.model)
        prompt, completion = self._excess.get(model, (0, 0))
        self._excess[model] = (
            max(prompt, (usage.prompt_tokens or 0) - (most.prompt_tokens or 0)),
            max(completion, (usage.completion_tokens or 0) - (most.completion_tokens or 0)),
        )
