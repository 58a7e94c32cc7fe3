"""The fake server for tests: answers by what is asked, faults that repeat, exact counts."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import aiohttp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search import testing
from prompt_search.errors import InputError, RequestRefused
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.llm.transport import Executor
from prompt_search.testing import (
    FakeResponse,
    FakeServer,
    Faults,
    InProcessExecutor,
    completion,
    failure,
    prompt_of,
    truth_model,
)
from tests.http_examples import ask

TARGETS = {"it was great": "positive", "it was dull": "negative", "so so": "neutral"}


def body_of(text: str, **parameters: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **parameters}


def text_of(answer: tuple[int, str]) -> Any:
    return json.loads(answer[1])["choices"][0]["message"]["content"]


def test_answer_sees_one_body() -> None:
    """A text, a function of the body, a whole completion, or any HTTP response may be the answer."""
    with FakeServer("always") as server:
        assert text_of(*ask(server, [body_of("hi")])) == "always"
        server.answer = lambda body: prompt_of(body).upper()
        assert text_of(*ask(server, [body_of("hi")])) == "HI"
        server.answer = completion("whole", "two words")
        ((status, text),) = ask(server, [body_of("hi")])
        assert (status, json.loads(text)["usage"]) == (200, {"prompt_tokens": 2, "completion_tokens": 1})
        server.answer = lambda body: FakeResponse(status=418, body="tea", headers={"X-Kind": "green"})
        assert ask(server, [body_of("hi")]) == [(418, "tea")]
        assert (server.count, server.answered, server.tokens) == (4, 3, 2 + 2 + 3)
        assert server.statuses == {200: 3, 418: 1}
        assert len(server.repeated) == 1


def test_model_of_the_server() -> None:
    """The model that it hands out is asked at its address."""
    with FakeServer() as server:
        model = server.model("tiny", tokens_per_minute=9)
        assert (model.name, model.endpoint, model.tokens_per_minute) == ("tiny", server.url, 9)


def test_latency_and_most_in_flight() -> None:
    """Answers take as long as they are told to, side by side, and the most at a time are counted."""
    with FakeServer(latency=lambda body: 0.2 if "slow" in prompt_of(body) else 0.0) as server:
        ask(server, [body_of(f"slow {number}") for number in range(5)])
        assert server.most_in_flight == 5
        assert server.arrivals == sorted(server.arrivals)


def test_unexpected_path_is_raised() -> None:
    """A request for anything else is an error where the server is stopped, and gets a 404."""

    async def get(url: str) -> int:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status

    told = "answers POST /v1/chat/completions, files and batches only, and was asked for GET /v1/x"
    with pytest.raises(AssertionError, match=told), FakeServer() as server:
        assert asyncio.run(get(f"{server.url}/x")) == 404


def test_exception_in_the_answer_is_raised() -> None:
    """What the answer function raises is not lost in the server's thread."""

    def answer(body: Any) -> str:
        raise KeyError("no such row")

    with pytest.raises(KeyError, match="no such row"), FakeServer(answer) as server:
        assert [status for status, _ in ask(server, [body_of("hi"), body_of("ho")])] == [403, 403]


def test_run_ends_at_the_first_exception_of_the_answer_function() -> None:
    """The run ends after few requests with the exception's name, and the with block raises the exception itself."""
    targets = {f"text {number}": "ab"[number % 2] for number in range(60)}

    def answer(body: Any) -> int:
        raise ZeroDivisionError("no such row")

    told = r"answered 403 for fake: the fake server's answer function raised ZeroDivisionError\('no such row'\)"
    server = FakeServer(answer).start()
    with pytest.raises(RequestRefused, match=told):
        ps.evaluate(ps.Prompt(source="{{ row.text }}"), dataset(targets), model=server.model(), max_concurrency=4)
    with pytest.raises(ZeroDivisionError, match="no such row"):
        server.stop()
    assert server.count <= 4


@pytest.mark.parametrize("values", [(0, 1), (0.0, 1.0), (False, True), (np.int64(0), np.int64(1)), ("0", "1")])
def test_truth_model_takes_targets_of_any_plain_type(values: tuple[Any, Any]) -> None:
    """Targets that are numbers or truth values are answered as text, also by a function that gives them itself."""
    targets = {f"text {number}": values[number % 2] for number in range(12)}
    data = dataset(targets)
    prompt = ps.Prompt(source="{{ row.text }}")
    for answer in (truth_model(targets, accuracy=1.0), lambda body: targets[prompt_of(body)]):
        with FakeServer(answer) as server:
            scored = ps.evaluate(prompt, data, model=server.model(), answer=ps.Label(data.labels))
        assert scored.score == 1.0
    wrong = truth_model(targets, accuracy=0.0)
    assert {wrong({"messages": [{"role": "user", "content": text}]}) for text in targets} == {*data.labels}


