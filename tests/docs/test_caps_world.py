"""The made-up world by which caps are measured: what it says is true of its prompts is true."""

from __future__ import annotations

import pytest

from experiments.benchmarks.caps import KEY, ROWS, World, line
from prompt_search.testing.responses import prompt_of


@pytest.mark.parametrize("kind", ["tokens", "usd", "binary"])
def test_costs_and_qualities_are_those_of_the_answers(kind: str) -> None:
    """The mean over all rows of what requests and answers have is what the world says, but for chance."""
    world = World(kind, 3)
    study = world.study()
    candidate = next(iter(study.space().candidates()))
    prompt = study.prepared(candidate).prompt
    bodies = [
        {"messages": [{"content": str(m.content)} for m in prompt.render({"text": text})]} for text in world.texts
    ]
    chosen = world.chosen(prompt_of(bodies[0]))
    usage = [world.answer(body)["usage"] for body in bodies]
    tokens = sum(each["prompt_tokens"] for each in usage) / ROWS
    usd = sum(world_price(each) for each in usage) / ROWS
    assert tokens == pytest.approx(world.prompt_tokens(chosen), rel=0.02)
    assert usd == pytest.approx(world.usd(chosen), rel=0.02)
    assert world.best >= max(world.value(each) for each in world.candidates if world.keeps(each)) - 1e-12


def world_price(usage: dict[str, int]) -> float:
    """US dollars for 1,000 requests with such usage."""
    return (usage["prompt_tokens"] + 4 * usage["completion_tokens"]) / 1000


def test_a_line_of_the_table() -> None:
    """A study of the world ends with a prompt under the cap, and its line has the columns that name it."""
    found = line(("tokens", 200, 1))
    assert [found[name] for name in KEY] == ["tokens", 200, 1]
    assert not found["over"]
    assert found["value"] <= found["best"] + 1e-12
