"""Limits in tokens and dollars on servers that count reasoning in every way: is one ever passed?

Every setting is a whole study (search, finals, test) or an evaluation at a concurrency drawn at random, on a model that
reasons before it answers, longer than `max_tokens` allows. The kinds of servers differ in where they report that
reasoning; the model counts for itself. Some attempts are cut off after the model has worked on them.

    python experiments/benchmarks/token_limits.py [--settings 200] [--seed 0]

Prints a line for each kind of server; the exit code is 1 where a limit was passed.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import optuna
import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from prompt_search.evaluation import session
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Usage
from prompt_search.testing import Body, FakeResponse, InProcessExecutor, chance, completion

PRICE: Final = ps.Price(prompt=1_000.0, completion=5_000.0, cached=500.0)
"""US dollars for a million tokens, so that small studies cost something."""

LARGEST_ANSWER: Final = 2_500
"""Number of tokens of the longest single answer. No limit is below four of them: what one request takes by surprise
cannot be known before it is sent."""

SOURCE: Final = """{{ choice("instruction", ["Classify.", "Read.", "Decide with care.", "Which?"]) }}
{% if flag("listed") %}Labels: {{ labels | join(", ") }}{% endif %}
Text: {{ row.text }}
{{ choice("cue", ["Label:", "Answer:", ""]) }}"""

Counts = dict[str, Any]


@dataclass(frozen=True)
class Used:
    """What a model has used for one answer: tokens of the prompt, of its reasoning and of the answer."""

    prompt: int
    reasoning: int
    answer: int

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self.prompt, completion_tokens=self.reasoning + self.answer)


def inside(used: Used) -> Counts:
    """As OpenAI counts."""
    completion_tokens = used.answer + used.reasoning
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": completion_tokens,
        "total_tokens": used.prompt + completion_tokens,
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }


def outside(used: Used) -> Counts:
    """Only the total has the reasoning, as with Gemini and xAI."""
    return {**inside(used), "completion_tokens": used.answer, "completion_tokens_details": None}


def outside_with_details(used: Used) -> Counts:
    return {**inside(used), "completion_tokens": used.answer}


def details_alone(used: Used) -> Counts:
    """Neither the completion nor the total has the reasoning."""
    return {**outside_with_details(used), "total_tokens": used.prompt + used.answer}


def in_both(used: Used) -> Counts:
    """In the completion, and beside it once more."""
    return {**inside(used), "reasoning_tokens": used.reasoning}


def floats(used: Used) -> Counts:
    return {name: float(value) for name, value in outside(used).items() if value is not None}


def texts(used: Used) -> Counts:
    return {name: str(value) for name, value in outside(used).items() if value is not None}


def other_names(used: Used) -> Counts:
    """As Anthropic and OpenAI's newer interface name them."""
    counts = {"input_tokens": used.prompt, "output_tokens": used.answer + used.reasoning}
    return {**counts, "output_tokens_details": {"reasoning_tokens": used.reasoning}}


def total_alone(used: Used) -> Counts:
    return {"prompt_tokens": used.prompt, "total_tokens": used.prompt + used.answer + used.reasoning}


def nothing(used: Used) -> Counts:
    """Such a server is taken at its bound, so its reasoning has to be within `max_tokens`."""
    return {}


KINDS: Final[Mapping[str, Callable[[Used], Counts]]] = {
    "inside": inside,
    "outside, in the total": outside,
    "outside, in the total and in details": outside_with_details,
    "outside, in details alone": details_alone,
    "inside and beside": in_both,
    "in floats": floats,
    "in texts": texts,
    "under other names": other_names,
    "in the total alone": total_alone,
    "not at all": nothing,
}