@pytest.mark.parametrize("answer", [None, ["yes"], b"yes", object])
def test_answers_of_another_type_are_refused(answer: Any) -> None:
    """What is neither text, number, completion nor response is an error that says so, raised by the with block."""
    message = "a fake model answers with a text, a number, True or False, a chat completion as a dict, or a FakeR"
    with pytest.raises(InputError, match=message), FakeServer(lambda body: answer) as server:
        assert [status for status, _ in ask(server, [body_of("hi")])] == [403]


def test_fail_after() -> None:
    """A key that is revoked amid a run refuses every further request."""
    with FakeServer(fail_after=2) as server:
        statuses = [status for _ in range(4) for status, _ in ask(server, [body_of("hi")])]
    assert statuses == [200, 200, 401, 401]


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("rate_limited", 429, '{"error": {"message": "too many requests"}}'),
        ("retry_after", 429, '{"error": {"message": "too many requests"}}'),
        ("server_error", 500, '{"error": {"message": "the server stumbled"}}'),
        ("not_json", 200, "<html>upstream is busy</html>"),
    ],
)
def test_faults_as_they_are_sent(kind: str, status: int, text: str) -> None:
    """Every kind of fault is what servers really send."""
    with FakeServer(faults=Faults(**{kind: 1.0})) as server:
        assert ask(server, [body_of("hi")]) == [(status, text)]
    assert (server.answered, server.faults_made) == (0, {kind: 1})


def test_faults_inside_an_answer() -> None:
    """Truncated, without choices, withheld, or broken off by length."""
    answers = {}
    for kind in ("truncated", "no_choices", "content_filter", "length"):
        with FakeServer("positive", faults=Faults(**{kind: 1.0})) as server:
            ((status, answers[kind]),) = ask(server, [body_of("hi")])
        assert status == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(answers["truncated"])
    assert json.loads(answers["no_choices"])["choices"] == []
    for kind, left in (("content_filter", ""), ("length", "posi")):
        (choice,) = json.loads(answers[kind])["choices"]
        assert (choice["finish_reason"], choice["message"]["content"]) == (kind, left)


def test_hang_and_cut_give_no_answer() -> None:
    """A hanging request ends with the client's patience, a cut one with its connection; neither blocks the end."""
    with FakeServer(faults=Faults(hang=1.0)) as server:
        assert ask(server, [body_of("hi")], timeout_s=0.1) == [(0, "TimeoutError")]
    with FakeServer(faults=Faults(cut=1.0)) as server:
        found = Counter(name for _, name in ask(server, [body_of(f"number {n}") for n in range(20)]))
    assert set(found) <= {"ServerDisconnectedError", "ClientOSError", "ClientPayloadError"}
    assert "ClientPayloadError" in found  # some break amid the answer
    assert len(found) > 1  # and some before


def test_faults_do_not_depend_on_the_order() -> None:
    """The same requests meet the same faults, in whatever order they come, and other ones by another seed."""
    bodies = [body_of(f"number {number}") for number in range(200)]
    faults = Faults(server_error=0.2, retry_after=0.1, rate_limited=0.1)

    def statuses(asked: Sequence[dict[str, Any]], seed: int = 0) -> dict[str, int]:
        with FakeServer(faults=faults, seed=seed) as server:
            found = [status for status, _ in ask(server, asked)]
        return {prompt_of(body): status for body, status in zip(asked, found, strict=True)}

    first = statuses(bodies)
    assert first == statuses(bodies[::-1]) != statuses(bodies, seed=1)
    assert 20 <= sum(status == 500 for status in first.values()) <= 60
    assert 20 <= sum(status == 429 for status in first.values()) <= 60


def test_another_attempt_is_drawn_anew() -> None:
    """A request that failed may be answered the next time, and then always would be so in that attempt."""
    with FakeServer(faults=Faults(server_error=0.5)) as server:
        statuses = [status for _ in range(20) for status, _ in ask(server, [body_of("hi")])]
    with FakeServer(faults=Faults(server_error=0.5)) as server:
        assert statuses == [status for _ in range(20) for status, _ in ask(server, [body_of("hi")])]
    assert set(statuses) == {200, 500}


