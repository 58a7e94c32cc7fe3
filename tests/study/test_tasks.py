"""Studies whose rows a user's own program answers: what is paid, stored and resumed, and what bad programs do."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import InputError, RequestRefused, StudyError
from tests.conftest import Body, FakeServer, InProcessExecutor, failure, prompt_of
from tests.growing import PROPOSER
from tests.study.examples import assert_equal_results, sent

BUDGET = 200

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]

SOURCE = """{{ choice("instruction", ["Add.", "Add with the tool.", "Sum it up.", "What is the sum?"]) }}
{{ choice("cue", ["Sum:", "Answer:", ""]) }} {{ row.first }} and {{ row.second }}"""

DATA = ps.Dataset(
    pd.DataFrame([{"first": i, "second": i * 3 % 7, "sum": str(i + i * 3 % 7)} for i in range(60)]), target="sum"
)


async def add(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> ps.Response:
    """Asks, and does the sum where the model wants it done."""
    messages: list[Any] = list(prompt.render(row))
    response = await call(messages, tools=TOOLS)
    while response.tool_calls:
        messages.append(response)
        for asked in response.tool_calls:
            total = asked.values["a"] + asked.values["b"]
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": str(total)})
        response = await call(messages)
    return response


def answering(body: Body) -> Any:
    """A model that adds wrongly now and then, and asks for a tool where it was told of one."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return last["content"]
    a, b = map(int, re.findall(r"(\d+) and (\d+)", prompt_of(body))[0])
    if "tool" in prompt_of(body) and a % 5:
        function = {"name": "add", "arguments": json.dumps({"a": a, "b": b})}
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{a}", "function": function}]}
        return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    return str(a + b + (zlib.crc32(prompt_of(body).encode()) % 2))


def task_study(fake: InProcessExecutor | FakeServer, storage: str | None = None, **settings: Any) -> ps.Study:
    given = {
        "template": ps.Template(SOURCE),
        "data": DATA,
        "model": fake.model(),
        "answer": "number",
        "task": add,
        "storage": storage,
        **({"executor": fake} if isinstance(fake, InProcessExecutor) else {}),
    }
    return ps.Study(**{**given, **settings})


@pytest.fixture(scope="module")
def whole() -> tuple[ps.Result, list[Any]]:
    """A study that ran through against a server, and the requests that it sent."""
    with FakeServer(answering) as server:
        return task_study(server).run(BUDGET), list(server.bodies)


def test_every_call_counts(whole: tuple[ps.Result, list[Any]]) -> None:
    """What the server counted is what the ledger has, within the budget; nothing is sent twice; and the winner is
    tested, on as many rows as its several calls leave room for."""
    result, bodies = whole
    ledger = result.ledger_df().set_index("role")["calls"]
    assert ledger["task"] == ledger.sum() == len(bodies) == len(result.calls_df()) <= BUDGET
    assert max(sent(bodies).values()) == 1
    assert result.best.choices["instruction"] == "Add with the tool."
    assert 12 <= result.verdict.rows <= 18
    tested = result.samples_df().query("split == 'test'")
    assert {*tested.groupby("trial")["row"].count()} == {result.verdict.rows}


def test_tables_say_what_a_row_took(whole: tuple[ps.Result, list[Any]]) -> None:
    """A row has the number of its calls and the response to the last one; tokens are those of all of them."""
    result, _ = whole
    scored = result.samples_df()
    assert {*scored["calls"]} == {1, 2}
    tool = scored[scored["calls"] == 2]
    assert (tool["response"] == tool["target"]).all()
    assert (tool["score"] == 1).all()
    assert result.headline.splitlines()[2].endswith(
        f"A row took {scored['calls'].mean():.1f} calls on average with the task tests.study.test_tasks.add, which the "
        "prompt needs."
    )


def test_an_interrupted_task_sends_nothing_twice(whole: tuple[ps.Result, list[Any]], storage: str) -> None:
    """Interrupted between the calls of a row, a study goes on with the stored responses, and ends in the same tables;
    run again it sends nothing."""
    expected, bodies = whole
    with FakeServer(answering) as server:
        answered: list[Any] = []
        for stop in (1, 32, 33, len(bodies) - 7):
            server.bodies, server.fail_after = [], stop - len(answered)
            with pytest.raises(RequestRefused):
                task_study(server, storage, max_concurrency=1).run(BUDGET)
            answered += server.bodies[: server.fail_after]
        server.bodies, server.fail_after = [], None
        result = task_study(server, storage, max_concurrency=1).run(BUDGET)
        answered += server.bodies
        before = server.count
        assert_equal_results(task_study(server, storage).run(BUDGET), result)
        assert server.count == before
    assert sent(answered) == sent(bodies)
    assert_equal_results(result, expected)


