"""The lines of the files of a batch: requests on their way out, replies on their way back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prompt_search.llm.messages import Request
from prompt_search.llm.redaction import redacted_line
from prompt_search.llm.replies.bodies import mapping
from prompt_search.llm.replies.without_secrets import answer_without_secrets, error_without_secrets
from prompt_search.llm.transport import HttpReply

CHAT_PATH: Final = "/v1/chat/completions"
"""The endpoint of every request in a batch, as the API names it."""

MOST_ROWS: Final = 50_000
MOST_BYTES: Final = 100_000_000
"""The largest input file: OpenAI takes 50,000 requests and 200 MB, other servers take half of that."""

NOT_BEGUN: Final = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})
"""Codes of the requests that a batch ended without having begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a batch says of one request.

    Attributes:
        reply: the reply to it, as if it had been sent alone; None where there is none.
        failed_with: why the server gave none although it began with the request; "" where it did not begin.
    """

    reply: HttpReply | None = None
    failed_with: str = ""


MISSING: Final = Row()
"""What a batch says of a request of which it says nothing."""


def input_line(key: str, request: Request) -> bytes:
    """A request as a line of an input file; its key is the ``custom_id``."""
    line = {"custom_id": key, "method": "POST", "url": CHAT_PATH, "body": request.body}
    return json.dumps(line).encode() + b"\n"


def input_files(lines: Sequence[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    """Lines by key, in parts that one input file holds each.

    >>> [list(part) for part in input_files([("a", b"x" * 60_000_000), ("b", b"x" * 60_000_000), ("c", b"x")])]
    [['a'], ['b', 'c']]
    """
    part: dict[str, bytes] = {}
    size = 0
    for key, line in lines:
        if part and (len(part) >= MOST_ROWS or size + len(line) > MOST_BYTES):
            yield part
            part, size = {}, 0
        part[key] = line
        size += len(line)
    if part:
        yield part


def read_rows(files: Iterable[bytes], secrets: Sequence[str]) -> dict[str, Row]:
    """What the output file and the error file of a batch say, by the key of the request; a line that cannot be read
    says nothing.

    >>> content = b'{"custom_id": "a", "response": {"status_code": 500, "body": {"error": {"message": "no"}}}}'
    >>> read_rows([content], [])["a"].reply.status
    500
    >>> read_rows([b'{"custom_id": "a", "response": null, "error": {"code": "batch_expired"}}'], [])["a"] == MISSING
    True
    """
    rows: dict[str, Row] = {}
    for line in (line for content in files for line in content.splitlines() if line.strip()):
        try:
            fields = mapping(json.loads(line))
        except (ValueError, RecursionError):
            continue
        key = fields.get("custom_id")
        if isinstance(key, str):
            rows[key] = _row(fields, secrets)
    return rows


def _row(fields: Mapping[str, Any], secrets: Sequence[str]) -> Row:
    response, error = mapping(fields.get("response")), mapping(fields.get("error"))
    if response:
        status = response.get("status_code")
        content = json.dumps(response.get("body")).encode()
        is_answer = status == 200 and b'"choices"' in content
        content = (answer_without_secrets if is_answer else error_without_secrets)(content, secrets)
        return Row(reply=HttpReply(status=status if isinstance(status, int) else 0, content=content))
    if not error or error.get("code") in NOT_BEGUN:
        return MISSING
    return Row(failed_with=redacted_line(str(error.get("message") or error.get("code") or "no explanation"), secrets))