def test_requests_per_minute() -> None:
    """What is above the limit gets a 429 that tells when there is room; then there is."""
    with FakeServer(requests_per_minute=3, minute_s=0.5) as server:
        found = Counter(status for status, _ in ask(server, [body_of(f"{n}") for n in range(5)]))
        assert found == {200: 3, 429: 2}
        asyncio.run(asyncio.sleep(0.6))
        assert [status for status, _ in ask(server, [body_of("later")])] == [200]


def test_tokens_per_minute() -> None:
    """Tokens of answers count, prompts included."""
    with FakeServer("one", tokens_per_minute=10) as server:
        found = [status for n in range(5) for status, _ in ask(server, [body_of(f"three words {n}")])]
    assert found == [200, 200, 429, 429, 429]


def test_failure_has_headers() -> None:
    """An error may carry headers such as Retry-After."""
    assert failure(503, "busy", Retry_After="2").headers == {"Retry-After": "2"}


@pytest.mark.parametrize("shares", [{"cut": -0.1}, {"cut": 0.7, "hang": 0.4}])
def test_senseless_shares(shares: dict[str, float]) -> None:
    """Shares below zero or above one together are refused."""
    with pytest.raises(InputError, match="shares of faults must be 0 or more, and at most 1 together; got"):
        Faults(**shares)


@given(st.floats(0, 1, exclude_max=True))
def test_drawn_fault_is_one_of_those_with_a_share(drawn: float) -> None:
    """A number below the sum of all shares stands for a fault that has one, a number above for none."""
    faults = Faults(cut=0.25, hang=0.25)
    assert (faults.drawn(drawn) in ("cut", "hang")) == (drawn < 0.5)


# The truth model


def test_truth_model_is_right_as_often_as_it_should() -> None:
    """A prompt's accuracy over many rows is the one that was asked for, and each row's answer stays the same."""
    targets = {f"text {number}": f"label {number % 3}" for number in range(2000)}
    model = truth_model(targets, accuracy=lambda wording: 0.9 if "carefully" in wording else 0.6)
    for wording, accuracy in (("Judge", 0.6), ("Judge carefully", 0.9)):
        answers = {row: model(body_of(f"{wording}\nText: {row}")) for row in targets}
        assert set(answers.values()) == set(targets.values())
        right = sum(answers[row] == target for row, target in targets.items()) / len(targets)
        assert abs(right - accuracy) < 0.04
        assert answers == {row: model(body_of(f"{wording}\nText: {row}")) for row in targets}


def test_truth_model_gives_logprobs_when_asked() -> None:
    """A request for log-probabilities gets all labels, the answer first."""
    answer = truth_model(TARGETS, accuracy=1.0)(body_of("so so", logprobs=True))
    assert isinstance(answer, dict)
    (position,) = answer["choices"][0]["logprobs"]["content"]
    found = {top["token"]: math.exp(top["logprob"]) for top in position["top_logprobs"]}
    assert max(found, key=lambda label: found[label]) == "neutral"
    assert sum(found.values()) == pytest.approx(1.0)


def test_truth_model_finds_the_row_that_is_asked_about() -> None:
    """Of several rows in a prompt with examples the last one counts, also amid a line."""
    model = truth_model({**TARGETS, "it was great at first": "neutral"}, accuracy=1.0)
    assert model(body_of("it was dull\nnegative\nit was great\nLabel:")) == "positive"
    assert model(body_of("Text: it was dull. Text: it was great at first. Label:")) == "neutral"


def test_truth_model_of_an_unknown_row() -> None:
    """A request about none of the rows fails loudly."""
    with pytest.raises(InputError, match="the request contains no text that the truth model knows: what is"):
        truth_model(TARGETS)(body_of("what is this?"))


# The executor in the process


def responses(executor: InProcessExecutor, count: int, **settings: Any) -> list[Response]:
    """What the client makes of an executor's replies to so many requests, all at once."""

    async def no_sleep(seconds: float) -> None:
        return None

    async def main() -> list[Response]:
        model = executor.model()
        async with Client(model, executor=executor, sleep=no_sleep, **settings) as client:
            messages = [(Message("user", f"question {number}"),) for number in range(count)]
            requests = [Request(endpoint=model.endpoint, model=model.name, messages=each) for each in messages]
            return list(await asyncio.gather(*(client.complete(request) for request in requests)))

    return asyncio.run(main())