def test_a_larger_budget_pays_for_the_difference(storage: str) -> None:
    """A study that goes on with more calls repeats no request, and knows what is free."""
    fake = InProcessExecutor(answering)
    task_study(fake, storage).run(60)
    task_study(fake, storage).run(110)
    assert max(sent(fake.bodies).values()) == 1
    assert 95 < fake.count <= 110


async def many(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    """Votes: seven equal requests side by side for some rows, one for the others."""
    count = 7 if row.first % 2 else 1
    responses = await asyncio.gather(*(call(prompt.render(row)) for _ in range(count)))
    return responses[-1].text


def test_calls_side_by_side_keep_the_limit(fake: InProcessExecutor) -> None:
    """Equal requests of a row are sent as often as the task makes them, and no limit is exceeded where a row suddenly
    needs many; a row without room has no outcome."""
    fake.answer = answering
    result = task_study(fake, task=many).run(100)
    assert fake.count == result.ledger_df()["calls"].sum() <= 100
    assert {*result.samples_df()["calls"]} == {1, 7}
    assert max(sent(fake.bodies).values()) == 7


async def stubborn(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    """Takes every error for one that passes."""
    while True:
        try:
            return (await call(prompt.render(row))).text
        except Exception:
            await asyncio.sleep(0)


def test_a_task_cannot_hold_up_the_end_of_a_budget(fake: InProcessExecutor) -> None:
    """That the budget is used up passes through a task that catches every exception."""
    fake.answer = answering
    result = task_study(fake, task=stubborn).run(60)
    assert fake.count <= 60
    assert result.finished


async def endless(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    messages = [*prompt.render(row)]
    while row.first % 3 == 0:
        messages.append((await call(messages)).message)  # type: ignore[arg-type]
    return (await call(messages)).text


def test_a_row_makes_a_limited_number_of_calls(fake: InProcessExecutor) -> None:
    """A task that never ends has the failure ``task_calls`` for the row, which counts as wrong, with all its calls."""
    fake.answer = answering
    result = task_study(fake, task=ps.Task(function=endless, most_calls=4)).run(120)
    failed = result.samples_df().dropna(subset=["error"])
    assert {*failed["error"]} == {"task_calls: the task made more than 4 calls for this row"}
    assert (failed["score"] == 0).all()
    assert (failed["calls"] == 4).all()
    assert fake.count <= 120


async def broken(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> Any:
    response = await call(prompt.render(row))
    match row.first % 5:
        case 0:
            raise ZeroDivisionError("1 / 0\nwith sk-abcdefghijklmnopqrstuvwxyz123456 and open sesame 12345")
        case 1:
            return None
        case 2:
            return 7
    return response.text


def test_what_a_task_does_wrong_is_a_typed_outcome(fake: InProcessExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception and a wrong type are failures with a kind and one line, without keys, that count as wrong; the calls
    of the row stay counted."""
    fake.answer = answering
    monkeypatch.setenv("MY_ACCESS", "open sesame 12345")
    result = task_study(fake, task=broken, model=fake.model(api_key_env="MY_ACCESS")).run(120)
    errors = result.samples_df().dropna(subset=["error"])
    kinds = {re.sub(r"line \d+", "line N", error) for error in errors["error"]}
    assert kinds == {
        "task: ZeroDivisionError: 1 / 0 with [key] and [key] (test_tasks.py, line N)",
        "task_answer: the task returned nothing, and not a text or a response of call",
        "task_answer: the task returned 7, and not a text or a response of call",
    }
    assert (errors["score"] == 0).all()
    assert result.ledger_df()["calls"].sum() == fake.count


async def careful(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    try:
        return (await call(prompt.render(row))).text
    except ps.CallFailed as failed:
        return f"0, because of {failed.response.error}" if failed.kind == "bad_request" else ""


async def careless(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> ps.Response:
    return (await asyncio.gather(call(prompt.render(row))))[0]


def test_a_failed_call_is_the_tasks_to_handle(fake: InProcessExecutor) -> None:
    """A task sees why a call failed; where it does not handle that, the row has the call's failure as without a
    task."""

    def answer(body: Body) -> Any:
        refused = re.search(r"\b[1-9]*0 and", prompt_of(body))
        return failure(400, "this request is refused") if refused else answering(body)

    fake.answer = answer
    handled = task_study(fake, task=careful).run(60).samples_df()
    assert handled["error"].isna().all()
    failed = task_study(fake, task=careless).run(60).samples_df().dropna(subset=["error"])
    assert {each.partition(":")[0] for each in failed["error"]} == {"bad_request"}
    assert (failed["score"] == 0).all()


async def silent(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    return str(row.first + row.second)


async def rarely(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    return str(row.first + row.second) if row.first % 4 else (await call(prompt.render(row))).text


def plain(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    return ""


async def short(prompt: ps.Prompt) -> str:
    return ""


async def wrong_messages(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    return (await call([("user", "hi")])).text  # type: ignore[list-item]


async def own_model(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    try:
        return (await call("hi", model="gpt-4.1")).text
    except BaseException:
        return ""


async def always_broken(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    raise KeyError("question")


@pytest.mark.parametrize(
    ("task", "error", "says"),
    [
        (silent, RequestRefused, "the task silent answered the first 20 rows without a call"),
        (
            always_broken,
            RequestRefused,
            "always_broken gave no answer to the first 20 rows, the last with task: KeyErr",
        ),
        (wrong_messages, InputError, "a message of a task has role and content, got .*; write"),
        (own_model, InputError, "call of a task takes no model=: a task asks the model of the candidate"),
    ],
)
def test_a_task_that_no_prompt_can_help_ends_the_run(
    fake: InProcessExecutor, task: Any, error: type[Exception], says: str
) -> None:
    """A run ends in one line where no row is answered, nothing is asked, or a call cannot be sent."""
    fake.answer = answering
    with pytest.raises(error, match=says) as raised:
        task_study(fake, task=task).run(100)
    assert "\n" not in str(raised.value)
    assert fake.count == 0


async def with_schema(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> ps.Response:
    await call(prompt.render(row))
    return await call(prompt.render(row), response_format={"type": "json_schema", "json_schema": {"name": "sum"}})


def test_what_a_server_refuses_of_a_task_is_named(fake: InProcessExecutor) -> None:
    """Where the server refuses what the task itself sends, no other candidate helps: the run ends with what to leave
    out."""
    refused = failure(400, "This model does not support response_format of type json_schema")
    fake.answer = lambda body: refused if "response_format" in body else answering(body)
    with pytest.raises(RequestRefused, match='task with_schema: the server refuses response_format = "json_schema"'):
        task_study(fake, task=with_schema, max_concurrency=1).run(60)
    assert fake.count <= 3


def test_some_rows_may_need_no_call(fake: InProcessExecutor) -> None:
    """An answer without a call costs nothing, and has no response."""
    fake.answer = answering
    result = task_study(fake, task=rarely).run(60)
    free = result.samples_df().query("calls == 0")
    assert (free["score"] == 1).all()
    assert free["response"].isna().all()
    assert (free["prompt_tokens"] == 0).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task": plain}, r"the task plain is not async, so that it cannot wait for a call; write async def task\("),
        ({"task": short}, "the task short must take prompt, row and call: too many positional arguments; write"),
        ({"task": "solve"}, "task= takes an async function, not 'solve'; write async def"),
        ({"task": lambda: None}, "the task <lambda> is not async"),
        (
            {"answer": ps.Label(["1", "2"], mode="logprobs", calibrate="rows")},
            "the answers of .* are calibrated by single requests, and the task add makes others",
        ),
        (
            {"template": ps.Template('{{ row.first }}{% for s in examples("s", max=2, pickers=["solved 1"]) %}'
                                     "{{ s.sum }}{% endfor %}")},
            "the pickers solved and hard show what the model answers to one request with the prompt",
        ),
        ({"objective": ps.Objective(cost=0.1)}, "an objective is about the costs of one request for a row"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_task_is_refused(fake: InProcessExecutor, settings: dict[str, Any], says: str) -> None:
    """A plain function, one with other arguments, and settings that need single requests are one line each."""
    with pytest.raises(InputError, match=says) as raised:
        task_study(fake, **settings)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="most_calls must be a whole number from 1 to 1000, got 0"):
        ps.Task(function=add, most_calls=0)
    with pytest.raises(InputError, match="calls must be a number above 0"):
        ps.Task(function=add, calls=0)


def test_another_task_is_another_study(fake: InProcessExecutor, storage: str) -> None:
    """A study is its task, too: another function, or a changed one, does not continue it."""
    fake.answer = answering
    task_study(fake, storage).run(60)
    with pytest.raises(StudyError, match="task"):
        task_study(fake, storage, task=careful).run(60)
    with pytest.raises(StudyError, match="rescore sends nothing, and the task add would have to run again"):
        task_study(fake, storage).rescore()
    first = task_study(fake).plan.identity()["task"]
    assert first["name"] == "tests.study.test_tasks.add"
    assert first["source"]


def test_the_export_names_the_task(whole: tuple[ps.Result, list[Any]], fake: InProcessExecutor, tmp_path: Path) -> None:
    """Exported files say which function they need; such a prompt is not asked by itself, but evaluated with it."""
    result, _ = whole
    for name in ("best.j2", "best.json", "best.py", "report.html"):
        (result.report if "report" in name else result.best.export)(tmp_path / name)
        assert "tests.study.test_tasks.add" in (tmp_path / name).read_text(encoding="utf-8")
    prompt = ps.Prompt.read(tmp_path / "best.json")
    assert prompt.task == ps.Prompt.read(tmp_path / "best.j2").task == "tests.study.test_tasks.add"
    fake.answer = answering
    says = "was chosen for the task tests.study.test_tasks.add, without which it answers something else"
    with pytest.raises(InputError, match=says):
        ps.evaluate(prompt, DATA, model=fake.model(), executor=fake)
    with pytest.raises(InputError, match=says):
        prompt.ask({"first": 1, "second": 2}, model=fake.model(), executor=fake)
    with pytest.raises(InputError, match=says):
        task_study(fake, task=None).enqueue(prompt=prompt)
    task_study(fake).enqueue(prompt=prompt)
    with pytest.raises(InputError, match="promptfoo sends one request, and this prompt is chosen for the task"):
        prompt.export(tmp_path / "promptfooconfig.yaml")
    scored = ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, task=add)
    assert scored.prompt.task == prompt.task
    assert fake.count == scored.samples_df()["calls"].sum() == 60 + 48
    assert scored.samples_df().query("calls == 2")["score"].eq(1).all()


def test_a_preflight_counts_the_calls_of_a_row(fake: InProcessExecutor, storage: str) -> None:
    """An estimate says what it takes the calls of a row for; a preflight counts them."""
    fake.answer = answering
    source = SOURCE.replace('"Add.", "Add with the tool."', '"Add with the tool.", "Add."')
    study = task_study(fake, storage, template=ps.Template(source), task=ps.Task(function=add, calls=1.5))
    assert "a row takes 1.5 calls with the task, as its ps.Task(calls=) says" in repr(study.estimate(200))
    found = study.preflight(200)
    assert fake.count == found.calls <= 30
    assert re.search(r"A row takes 1\.\d calls with the task tests.study.test_tasks.add, as its first", repr(found))
    result = study.run(100)
    rows = result.samples_df()
    mean = rows["calls"].mean()
    assert f"a row takes {mean:.1f} calls with the task, as {len(rows)} stored rows show" in repr(study.estimate(200))


def test_a_judge_and_growth_work_with_a_task(fake: InProcessExecutor) -> None:
    """The answer of a task is judged, and shown to a proposer; all calls are in the ledger by role."""
    judge = "judge-model"

    def answer(body: Body) -> Any:
        if body["model"] == judge:
            return "4: fine"
        if body["model"] == PROPOSER:
            return f"<option>Add both numbers, {len(prompt_of(body))} times if need be.</option>"
        return answering(body)

    fake.answer = answer
    source = SOURCE.replace('sum?"])', 'sum?"], grow="tells the model what to do")')
    settings: dict[str, Any] = {
        "metric": ps.Judge("quality", model=fake.model(judge), weighted=False),
        "answer": "text",
    }
    result = task_study(fake, template=ps.Template(source), proposer=ps.Proposer(fake.model(PROPOSER)), **settings).run(
        300
    )
    models = Counter(body["model"] for body in fake.bodies)
    ledger = result.ledger_df().set_index("role")["calls"]
    assert (ledger["judge"], ledger["proposer"]) == (models[judge], models[PROPOSER])
    assert ledger["task"] == models["fake"]
    assert fake.count == ledger.sum() <= 300


def test_limits_of_tokens_bind_a_task(fake: InProcessExecutor) -> None:
    """A budget in tokens reserves each call of a row, tools and conversation included."""
    fake.answer = answering
    result = task_study(fake, request={"max_tokens": 16}).run(ps.Budget(tokens=12_000))
    assert result.summary["tokens"] <= 12_000
    assert result.finished
