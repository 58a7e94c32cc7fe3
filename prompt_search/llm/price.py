"""What tokens cost: the user's own price, or the published one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prompt_search.errors import InputError
from prompt_search.llm.messages import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a model in US dollars per million tokens; ``cached``: of prompt tokens from the server's cache.

    >>> Price(prompt=0.15, completion=0.6).cost(Usage(prompt_tokens=2000, completion_tokens=100))
    0.00036
    """

    prompt: float
    completion: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "completion", "cached"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise InputError(f"a price must be a number of US dollars, 0 or more, got {name}={value}; correct it")

    def cost(self, usage: Usage) -> float:
        """US dollars for ``usage``; NaN when the server did not count the tokens."""
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return math.nan
        cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
        cached_price = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - cached
        return (fresh * self.prompt + cached * cached_price + usage.completion_tokens * self.completion) / 1e6


def published_cost(name: str, endpoint: str, usage: Usage) -> float:
    """US dollars at the published price (package ``genai-prices``); NaN when price or tokens are unknown.

    >>> published_cost("gpt-4o-mini", "https://api.openai.com/v1", Usage(prompt_tokens=1000, completion_tokens=10))
    0.000156
    """
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return math.nan
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=min(usage.cached_tokens or 0, usage.prompt_tokens),
    )
    try:
        return float(genai_prices.calc_price(counted, name, provider_api_url=endpoint).total_price)
    except LookupError:  # neither provider nor model is listed
        return math.nan
