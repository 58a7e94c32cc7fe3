"""When a run ends whose requests fail or whose answers cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

import prompt_search as ps
from prompt_search.answers import Unparsed
from prompt_search.evaluation.failure_limit import FailureLimit, UnreadLimit
from prompt_search.llm.messages import Response, Usage
from prompt_search.testing import FakeResponse, completion, failure
from tests.conftest import InProcessExecutor, prompt_of
from tests.study.examples import DATA, study, truth

SPENT = Response(finish_reason="length", usage=Usage(prompt_tokens=9, completion_tokens=16))
"""All tokens were spent on reasoning."""


def check(limit: UnreadLimit, response: Response, prompts: list[str], answer: Any = None) -> None:
    """Count an answer that could not be read of each prompt, or the one that is given."""
    for prompt in prompts:
        limit.check(answer or Unparsed("no label"), response, prompt, {"max_tokens": 16})


def test_empty_answers_end_the_run_and_say_what_to_raise() -> None:
    """Twenty answers without a text say the line that gives them room."""
    limit = UnreadLimit()
    check(limit, SPENT, ["a"] * 19)
    with pytest.raises(ps.RequestRefused) as caught:
        check(limit, SPENT, ["a"])
    assert str(caught.value) == (
        "the last 20 answers could not be read, the last an empty text (finish_reason length, 16 tokens): no label; "
        'give answers more room, which a model that reasons needs: request={"max_tokens": 4096} in the study, or as '
        "the prompt's parameters"
    )


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"max_completion_tokens": 16}, 'request={"max_completion_tokens": 4096}'),
        ({"max_tokens": None, "max_completion_tokens": 2000}, 'request={"max_completion_tokens": 8000}'),
        ({"max_tokens": 3000}, 'request={"max_tokens": 12000}'),
        ({}, 'request={"max_tokens": 4096}'),
    ],
)
def test_the_limit_that_the_study_uses_is_named(parameters: dict[str, Any], line: str) -> None:
    """The name of the limit is the one that the requests have, and its new value is well above the old one."""
    limit = UnreadLimit()
    for _ in range(19):
        limit.check(Unparsed("empty"), SPENT, "a", parameters)
    with pytest.raises(ps.RequestRefused) as caught:
        limit.check(Unparsed("empty"), SPENT, "a", parameters)
    assert line in str(caught.value)


def test_thinking_that_never_ends_counts_as_an_empty_answer(fake: InProcessExecutor) -> None:
    """A model whose answers are all cut off while it thinks ends the run, with few prompts too."""
    fake.answer = completion("<think>hm", finish_reason="length")
    with pytest.raises(ps.RequestRefused, match=r"the last 20 answers could not be read, .*: cut off while thinking"):
        study(fake, template=ps.Template('{{ choice("a", ["x", "y"]) }} {{ row.text }}')).run(200)
    assert fake.count < 40


@pytest.mark.parametrize(
    ("parameters", "line"),
    [({}, 'request={"max_tokens": 32768}'), ({"max_tokens": 16384}, 'request={"max_tokens": 65536}')],
)
def test_more_room_than_the_longest_answer_had_is_advised(parameters: dict[str, Any], line: str) -> None:
    """The advised limit is above the longest answer, also where a later one was short and no limit was sent."""
    limit = UnreadLimit()
    for tokens in [16384] + [12] * 18:
        usage = Usage(prompt_tokens=9, completion_tokens=tokens)
        limit.check(Unparsed("empty"), Response(finish_reason="length", usage=usage), "a", parameters)
    with pytest.raises(ps.RequestRefused) as caught:
        limit.check(Unparsed("empty"), SPENT, "a", parameters)
    assert line in str(caught.value)


def test_answers_that_are_cut_off_end_the_run_from_three_prompts_on() -> None:
    """A text that is cut off may be the prompt's doing, so that one or two prompts are not enough."""
    limit, hm = UnreadLimit(), Response(text="hm, let me\nthink", finish_reason="length")
    check(limit, hm, ["a"] * 30 + ["b"] * 30)
    with pytest.raises(ps.RequestRefused) as caught:
        check(limit, hm, ["c"])
    assert str(caught.value) == (
        "the last 61 answers could not be read, the last 'hm, let me think' (finish_reason length): no label; give "
        'answers more room, which a model that reasons needs: request={"max_tokens": 4096} in the study, or as the '
        "prompt's parameters"
    )


def test_complete_texts_of_another_form_do_not_end_a_run() -> None:
    """What the model says in its own words can be read by another answer form later, without another call."""
    check(UnreadLimit(), Response(text="hm", finish_reason="stop"), [f"prompt {number}" for number in range(100)])


def test_prompts_that_are_never_read_do_not_end_a_run_of_others() -> None:
    """Where another prompt is read, the search finds out by itself that some are not."""
    limit = UnreadLimit()
    check(limit, Response(text="yes"), ["good"], answer="yes")
    check(limit, SPENT, [f"bad {number}" for number in range(100)])
    check(limit, SPENT, ["good"] * 100)


