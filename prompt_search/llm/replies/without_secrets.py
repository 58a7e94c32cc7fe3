"""Replies without the secrets that a server quotes from the request, in whatever encoding it quotes them.

This is done where a reply arrives: with a cluster, the process that reads the reply does not know a worker's secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from prompt_search.llm.redaction import SHORTEST_WORD, quotes_secret, redact, replace_secrets
from prompt_search.llm.replies.bodies import UnreadableBody, mapping, read_body
from prompt_search.llm.replies.completion_reading import NotUnderstood, read_choice

_ESCAPE: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\(?:u00([2-6][0-9a-fA-F]|7[0-9a-eA-E])|(/))")
"""A character of ASCII that JSON has as an escape although it need not."""

_PIECES: Final = re.compile(
    rb"^\s*(?:data|event|id|retry)?:"
    rb"|\}[ \t]*\r?\n\s*\{"
    rb'|"(?:content|text)"\s*:\s*(?:\{|\[\s*(?!\{\s*"(?:token|logprob|bytes)"))'
)
"""What only an answer has whose text may be in several pieces: a stream, or a list of parts."""


def error_without_secrets(content: bytes, secrets: Iterable[str]) -> bytes:
    """The body of an error without the secrets, and without whatever looks like a key."""
    return redact(_plain(content).decode("utf-8", "replace"), secrets).encode()


def answer_without_secrets(content: bytes, secrets: Iterable[str]) -> bytes:
    """The body of an answer without the secrets; the same bytes where it quotes none.

    Nothing else is changed, and no word that a model may have written.
    """
    told = tuple(secret for secret in secrets if not secret.isalpha() or len(secret) >= SHORTEST_WORD)
    if not told:
        return content
    plain = _plain(content)
    if quotes_secret(plain, told):
        text = plain.decode("utf-8", "surrogateescape")
        content = plain = replace_secrets(text, told).encode("utf-8", "surrogateescape")
    return _joined(content, told) if _PIECES.search(plain) else content


def in_utf8(content: bytes) -> bytes:
    """A body in the encoding that all others have."""
    if b"\x00" not in content[:4] and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return content
    return content.decode(json.detect_encoding(content), "replace").encode("utf-8", "replace")


def _plain(content: bytes) -> bytes:
    """The body without escapes that need not be."""
    return _ESCAPE.sub(_character, content) if b"\\u00" in content or b"\\/" in content else content


def _character(found: re.Match[bytes]) -> bytes:
    character = found[3] or bytes([int(found[2], 16)])
    return found[1] + (b"\\" + character if character in b'"\\' else character)


def _joined(content: bytes, secrets: Iterable[str]) -> bytes:
    """An answer in pieces that hold a secret together, with one text in their place."""
    try:
        body = read_body(content)
        choice = body["choices"][0]
        text = read_choice(choice).text
    except (UnreadableBody, NotUnderstood, LookupError, TypeError):
        return content
    if not quotes_secret(text.encode("utf-8", "surrogatepass"), secrets):
        return content
    whole: dict[str, Any] = {**mapping(choice), "message": {"content": replace_secrets(text, secrets)}}
    return json.dumps({**body, "choices": [whole]}).encode()
