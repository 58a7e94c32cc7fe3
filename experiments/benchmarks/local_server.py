"""How fast the embedded model answers, by server setting, on this machine.

    python experiments/benchmarks/local_server.py [--data FILE.csv] [--setting slots=1,busy=1 ...]

For each setting, through the package's own server and client:

- ceiling: the server's own prompt rate on one uncached prompt of 2,000 tokens, in tokens/s;
- zero-shot label scoring (one token with its log-probabilities): requests/s, and the prompt tokens/s that are
  not shared by all prompts, also as a share of the ceiling;
- the same with 8 shots before each row: requests/s, and the prompt tokens sent and really processed;
- generation of 32 tokens: requests/s.

A setting is a list of arguments of ``prompt_search.llm.local.serve`` and ``in_flight``, the requests at once;
``busy=N`` runs N processes beside it that spin on a core each.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import multiprocessing
import random
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompt_search.llm import local
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.llm.model import Model

DEFAULT_SETTINGS = ("", "slots=2", "slots=4", "busy=1")
INSTRUCTION = "Classify the sentiment of this movie review as positive or negative."
SUBJECTS = (
    "The plot",
    "Its lead actor",
    "This sequel",
    "The camera work",
    "Every song in it",
    "The dialogue",
)
VERDICTS = (
    "never finds a reason to exist beyond its own trailer",
    "earns each laugh honestly and then breaks your heart",
    "drags through two hours that feel like a lost weekend",
    "is a small wonder, patient and full of light",
    "turns a tired idea into something strange and alive",
    "forgets the audience somewhere in the second act",
    "wastes a fine cast on jokes that were old last year",
    "stays with you long after the lights have come on",
)
ENDINGS = (
    "",
    ", whatever the critics say",
    ", and I would see it again",
    ", which surprised nobody at the screening",
)


def built_in_texts() -> list[str]:
    """192 sentences, shuffled, for a run without data."""
    texts = [f"{subject} {verdict}{end}." for subject in SUBJECTS for verdict in VERDICTS for end in ENDINGS]
    random.Random(0).shuffle(texts)
    return texts


def read_texts(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file)]


Messages = tuple[Message, ...]


def zero_shot(text: str) -> Messages:
    return (Message("user", f"{INSTRUCTION}\nReview: {text}\nSentiment:"),)


def with_shots(shots: Sequence[str]) -> Callable[[str], Messages]:
    head = [Message("system", INSTRUCTION)]
    for number, shot in enumerate(shots):
        head += [Message("user", shot), Message("assistant", ("positive", "negative")[number % 2])]
    return lambda text: (*head, Message("user", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    seconds: float
    requests: int
    sent: int
    processed: int
    unshared: int


class Bench:
    """One server and the requests that are timed on it."""

    def __init__(self, server: local.LocalServer, in_flight: int) -> None:
        self.server = server
        self.model = Model(local.BUILT_IN, base_url=server.base_url)
        self.in_flight = in_flight

    async def ask(self, prompts: Sequence[Messages], max_tokens: int) -> list[Response]:
        parameters = {"max_tokens": max_tokens, "temperature": 0.0}
        if max_tokens == 1:
            parameters |= {"logprobs": True, "top_logprobs": 20}
        async with Client(self.model, max_concurrency=self.in_flight, request_timeout=600.0) as client:
            responses = await asyncio.gather(
                *(
                    client.complete(
                        Request(
                            endpoint=self.model.endpoint,
                            model=self.model.name,
                            messages=prompt,
                            parameters=parameters,
                        )
                    )
                    for prompt in prompts
                )
            )
        failed = [response.error for response in responses if response.error]
        if failed:
            raise SystemExit(f"a request failed: {failed[0]}")
        return responses

    def ceiling(self, texts: Sequence[str]) -> float:
        """The server's own rate on one prompt of about 2,000 tokens that it has not seen, in tokens/s."""
        words = " ".join(texts).split()
        random.Random(self.server.address).shuffle(words)
        text = " ".join((words * 2000)[:2000])
        tokens = self._post("/tokenize", {"content": text})["tokens"][:1990]
        text = str(self._post("/detokenize", {"tokens": tokens})["content"])
        before = self._metrics()
        asyncio.run(self.ask([(Message("user", text),)], 1))
        after = self._metrics()
        return (after["prompt_tokens_total"] - before["prompt_tokens_total"]) / (
            after["prompt_seconds_total"] - before["prompt_seconds_total"]
        )

    def time(self, prompts: Sequence[Messages], max_tokens: int) -> Timing:
        before, start = self._metrics(), time.perf_counter()
        responses = asyncio.run(self.ask(prompts, max_tokens))
        seconds = time.perf_counter() - start
        sent = sum(response.usage.prompt_tokens or 0 for response in responses)
        return Timing(
            seconds=seconds,
            requests=len(prompts),
            sent=sent,
            processed=int(self._metrics()["prompt_tokens_total"] - before["prompt_tokens_total"]),
            unshared=sent - len(prompts) * self._shared(prompts),
        )

    def _shared(self, prompts: Sequence[Messages]) -> int:
        """Tokens at the start that all prompts have in common."""
        texts = []
        for prompt in prompts:
            templated = self._post("/apply-template", {"messages": [message.to_dict() for message in prompt]})
            texts.append(self._post("/tokenize", {"content": templated["prompt"]})["tokens"])
        return next(
            (place for place, tokens in enumerate(zip(*texts, strict=False)) if len(set(tokens)) > 1),
            min(map(len, texts)),
        )

    def _post(self, path: str, body: object) -> dict[str, list[int]]:
        request = urllib.request.Request(
            self.server.address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            parsed: dict[str, list[int]] = json.load(answer)
        return parsed

    def _metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.server.address + "/metrics") as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.removeprefix("llamacpp:").split() for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def spin() -> None:
    while True:
        pass