@dataclass
class Model:
    """A model that counts what it does. Its reasoning is constant, even or long-tailed, by its ``shape``."""

    kind: str
    shape: str
    longest: int
    cut: float
    seed: int
    tokens: int = 0
    usd: float = 0.0
    asked: set[str] = field(default_factory=set)

    def __call__(self, body: Body) -> Mapping[str, Any] | FakeResponse:
        prompt = str(body["messages"][-1]["content"])
        used = self._used(prompt, body["max_tokens"])
        self.tokens += used.prompt + used.reasoning + used.answer
        self.usd += PRICE.cost(used.usage)
        first = prompt not in self.asked
        self.asked.add(prompt)
        if first and len(self.asked) > 1 and chance("cut", self.seed, prompt) < self.cut:
            return FakeResponse(body='{"choices": [{"mess')
        good, bad = ("positive", "negative") if "good" in prompt else ("negative", "positive")
        text = good if "care" in prompt or chance("right", prompt) < 0.6 else bad
        return completion(text, prompt, usage=KINDS[self.kind](used))

    def _used(self, prompt: str, max_tokens: int) -> Used:
        drawn = chance("reasoning", self.seed, prompt)
        share = {"constant": 1.0, "even": drawn, "long-tailed": 0.02 / (0.02 + drawn)}[self.shape]
        answer = 1 + int(chance("answer", self.seed, prompt) * max_tokens)
        size = 1 + int(len(prompt.encode()) * (0.2 + 0.5 * chance("prompt", self.seed, prompt)))
        return Used(size, 0 if self.kind == "not at all" else 1 + answer + int(self.longest * share), answer)


def data() -> ps.Dataset:
    texts = [f"{('bad', 'good')[i % 2]} thing {i} {'word ' * (i % 7)}" for i in range(60)]
    labels = [("negative", "positive")[i % 2] for i in range(60)]
    return ps.Dataset(pd.DataFrame({"text": texts, "label": labels}), target="label")


async def brief(seconds: float) -> None:
    """Instead of waiting to try again."""


def run(model: Model, limits: dict[str, Any], generator: random.Random) -> int:
    """One study or evaluation; gives its number of requests."""
    executor = InProcessExecutor(model, latency=lambda body: 0.004 * chance("latency", model.seed, str(body)))
    budget, concurrency = ps.Budget(**limits), generator.randint(1, 32)
    named = executor.model(price=PRICE)
    if generator.random() < 0.5:
        prompt = ps.Prompt(source="Decide. {{ row.text }}")
        answer = ps.Label(["negative", "positive"])
        ps.evaluate(
            prompt, data(), model=named, executor=executor, answer=answer, budget=budget, max_concurrency=concurrency
        )
    else:
        study = ps.Study(
            template=ps.Template(SOURCE),
            data=data(),
            model=named,
            executor=executor,
            max_concurrency=concurrency,
            seed=generator.randrange(1000),
        )
        study.run(budget)
    return executor.count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    vars(session)["Client"] = functools.partial(Client, sleep=brief)
    generator = random.Random(arguments.seed)
    shares: dict[str, list[float]] = defaultdict(list)
    requests: dict[str, int] = defaultdict(int)
    for number in range(arguments.settings):
        kind = list(KINDS)[number % len(KINDS)]
        model = Model(
            kind=kind,
            shape=generator.choice(["constant", "even", "long-tailed"]),
            longest=generator.randint(100, LARGEST_ANSWER - 500),
            cut=generator.choice([0.0, 0.0, 0.05]),
            seed=number,
        )
        tokens = generator.randint(4 * LARGEST_ANSWER, 40 * LARGEST_ANSWER)
        usd = generator.uniform(4, 40) * LARGEST_ANSWER * PRICE.completion / 1e6
        limits: dict[str, Any] = generator.choice([{"tokens": tokens}, {"usd": usd}, {"tokens": tokens, "usd": usd}])
        requests[kind] += run(model, limits, generator)
        shares[kind].append(max(getattr(model, name) / limit for name, limit in limits.items()))
    print("| reasoning is counted | studies | requests | used on average | used at most | passed |")
    print("|---|---|---|---|---|---|")
    for kind, used in shares.items():
        passed = sum(share > 1 + 1e-9 for share in used)
        average = sum(used) / len(used)
        print(f"| {kind} | {len(used)} | {requests[kind]:,} | {average:.1%} | {max(used):.2%} | {passed} |")
    passed = sum(share > 1 + 1e-9 for used in shares.values() for share in used)
    print(f"\n{arguments.settings} settings, {sum(requests.values()):,} requests, {passed} passed")
    sys.exit(1 if passed else 0)


if __name__ == "__main__":
    main()
