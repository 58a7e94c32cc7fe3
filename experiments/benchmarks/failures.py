"""Whether failed requests can make a prompt look better than it is, on made-up studies whose truth is known.

    python experiments/benchmarks/failures.py [--studies 50] [--cases 21] [--processes 1] [--output failures.csv]

Whole studies run, with a fake model in the process. There are two prompts, ``plain`` (the default) and ``fancy``. Case
0 has 60 rows; ``fancy`` is refused (status 400) on half of the rows and right on the others, ``plain`` is right on
three fifths. The other cases are drawn at random: how often each prompt is right, on how many rows it fails and by
which kind of failure, and on what failures depend: on the prompt, on the row (hard rows fail), on both, or on neither.
Rows are a sample of a large population, on which it is computed what a user would get who ships the prompt: there a
request that is refused is a wrong answer, and one that fails now and then is sent again until it is answered. Of a
request that the road loses for good nobody knows the answer: two truths are computed, one that takes it for wrong, and
one over the rows that both prompts have an answer to, as a result says of its rates.

Columns: how often the verdict is "better"; how often it is that although the winner is not better, by the first truth
(asked: at most 5% of all studies); how often the 95% intervals of the default's score, the winner's and their
difference hold the first truth (asked: 94 to 96%), and the second; and the mean number of test rows that are missing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import pandas as pd

import prompt_search as ps
from prompt_search.llm import client
from prompt_search.testing import FakeResponse, InProcessExecutor, completion, failure, prompt_of

TRUTH_ROWS = 20_000
"""Rows of the population that the truth is computed on."""

CALLS = 400
BUSY = failure(500, "busy", Retry_After="0")
REPLIES: dict[str, FakeResponse | dict[str, Any]] = {
    "400": failure(400, "the request is refused"),
    "filter": completion("", finish_reason="content_filter"),
    "context": failure(400, "This model's maximum context length is 8192 tokens"),
    "empty": {"id": "1", "object": "chat.completion", "choices": [], "usage": {}},
    "500": BUSY,
    "429": failure(429, "slow down", Retry_After="0"),
    "html": FakeResponse(body="<html>Bad gateway</html>"),
}
REFUSALS = ("400", "filter", "context", "empty")
DEPENDENCES = ("prompt", "row", "both", "neither")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A world: how often prompts are right and fail.

    ``lasting`` says whether a request that fails does so at every attempt; else each attempt fails by itself.
    """

    number: int
    rows: int
    plain: float
    fancy: float
    kind: str
    dependence: str
    share: float
    lasting: bool

    @property
    def group(self) -> str:
        """What the case is a case of."""
        road = "lost for good" if self.lasting else "lost at times"
        return "refused" if self.kind in REFUSALS else road


FIELD_CASE = Case(number=0, rows=60, plain=0.6, fancy=1.0, kind="400", dependence="prompt", share=0.5, lasting=True)


def case(number: int) -> Case:
    """A case by its number."""
    if number == 0:
        return FIELD_CASE
    generator = random.Random(number)
    kind = sorted(REPLIES)[number % len(REPLIES)]
    plain = generator.uniform(0.4, 0.8)
    return Case(
        number=number,
        rows=generator.choice([60, 120, 200]),
        plain=plain,
        fancy=min(0.95, plain + generator.choice([-0.1, 0.0, 0.0, 0.1, 0.2])),
        kind=kind,
        dependence=DEPENDENCES[number % len(DEPENDENCES)],
        share=generator.choice([0.1, 0.1, 0.3]),
        lasting=kind in REFUSALS or number % 2 == 0,
    )


def uniform(*parts: object) -> float:
    """A number from 0 to 1 that depends on the parts alone."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()) / 2**64


def is_right(world: Case, style: str, row: int) -> bool:
    """Whether the answer is right: half of the luck is the row's, so that prompts are right on the same rows."""
    share = world.plain if style == "plain" else world.fancy
    own = uniform("answer", world.number, style, row)
    return (uniform("row", world.number, row) if uniform("whose", world.number, row) < 0.5 else own) < share


def failing_share(world: Case, style: str, row: int) -> float:
    """The probability that an attempt fails. Hard rows are those with a high luck number: few prompts are right."""
    hard = uniform("row", world.number, row) > 0.6
    if world.dependence == "prompt":
        return world.share if style == "fancy" else 0.0
    if world.dependence == "row":
        return world.share * 2 * hard
    if world.dependence == "both":
        return world.share * 2 * (hard and style == "fancy")
    return world.share


def fails_for_good(world: Case, style: str, row: int) -> bool:
    """Whether no attempt will be answered."""
    return world.lasting and uniform("failure", world.number, style, row) < failing_share(world, style, row)