def dataset(targets: dict[str, str]) -> ps.Dataset:
    return ps.Dataset(pd.DataFrame({"text": list(targets), "label": list(targets.values())}), target="label")


def test_in_process_executor_is_an_executor() -> None:
    """The protocol can be checked at run time, and what else a user may give as an executor does not satisfy it."""
    assert isinstance(InProcessExecutor(), Executor)
    assert not isinstance("tcp://127.0.0.1:8786", Executor)


@pytest.mark.parametrize(
    ("answer", "text", "error"),
    [
        ("fixed", "fixed", None),
        (lambda body: prompt_of(body).upper(), "QUESTION 0", None),
        (completion("whole", "two words"), "whole", None),
        (
            failure(400, "no such parameter"),
            "",
            "bad_request: http://fake.invalid/v1 answered 400 for fake: no such parameter",
        ),
    ],
)
def test_in_process_answer(answer: Any, text: str, error: str | None) -> None:
    """A text, a function of the body, a whole completion, or any HTTP response may be the answer."""
    executor = InProcessExecutor(answer)

    (response,) = responses(executor, 1)

    assert (response.text, response.error) == (text, error)
    assert executor.bodies == [{"model": "fake", "messages": [{"role": "user", "content": "question 0"}]}]


def test_in_process_failure_is_retried_by_the_client() -> None:
    """Retries are those of the real client, and every attempt is counted."""
    executor = InProcessExecutor()
    executor.answer = lambda body: failure(500, "busy", Retry_After="0") if executor.count < 3 else "positive"

    (response,) = responses(executor, 1)

    assert (response.text, response.attempts, executor.count) == ("positive", 3, 3)


def test_in_process_timeout() -> None:
    """An answer that takes longer than the client's timeout is a timeout, after as long."""
    (response,) = responses(InProcessExecutor(latency=3600.0), 1, request_timeout=0.01, max_attempts=2)

    assert response.error == "timeout: no response from http://fake.invalid/v1 within 0.01 s (2 attempts)"


def test_in_process_requests_in_flight() -> None:
    """Latency passes side by side, and the most requests in flight are counted."""
    executor = InProcessExecutor(latency=lambda body: 0.01 if "7" in prompt_of(body) else 0.001)

    found = responses(executor, 20, max_concurrency=5)

    assert executor.most_in_flight == 5
    assert [response.latency_s for response in found[6:8]] == [0.001, 0.01]


def test_in_process_refusal() -> None:
    """After the number of requests that was set every further one is refused for good."""
    executor = InProcessExecutor(fail_after=2)
    message = "http://fake.invalid/v1 answered 401 for fake: this key has been revoked; check the key in OPENAI_API_KEY"

    with pytest.raises(RequestRefused) as refused:
        responses(executor, 4, max_concurrency=1)

    assert str(refused.value) == message


def test_in_process_exception_ends_the_run() -> None:
    """What the answer function raises is raised by the evaluation that sent the request."""
    data = dataset({f"text {number}": "ab"[number % 2] for number in range(8)})
    executor = InProcessExecutor(truth_model({"another text": "a"}))

    with pytest.raises(InputError, match=r"^the request contains no text that the truth model knows: text \d$"):
        ps.evaluate(ps.Prompt(source="{{ row.text }}"), data, model=executor.model(), executor=executor)


def test_study_in_the_process() -> None:
    """A study takes the executor, pays for what it sent, and keeps to its budget."""
    targets = {f"text {number}": "ab"[number % 2] for number in range(60)}
    template = ps.Template('{{ choice("instruction", ["Classify.", "Sort."]) }} Text: {{ row.text }}')
    executor = InProcessExecutor(truth_model(targets, accuracy=lambda wording: 0.9 if "Sort" in wording else 0.4))

    study = ps.Study(template=template, data=dataset(targets), model=executor.model(), executor=executor)
    result = study.run(ps.Budget(calls=80))

    assert result.calls_df()["attempts"].sum() == executor.count <= 80
    assert "Sort." in result.best.source


@pytest.mark.parametrize(("old", "new"), [("Reply", FakeResponse), ("Answer", testing.FakeAnswer)])
def test_former_names_warn(old: str, new: object) -> None:
    """The former names are still there, and say how they are called now."""
    with pytest.warns(DeprecationWarning, match=f"^prompt_search.testing.{old} is now called Fake"):
        assert getattr(testing, old) is new
