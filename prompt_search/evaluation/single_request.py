"""Requests that are not those of a prompt with a row, such as one that asks for new wordings."""

from __future__ import annotations

from prompt_search.errors import BudgetExceeded
from prompt_search.evaluation.responder import Answered, RefusedFeature, Responder, Use
from prompt_search.llm.messages import Request


async def respond(responder: Responder, request: Request, use: Use) -> Answered | None:
    """The response to a request, which is paid for once in a study.

    Args:
        responder: gets the response.
        request: the request.
        use: what it is used for.

    Returns:
        the response; None where the budget left no room, or the server is known to refuse such a request.

    Raises:
        RunError: the endpoint cannot be reached or refuses for good.
    """
    request = responder.dialects.applied(request)
    key = request.key  # which takes as long to compute as the request
    try:
        async with responder.batch_of([key]) as batch:
            return await responder.respond(request, key, use, batch)
    except (BudgetExceeded, RefusedFeature):
        return None
