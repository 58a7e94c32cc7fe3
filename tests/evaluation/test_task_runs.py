"""Laws of a task's calls: limits, counts and order, whatever the program does."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.errors import InputError
from tests.conftest import InProcessExecutor

PROMPT = ps.Prompt(source="Say yes. {{ row.number }}", parameters={"max_tokens": 8})


def rows(count: int) -> ps.Dataset:
    return ps.Dataset(pd.DataFrame({"number": [str(i) for i in range(count)], "right": "yes"}), target="right")


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    budget=st.integers(1, 40),
    side_by_side=st.booleans(),
    catches=st.booleans(),
    most=st.integers(1, 8),
)
def test_a_budget_holds_whatever_a_task_calls(
    counts: list[int], budget: int, side_by_side: bool, catches: bool, most: int
) -> None:
    """No more is sent than the budget and the limit of a row allow. Every row with an outcome has made its calls, and
    where there is room for all, all have one."""

    async def task(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
        texts = [f"{row.number}: {i}" for i in range(counts[int(row.number)])]
        try:
            if side_by_side:
                await asyncio.gather(*map(call, texts))
            for text in [] if side_by_side else texts:
                await call(text)
        except Exception:
            if not catches:
                raise
        return "yes"

    fake = InProcessExecutor("yes")
    found = ps.evaluate(
        PROMPT, rows(len(counts)), model=fake.model(), executor=fake, answer=ps.Text(), max_concurrency=3,
        budget=budget, task=ps.Task(function=task, most_calls=most),
    )  # fmt: skip
    made = [min(count, most) for count in counts]
    assert fake.count <= min(budget, sum(made))
    samples = found.samples_df()
    if len(samples):
        assert samples["calls"].tolist() == [made[row] for row in samples["row"]]
    assert samples["error"].notna().tolist() == [counts[row] > most for row in samples["row"]]
    if sum(made) <= budget:
        assert (len(samples), fake.count) == (len(counts), sum(made))


def test_calls_end_with_their_row(fake: InProcessExecutor) -> None:
    """What a task began and did not wait for is waited for and counted; a call that is kept for later is refused."""
    kept: list[ps.TaskCall] = []
    late: list[str] = []

    async def task(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
        if kept:
            try:
                await kept[0]("too late")
            except BaseException as error:
                late.append(str(error))
        kept.append(call)
        background.append(asyncio.ensure_future(call(prompt.render(row))))
        await asyncio.sleep(0)
        return "yes"

    background: list[asyncio.Future[ps.Response]] = []
    fake.answer, fake.latency = "yes", 0.05
    found = ps.evaluate(
        PROMPT, rows(3), model=fake.model(), executor=fake, answer=ps.Text(), max_concurrency=1, task=task
    )
    assert found.samples_df()["calls"].tolist() == [1, 1, 1]
    assert found.samples_df()["score"].tolist() == [1, 1, 1]
    assert (fake.count, late) == (3, ["the row has ended"] * 2)


@pytest.mark.system
def test_the_time_of_a_budget_ends_a_task_that_never_calls(fake: InProcessExecutor) -> None:
    """A task that waits for something else is ended with the seconds of its budget; its row has no outcome."""

    async def task(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
        response = await call(prompt.render(row))
        if row.number == "1":
            await asyncio.Event().wait()
        return response.text

    fake.answer = "yes"
    found = ps.evaluate(
        PROMPT, rows(3), model=fake.model(), executor=fake, answer=ps.Text(), budget=ps.Budget(seconds=1), task=task
    )
    assert found.samples_df()["row"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "call of a task takes a text or a list of messages, not a list; write"),
        ({"role": "user", "content": "hi"}, "call of a task takes a text or a list of messages, not a dict"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "the content of a message of a task must be text"),
        ([{"role": "user", "content": "hi", "name": {1, 2}}], "what a task sends must be JSON"),
    ],
)
def test_messages_that_cannot_be_sent_are_refused(fake: InProcessExecutor, messages: object, says: str) -> None:
    """What is no chat message is one line that says what to write."""

    async def task(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
        return (await call(messages)).text  # type: ignore[arg-type]

    with pytest.raises(InputError, match=says) as raised:
        ps.evaluate(PROMPT, rows(2), model=fake.model(), executor=fake, answer=ps.Text(), task=task)
    assert "\n" not in str(raised.value)
    assert fake.count == 0