def measure(setting: str, texts: Sequence[str], rows: int) -> str:
    """One line of the table."""
    arguments: dict[str, Any] = {
        name: int(value) for name, _, value in (part.partition("=") for part in setting.split(",") if part)
    }
    busy, in_flight = arguments.pop("busy", 0), arguments.pop("in_flight", 0)
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=spin, daemon=True) for _ in range(busy)]
    with local.serve(local.resolve(None), **arguments) as server:
        bench = Bench(server, in_flight or 2 * server.slots)
        for process in others:
            process.start()
        try:
            ceiling = bench.ceiling(texts)
            zero = bench.time([zero_shot(text) for text in texts[:rows]], 1)
            shots = bench.time([with_shots(texts[-8:])(text) for text in texts[:rows]], 1)
            generated = bench.time([zero_shot(text) for text in texts[: rows // 3]], 32)
        finally:
            for process in others:
                process.kill()
                process.join()
    rate = zero.unshared / zero.seconds
    return (
        f"| {setting or 'defaults'} | {ceiling:.0f} | {zero.requests / zero.seconds:.1f} | {rate:.0f} "
        f"| {rate / ceiling:.0%} | {shots.requests / shots.seconds:.1f} | {shots.sent} | {shots.processed} "
        f"| {generated.requests / generated.seconds:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, help="csv file with a column text (default: built-in sentences)")
    parser.add_argument("--rows", type=int, default=32, help="rows for each measurement (default 32)")
    parser.add_argument("--setting", action="append", help="as slots=1,threads=2,in_flight=4,busy=1; repeat it")
    options = parser.parse_args()
    texts = built_in_texts() if options.data is None else read_texts(options.data)
    print(
        "| setting | ceiling tok/s | zero-shot req/s | unshared tok/s | of ceiling | 8 shots req/s "
        "| tokens sent | tokens processed | 32 tokens req/s |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for setting in options.setting or DEFAULT_SETTINGS:
        print(measure(setting, texts, options.rows), flush=True)


if __name__ == "__main__":
    main()
