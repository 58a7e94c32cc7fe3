"""Replies that quote a key: in whatever encoding, nothing of it goes on, and nothing else changes."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.errors import InputError
from prompt_search.llm.messages import Message, Request
from prompt_search.llm.model import Model, address_of
from prompt_search.llm.replies.without_secrets import answer_without_secrets, error_without_secrets, in_utf8
from prompt_search.llm.response_parsing import ResponseParser
from prompt_search.llm.transport import HttpReply
from prompt_search.testing import completion

SECRETS = ("sk-MARKED-0123456789", "MARKED/+=&%<>\"\\'{}7", "MARKED-schlüssel-\u6f22", "q~Z")
MODEL = Model("tiny", base_url="http://models.invalid/v1")


def said(text: object, *, ensure_ascii: bool = True) -> bytes:
    body = completion("")
    body["choices"][0]["message"]["content"] = text
    return json.dumps(body, ensure_ascii=ensure_ascii).encode()


def streamed(secret: str) -> bytes:
    events = [{"choices": [{"delta": {"content": part}}]} for part in (secret[:2], secret[2:])]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in [*events, {"done": True}]).encode()


def escaped(secret: str) -> bytes:
    return said("HERE").replace(b"HERE", "".join(f"\\u{ord(each):04x}" for each in secret).encode())


WAYS: dict[str, Callable[[str], bytes]] = {
    "plain": lambda secret: said(f"You sent {secret}."),
    "as it is": lambda secret: said(secret, ensure_ascii=False),
    "escaped": escaped,
    "slashes": lambda secret: said(secret).replace(b"/", b"\\/"),
    "UTF-16": lambda secret: said(secret, ensure_ascii=False).decode().encode("utf-16"),
    "parts": lambda secret: said([{"type": "text", "text": part} for part in (secret[:2], secret[2:])]),
    "part in parts": lambda secret: said({"parts": [{"text": secret[:2]}, {"text": secret[2:]}]}),
    "stream": streamed,
    "URL": lambda secret: said(f"{quote(secret)} {quote(secret, safe='')} {quote_plus(secret)}"),
    "upper case": lambda secret: said(secret.upper()),
    "HTML": lambda secret: said(html.escape(secret)),
    "Python": lambda secret: said(f"{secret!r} {secret!a} {secret.encode()!r}"),
    "Latin-1": lambda secret: said(secret.encode().decode("latin-1")),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("way", WAYS)
def test_no_key_is_in_an_answer(way: str, secret: str) -> None:
    """A key that an answer quotes is not in what the answer says."""
    content = answer_without_secrets(in_utf8(WAYS[way](secret)), [secret])
    request = Request(endpoint=MODEL.endpoint, model="tiny", messages=(Message("user", "hi"),))
    response = ResponseParser(MODEL, MODEL.endpoint, 60.0).parse(HttpReply(status=200, content=content), request)
    assert "[key]" in response.text
    assert not {"marked", "q~z"} & set(response.text.lower().replace("-", " ").replace("/", " ").split())


@pytest.mark.parametrize("before", ["", "a", "ab", "someone:"])
def test_no_key_is_in_an_answer_in_base64(before: str) -> None:
    """A key is found in the base64 of any text that holds it, such as that of user and password."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        coded = encode(f"{before}{SECRETS[0]}".encode()).decode()
        left = json.loads(answer_without_secrets(said(f"Basic {coded}."), SECRETS[:1]))
        text = left["choices"][0]["message"]["content"]
        assert text.startswith(f"Basic {coded[: len(before)]}")
        assert len(text.replace("[key]", "")) <= len("Basic .") + 4 * (len(before) + 2) / 3 + 6


@pytest.mark.parametrize("secret", SECRETS)
def test_no_key_is_in_an_error(secret: str) -> None:
    """Escapes and other encodings hide no key in an error."""
    for content in (escaped(secret), said(secret), WAYS["UTF-16"](secret), f"no {quote(secret)}".encode()):
        shown = error_without_secrets(in_utf8(content), [secret]).decode()
        assert "[key]" in shown
        assert "MARKED" not in shown


@given(st.text(), st.booleans())
def test_an_answer_without_a_key_is_left_alone(text: str, ensure_ascii: bool) -> None:
    """Not a byte of an answer changes that quotes no key; words that a key without digits is made of are no key."""
    content = json.dumps(completion(f"{text} test positive"), ensure_ascii=ensure_ascii).encode(
        "utf-8", "surrogatepass"
    )
    assert answer_without_secrets(content, ["sk-MARKED-0123456789", "positive"]) == content


@pytest.mark.parametrize(("name", "settings"), [("OPENAI_API_KEY", {}), ("OTHER", {"headers": {"X-Key": "${OTHER}"}})])
def test_key_of_two_lines_is_refused(
    name: str, settings: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line break in a key or in a header's variable is one error that quotes nothing of it."""
    monkeypatch.setenv(name, "MARKED\nMARKED")
    with pytest.raises(InputError, match=rf"{name}.* holds a line break or another control character") as caught:
        address_of(Model("tiny", base_url="http://models.invalid/v1", headers=settings.get("headers")))
    assert "MARKED" not in str(caught.value)