def test_a_server_that_changes_ends_the_run() -> None:
    """Three prompts that were read before and are not any more end the run at twenty in a row."""
    limit = UnreadLimit()
    for prompt in "abc":
        check(limit, Response(text="yes"), [prompt], answer="yes")
    check(limit, SPENT, ["a", "b"] * 9)
    check(limit, Response(text="yes"), ["b"], answer="yes")
    other = Response(text="As an assistant", finish_reason="stop")
    check(limit, other, ["a", "b"] * 9 + ["c"])
    with pytest.raises(ps.RequestRefused) as caught:
        check(limit, other, ["c"])
    assert str(caught.value) == (
        "the last 20 answers could not be read, the last 'As an assistant' (finish_reason stop): no label; state the "
        "expected form in the prompt, or use another answer form"
    )


def test_pages_that_are_no_completions_end_a_run_that_had_answers() -> None:
    """A reply of a gateway is the road's fault: one prompt is enough, as for a server that is down."""
    limit = FailureLimit(answered=True)
    page = Response(error="malformed: the response is not JSON: <html>")
    for _ in range(19):
        limit.check(page, "a", {})
    with pytest.raises(ps.RequestRefused, match="the last 20 requests all failed, the last with malformed: "):
        limit.check(page, "a", {})


def test_a_refusal_that_names_nothing_ends_with_the_line_of_the_plainest_request(fake: InProcessExecutor) -> None:
    """A server that refuses every request without a word about why: the error has the line that leaves out what may be
    refused, and with that line the study runs."""

    def answer(body: Any) -> Any:
        return failure(400, "Invalid request.") if "temperature" in body else truth(body)

    fake.answer = answer
    with pytest.raises(ps.RequestRefused) as caught:
        study(fake).run(100)
    assert str(caught.value) == (
        "the first 10 requests all failed, the last with bad_request: http://fake.invalid/v1 answered 400 for fake: "
        'Invalid request.; fix the cause, or find it with request={"temperature": None, "max_tokens": None} in the '
        "study, which sends none of these parameters, then run it again"
    )
    assert study(fake, request={"temperature": None, "max_tokens": None}).run(100).verdict.rows


def test_a_study_of_a_model_that_only_reasons_ends_early(fake: InProcessExecutor, storage: str) -> None:
    """A run without room for answers ends after about twenty calls; resumed, it ends again without another call."""
    spent = completion("", finish_reason="length", usage={"prompt_tokens": 9, "completion_tokens": 16})
    spent["choices"][0]["message"]["content"] = None
    fake.answer = spent
    with pytest.raises(ps.RequestRefused, match=r'request=\{"max_tokens": 4096\}'):
        study(fake, storage=storage).run(300)
    sent = fake.count
    assert 20 <= sent <= 40
    with pytest.raises(ps.RequestRefused, match=r'request=\{"max_tokens": 4096\}'):
        study(fake, storage=storage).run(300)
    assert fake.count == sent
    with pytest.raises(ps.RequestRefused, match=r'request=\{"max_tokens": 4096\}'):
        ps.evaluate(ps.Prompt(source="{{ row.text }}"), DATA, model=fake.model(), executor=fake)
    assert fake.count <= sent + 40


def test_a_study_with_one_unreadable_prompt_goes_on(fake: InProcessExecutor) -> None:
    """Options whose answers are empty lose, and do not end the run."""
    template = ps.Template('{{ choice("style", ["care", "x", "y", "z"]) }} {{ row.text }}')
    fake.answer = lambda body: truth(body) if "care" in prompt_of(body) else completion("", finish_reason="length")
    result = study(fake, template=template).run(200)
    assert result.best.choices == {"style": "care"}


def test_a_wall_of_html_ends_the_run_soon(fake: InProcessExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten requests that only get pages end a run in which nothing was answered."""
    fake.answer = FakeResponse(body="<html>Sign in</html>")
    monkeypatch.setattr("prompt_search.llm.client.FIRST_WAIT_S", 0.0)
    prompt = ps.Prompt(source="{{ row.text }}")
    with pytest.raises(ps.RequestRefused, match=r"first 10 requests all failed, the last with malformed: .*Sign in"):
        ps.evaluate(prompt, DATA, model=fake.model(), executor=fake)


def test_a_run_in_which_nothing_is_answered_is_an_error(fake: InProcessExecutor) -> None:
    """However small the budget is, a run or a preflight without any answer ends with the last error and the cure."""
    limit = FailureLimit(answered=False)
    error = "budget: the budget of 5 calls is used up; the last attempt: http://x/v1 answered 429 for m: slow down"
    limit.saw(Response(error=error), {})
    with pytest.raises(ps.RequestRefused) as caught:
        limit.check_answered()
    assert str(caught.value) == (
        f"no request was answered, 1 failed, the last with {error}; the server limits how often it is asked: set "
        "requests_per_minute of ps.Model below its limit, or wait, then run it again"
    )
    limit.saw(Response(text="yes"), {})
    limit.check_answered()
    fake.answer = FakeResponse(body={"status": "ok"})
    with pytest.raises(ps.RequestRefused, match=r"^no request was answered, 5 failed, the last with malformed: "):
        study(fake).preflight(100)


def test_an_empty_answer_that_was_not_cut_off_needs_no_room() -> None:
    """A model that ends its answer at once is not told to get more tokens."""
    limit = UnreadLimit()
    ended = Response(finish_reason="stop", usage=Usage(prompt_tokens=9, completion_tokens=0))
    check(limit, ended, ["a"] * 19)
    with pytest.raises(ps.RequestRefused, match=r"the model ended its answer at once: check its chat template"):
        check(limit, ended, ["a"])
