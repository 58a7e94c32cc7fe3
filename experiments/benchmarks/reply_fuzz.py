"""Random replies of all shapes through the parser: a typed outcome each, and never a retry of what is well formed.

Replies are made of the shapes that servers are known to send (answers, streams, errors inside of errors, pages), then
changed at random: values of other types, fields left out, wrapped or doubled, texts cut off, bytes replaced.

    python experiments/benchmarks/reply_fuzz.py [--replies 100000] [--seed 0]

Prints how often each outcome came; the exit code is 1 where an exception came that is not an outcome, or where a body
that is whole JSON was asked for again although the server named no failure.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from prompt_search.errors import RequestRefused
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.llm.model import Model
from prompt_search.llm.price import Price
from prompt_search.llm.response_parsing import AttemptError, ResponseParser
from prompt_search.llm.transport import HttpReply
from prompt_search.testing import completion

MODEL: Final = Model("fuzzed", base_url="http://fuzz.invalid/v1", price=Price(prompt=1.0, completion=2.0))
REQUEST: Final = Request(endpoint=MODEL.endpoint, model=MODEL.name, messages=(Message("user", "hi"),))

STATUSES: Final = (*[200] * 20, 201, 204, 400, 400, 401, 403, 404, 408, 413, 422, 429, 429, 500, 500, 502, 503)
WORDS: Final = (
    "positive", "", "no", "the model is overloaded", "maximum context length is 4096 tokens", "prompt is too long",
    "content management policy", "Please try again in 1.242s.", "You exceeded your current quota", "Bad Request",
    "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': \"it's bad\", 'code': None}}",
    "Jinja Exception: roles must alternate", "Internal Server Error", "é😀\ud800", "\x00", "{", "}" * 9,
    "[{'loc': ('a',)}]", "<html><title>x</title>", "data: {}", "1e999", "Wed, 21 Oct 2026 07:28:00 GMT",
)  # fmt: skip
CODES: Final[tuple[Any, ...]] = (
    "429", 429, 500, 400, "rate_limit_exceeded", "context_length_exceeded", "content_filter", "insufficient_quota",
    "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", None, 40303, -1, True, [], {},
)  # fmt: skip
ENDS: Final[tuple[Any, ...]] = (
    "stop", "length", "MAX_TOKENS", "SAFETY", "content_filter", "error", "eos", "end_turn", "", None, 2, [],
    "tool_calls",
)  # fmt: skip
HEADERS: Final = (
    "retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-remaining-requests",
    "x-ratelimit-reset", "anthropic-ratelimit-tokens-reset", "ratelimit-reset",
)  # fmt: skip
TIMES: Final = (
    "1", "0", "-1", "nan", "inf", "1e400", "6m0s", "20ms", "soon", "", "1741305600000", "1741305600", "é",
    "2026-11-29T05:00:00Z", "9999-12-31T23:59:59+00:00", "Wed, 21 Oct 2015 07:28:00 GMT", "Mon, 99 Foo 99999 1:1:1",
)  # fmt: skip


class Replies:
    """Random replies, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def reply(self) -> HttpReply:
        generator = self._random
        status = generator.choice(STATUSES)
        made = self._mutated(generator.choice(self._shapes())(), 0.05 if generator.random() < 0.5 else 0.0)
        content = self._encoded(made)
        if generator.random() < 0.15:
            content = content[: generator.randrange(len(content) + 1)]
        if generator.random() < 0.05:
            place = generator.randrange(len(content) + 1)
            content = content[:place] + generator.randbytes(2) + content[place:]
        headers = {generator.choice(HEADERS): generator.choice(TIMES) for _ in range(generator.randrange(3))}
        return HttpReply(status=status, content=content, headers=headers, latency_s=0.1)

    def _shapes(self) -> tuple[Callable[[], Any], ...]:
        errors = (self._error, self._error, self._wrapped_error, self._flat_error)
        return (*[self._answer] * 4, self._older, *errors, self._stream, self._page, self._anything, self._deep)

    def _word(self) -> str:
        return self._random.choice(WORDS)

    def _count(self) -> Any:
        generator = self._random
        return generator.choice(
            [generator.randrange(2000), float(generator.randrange(99)), "12", None, -3, 10**400, "x"]
        )

    def _content(self) -> Any:
        kinds = ("text", "output_text", "thinking", "reasoning", "refusal", "image_url")
        part = {"type": self._random.choice(kinds), "text": self._word()}
        return self._random.choice(
            [self._word(), None, [part, part], part, {"label": "a"}, [self._word()], 5, [part, 5]]
        )

    def _usage(self) -> Any:
        names = (
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "input_tokens",
            "output_tokens",
            "reasoning_tokens",
        )
        counts: dict[str, Any] = {name: self._count() for name in names if self._random.random() < 0.6}
        return {**counts, "completion_tokens_details": {"reasoning_tokens": self._count()}}

    def _answer(self) -> dict[str, Any]:
        body = completion(self._word(), logprobs={"a": -0.1, "b": -2.0} if self._random.random() < 0.3 else None)
        choice = body["choices"][0]
        choice["message"] = {"role": "assistant", "content": self._content(), "reasoning_content": self._word()}
        choice["finish_reason"] = self._random.choice(ENDS)
        if self._random.random() < 0.1:
            choice["error"] = self._error()["error"]
        return {**body, "usage": self._usage()}

    def _older(self) -> dict[str, Any]:
        logprobs = {"tokens": ["a", 1], "token_logprobs": [-0.1, None], "top_logprobs": [{"a": -0.1}, None]}
        choice = {"text": self._word(), "logprobs": logprobs, "finish_reason": self._random.choice(ENDS)}
        return {"choices": [choice][: self._random.randrange(2)], "usage": self._usage()}

    def _error(self) -> dict[str, Any]:
        details = [{"retryDelay": "18s", "reason": self._word(), "violations": [{"quotaId": "PerDay"}]}]
        error: dict[str, Any] = {
            "message": self._word(), "code": self._random.choice(CODES), "type": self._word(), "param": self._word(),
            "status": self._random.choice(CODES), "details": details, "innererror": {"code": self._word()},
        }  # fmt: skip
        return {"error": {name: value for name, value in error.items() if self._random.random() < 0.7}}

    def _wrapped_error(self) -> Any:
        inner = json.dumps(self._error())
        return self._random.choice(
            [
                [self._error()],
                {"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": inner}}},
                {"error": {"message": f"upstream said {inner}"}},
                {"error": {"message": f"OpenAIException - {self._error()!r}"}},
                {"message": self._error()},
                inner,
            ]
        )

    def _flat_error(self) -> Any:
        located = [{"loc": ["body", "top_logprobs", 0], "msg": self._word(), "type": "extra_forbidden"}]
        return self._random.choice(
            [
                {"detail": self._word()}, {"detail": located}, {"object": "error", "message": {"detail": located}},
                {"message": self._word(), "code": self._random.choice(CODES)}, {"errors": [{"message": self._word()}]},
                {"error": self._word()}, {"error": [self._word()]}, {"error_message": self._word()},
                {"statusCode": 429, "message": [self._word()], "error": "Bad Request"}, {"success": False},
                {"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": True}}}]},
                {"promptFeedback": {"blockReason": "SAFETY"}},
            ]
        )  # fmt: skip

    def _stream(self) -> str:
        events: list[Any] = [
            {"choices": [{"delta": {"content": self._content()}, "finish_reason": self._random.choice(ENDS)}]}
            for _ in range(self._random.randrange(4))
        ]
        events += [self._error()] if self._random.random() < 0.2 else []
        lines = [f"data: {json.dumps(self._mutated(event, 0.03))}" for event in events]
        return "\n\n".join([*lines, "data: [DONE]"][: len(lines) + self._random.randrange(2)])

    def _page(self) -> str:
        return self._random.choice(
            ["<!doctype html><title>Log in</title>", "upstream is busy", "", "\ufeff{}", self._word()]
        )

    def _deep(self) -> Any:
        value: Any = self._random.choice([self._answer(), self._error()])
        for _ in range(self._random.choice([10, 100, 900])):
            value = [value] if self._random.random() < 0.5 else {"error": value}
        return value

    def _anything(self, depth: int = 4) -> Any:
        generator = self._random
        kind = generator.randrange(9 if depth else 6)
        if kind < 6:
            return (None, True, self._word(), generator.randrange(600), generator.random(), 10**400)[kind]
        if kind == 6:
            return [self._anything(depth - 1) for _ in range(generator.randrange(4))]
        names = ("choices", "message", "error", "content", "usage", "detail", "code", "text", "status", "x")
        return {generator.choice(names): self._anything(depth - 1) for _ in range(generator.randrange(5))}

    def _mutated(self, value: Any, share: float, depth: int = 12) -> Any:
        """The value with some parts of it replaced, left out or wrapped."""
        if share and self._random.random() < share:
            return self._random.choice([self._anything(1), [value], {"error": value}, {}, [], None, str(value)[:99]])
        if not share or not depth:
            return value
        if isinstance(value, dict):
            kept = {name: each for name, each in value.items() if self._random.random() > share}
            return {name: self._mutated(each, share, depth - 1) for name, each in kept.items()}
        return [self._mutated(each, share, depth - 1) for each in value] if isinstance(value, list) else value

    def _encoded(self, value: Any) -> bytes:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=self._random.random() < 0.5)
        encoding = self._random.choice(["utf-8"] * 12 + ["utf-8-sig", "utf-16", "latin-1"])
        return text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")


