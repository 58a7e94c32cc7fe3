"""JSON by ``response_format``: the request parameter, and the value in a response."""

from __future__ import annotations

import json
import re
from typing import Any

from prompt_search.answers.base import Unparsed, final_text, quoted
from prompt_search.llm.messages import Response


def response_format(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """The request parameter ``response_format`` for a JSON schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": schema}}


def json_value(response: Response, max_tokens: int | None) -> Any:
    """The JSON value in a response, or ``Unparsed``. A fenced code block around the value is tolerated."""
    text = final_text(response)
    if isinstance(text, Unparsed):
        return text
    fenced = _FENCE.search(text)
    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return cut_off(max_tokens) if response.finish_reason == "length" else Unparsed(f"not JSON: {quoted(text)}")


def cut_off(max_tokens: int | None) -> Unparsed:
    """The outcome for a value that ended at the limit of the response's length."""
    return Unparsed(f"the JSON was cut off at {max_tokens} tokens; raise max_tokens")


_FENCE = re.compile(r"```[\w-]*\s*\n(.*?)```", re.DOTALL)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