@cache
def truth(world: Case, style: str) -> float:
    """What a user gets who ships the prompt."""
    rows = range(10**9, 10**9 + TRUTH_ROWS)
    return sum(is_right(world, style, row) and not fails_for_good(world, style, row) for row in rows) / TRUTH_ROWS


@cache
def answered_truth(world: Case, style: str, other: str) -> float:
    """How often a prompt is right on the rows that are answered with both; refusals are answers, and wrong."""
    if world.group != "lost for good":
        return truth(world, style)
    rows = range(10**9, 10**9 + TRUTH_ROWS)
    answered = [row for row in rows if not any(fails_for_good(world, each, row) for each in {style, other})]
    return sum(is_right(world, style, row) for row in answered) / len(answered)


def model(world: Case, study: int) -> Callable[[Any], Any]:
    """The fake model of one study."""
    attempts: Counter[str] = Counter()

    def answer(body: Any) -> Any:
        text = prompt_of(body)
        style, row = re.fullmatch(r"(\w+) (\d+)", text).groups()  # type: ignore[union-attr]
        attempts[text] += 1
        now = uniform("attempt", world.number, study, text, attempts[text]) < failing_share(world, style, int(row))
        if fails_for_good(world, style, int(row)) or (now and not world.lasting):
            return REPLIES[world.kind]
        right = int(row) % 2
        return ("no", "yes")[right if is_right(world, style, int(row)) else 1 - right]

    return answer


def simulated(job: tuple[int, int]) -> dict[str, Any]:
    """One study of a case, and whether what it says is true."""
    world, number = case(job[0]), job[1]
    client.FIRST_WAIT_S = 0.0  # type: ignore[misc]  # a fake server need not be waited for
    generator = random.Random(repr(job))
    rows = generator.sample(range(10**6), world.rows)
    data = ps.Dataset(
        pd.DataFrame({"row": map(str, rows), "label": [("no", "yes")[row % 2] for row in rows]}), target="label"
    )
    fake = InProcessExecutor(model(world, number))
    template = ps.Template('{{ choice("style", ["plain", "fancy"]) }} {{ row.row }}')
    study = ps.Study(template=template, data=data, model=fake.model(), executor=fake, name="s", seed=number)
    found: dict[str, Any] = {"case": world.number, "group": world.group, "kind": world.kind}
    found |= {"depends on": world.dependence, "share": world.share}
    try:
        result = study.run(CALLS)
    except ps.RunError as error:
        return found | {"ended": str(error)[:60]}
    verdict = result.verdict
    winner = result.best.choices["style"]
    plain, shipped = truth(world, "plain"), truth(world, winner)
    default, won = result.test_score(0), result.test_score(result.best_trial)
    found |= {
        "truth plain": plain,
        "truth fancy": truth(world, "fancy"),
        "better": verdict == "better",
        "wrongly": verdict == "better" and shipped <= plain,
        "default": default.low <= plain <= default.high,
        "winner": won.low <= shipped <= won.high,
        "missing": verdict.missing,
        "guarded": verdict.guarded,
    }
    of_plain, of_winner = answered_truth(world, "plain", winner), answered_truth(world, winner, "plain")
    found["default, answered"] = default.low <= of_plain <= default.high
    found["winner, answered"] = won.low <= of_winner <= won.high
    if winner != "plain":
        found["difference"] = verdict.low <= shipped - plain <= verdict.high
        found["difference, answered"] = verdict.low <= of_winner - of_plain <= verdict.high
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--cases", type=int, default=21)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output")
    given = parser.parse_args()
    jobs = [(number, study) for number in range(given.cases) for study in range(given.studies)]
    with ProcessPoolExecutor(given.processes) as pool:
        frame = pd.DataFrame(list(pool.map(simulated, jobs, chunksize=5)))
    if given.output:
        frame.to_csv(given.output, index=False)
    intervals = ["default", "winner", "difference"]
    answered = [f"{name}, answered" for name in intervals]
    columns = ["better", "wrongly", *intervals, *answered, "guarded", "missing"]
    if "ended" in frame:
        print(frame["ended"].value_counts().to_string())
    shown = frame.assign(**{name: frame[name].astype(float) for name in columns})
    cases = shown.groupby(["case", "kind", "depends on", "share", "group"])[["truth plain", "truth fancy", *columns]]
    print(cases.mean().round(3).to_string())
    print(shown.groupby("group")[columns].mean().round(3).to_string())
    print(shown[columns].mean().round(4).to_string())
    print(shown[columns].count().to_string())


if __name__ == "__main__":
    main()