def outcome(parser: ResponseParser, reply: HttpReply) -> str:
    """The kind of outcome of a reply.

    Raises:
        AssertionError: it is a retry of what is whole JSON and no failure, or a response that cannot be stored.
    """
    try:
        response = parser.parse(reply, REQUEST)
    except AttemptError as error:
        return _again(error, reply)
    except RequestRefused as refused:
        return f"the run ends: {str(refused).rpartition('; ')[2].split(' in ')[0].split(',')[0]}"
    assert "\n" not in (response.error or ""), "an error of several lines"
    assert repr(Response.from_json(response.to_json())) == repr(response), "it cannot be stored"
    usage = response.usage
    assert (usage.reasoning_tokens or 0) <= (usage.completion_tokens or 2**53), "more reasoning than answer"
    assert (usage.cached_tokens or 0) <= (usage.prompt_tokens or 2**53), "more in the cache than asked"
    return f"error: {response.error.partition(':')[0]}" if response.error else "an answer"


def _again(error: AttemptError, reply: HttpReply) -> str:
    assert error.kind != "malformed" or not _is_json(reply.content), "whole JSON is asked for again"
    assert error.retry_after_s is None or error.retry_after_s >= 0, f"to wait for {error.retry_after_s} s"
    return f"again: {error.kind}"


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    replies, outcomes = Replies(arguments.seed), Counter[str]()
    reader = ResponseParser(MODEL, MODEL.endpoint, 60.0)
    faults = 0
    spent_s = 0.0
    for _ in range(arguments.replies):
        reply = replies.reply()
        started = time.perf_counter()
        try:
            outcomes[outcome(reader, reply)] += 1
        except Exception as error:
            faults += 1
            if faults <= 5:
                print(f"{error!r} for {reply.status} {reply.content[:300]!r}", file=sys.stderr)
                traceback.print_exc()
        spent_s += time.perf_counter() - started
    print("| outcome | replies |")
    print("|---|---|")
    for name, count in sorted(outcomes.items()):
        print(f"| {name} | {count:,} |")
    microseconds = 1e6 * spent_s / arguments.replies
    print(f"\n{arguments.replies:,} replies, {faults} without a typed outcome; {microseconds:.0f} µs each")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
