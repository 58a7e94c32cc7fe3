"""Studies on servers that refuse parameters, roles and formats."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused
from prompt_search.testing.responses import FakeAnswer, FakeResponse
from tests.conftest import Body, FakeServer, InProcessExecutor, completion, prompt_of
from tests.study.examples import DATA, assert_equal_results, study, truth

SOURCE = """{% if choice("place", ["user", "system"]) == "system" %}
{% chat role="system" %}{{ choice("instruction", ["Classify.", "Decide with care."]) }}{% endchat %}
{% chat role="user" %}Text: {{ row.text }}{% endchat %}
{% else %}{{ choice("instruction", ["Classify.", "Decide with care."]) }} Text: {{ row.text }}{% endif %}"""

FORMS = ps.choice(
    {
        "text": ps.Label(DATA.labels),
        "json": ps.Label(DATA.labels, mode="json"),
        "logprobs": ps.Label(DATA.labels, mode="logprobs"),
    }
)


def refuse(message: str, status: int = 400, **fields: Any) -> FakeResponse:
    return FakeResponse(status=status, body={"error": {"message": message, **fields}})


class ReasoningModel:
    """A model that thinks before it answers, on a server that refuses much of what is asked of it."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()

    def __call__(self, body: Body) -> FakeAnswer:
        refusal = self._refusal(body)
        if refusal is not None:
            self.refusals[refusal[0]] += 1
            return refusal[1]
        if body["max_completion_tokens"] < 300:
            usage = {"prompt_tokens": 50, "completion_tokens": body["max_completion_tokens"]}
            return completion("", finish_reason="length", usage=usage)
        return truth(body)

    def _refusal(self, body: Body) -> tuple[str, FakeResponse] | None:
        if "max_tokens" in body:
            return "max_tokens", refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            said = "Unsupported value: 'temperature' does not support 0 with this model."
            return "temperature", refuse(said, param="temperature", code="unsupported_value")
        if "logprobs" in body:
            return "logprobs", refuse("logprobs are not supported with reasoning models")
        if "response_format" in body:
            return "response_format", refuse("This response_format type is unavailable now")
        if any(message["role"] == "system" for message in body["messages"]):
            return "system", refuse("Jinja Exception: System role not supported", 500)
        return None


def refusing(fake: InProcessExecutor | FakeServer, storage: str | None = None, **settings: Any) -> ps.Study:
    return study(fake, storage, template=ps.Template(SOURCE), **{"answer": FORMS, **settings})


def test_refused_options_are_closed_and_the_study_ends_with_a_verdict(fake: InProcessExecutor) -> None:
    """Each thing that the server refuses is asked for once; options with it are closed, with the reason."""
    model = fake.answer = ReasoningModel()
    result = refusing(fake).run(120)
    assert model.refusals == {"max_tokens": 1, "temperature": 1, "logprobs": 1, "response_format": 1, "system": 1}
    assert result.verdict.rows >= 10
    assert result.calls_df()["attempts"].sum() == fake.count <= 120
    trials = result.trials_df()
    failed = trials[trials["state"] == "failed"]
    assert set(failed["reason"].str.extract(r"refuses ([^(]*) \(")[0]) >= {"the parameter logprobs", "the system role"}
    assert failed["score"].isna().all()
    assert set(trials.loc[trials["state"] != "failed", "answer"]) == {"text"}
    assert set(trials.loc[trials["state"] != "failed", "place"]) == {"user"}
    assert result.best.parameters == {"max_completion_tokens": 1024}
    assert result.headline.splitlines()[-1].startswith(
        "The server of fake differs: max_tokens is sent as max_completion_tokens; temperature is not sent; "
    )


def test_finished_study_sends_no_refused_request_again(fake: InProcessExecutor, storage: str) -> None:
    """The same line gives the same result, without a request; a larger budget repeats no refused one."""
    model = fake.answer = ReasoningModel()
    result = refusing(fake, storage).run(120)
    sent, refused = fake.count, model.refusals.copy()
    assert_equal_results(refusing(fake, storage).run(120), result)
    assert fake.count == sent
    refusing(fake, storage).run(150, retry_errors=True)
    assert sent < fake.count <= 150
    assert model.refusals == refused


@pytest.mark.parametrize("after", [1, 2, 4, 9, 60])
def test_interrupted_study_repeats_no_refused_request(fake: InProcessExecutor, storage: str, after: int) -> None:
    """A study that was stopped at any time goes on as it would have, and repeats nothing that was refused."""
    model = fake.answer = ReasoningModel()
    expected = refusing(fake).run(120)
    refused, sent = model.refusals.copy(), fake.count
    model.refusals.clear()

    def stop(body: Body) -> FakeAnswer:
        if fake.count - sent > after:
            raise ConnectionError("the end")
        return model(body)

    fake.answer = stop
    with pytest.raises(ConnectionError):
        refusing(fake, storage, max_concurrency=1).run(120)
    fake.answer = model
    assert_equal_results(refusing(fake, storage).run(120), expected)
    assert model.refusals == refused


def test_default_is_replaced_where_the_server_refuses_it(fake: InProcessExecutor) -> None:
    """Where the first options are refused, the most similar candidate that the server takes is the default."""
    model = fake.answer = ReasoningModel()
    source = SOURCE.replace('["user", "system"]', '["system", "user"]')
    result = study(fake, template=ps.Template(source)).run(100)
    assert model.refusals["system"] == 1
    trials = result.trials_df().set_index("trial")
    assert trials.loc[0, "place"] == "user"
    assert trials.loc[0, "instruction"] == "Classify."
    refused = trials[trials["state"] == "failed"]
    reason = "closed: the server refuses the system role (Jinja Exception: System role not supported)"
    assert refused["reason"].tolist() == [reason]
    assert refused["place"].tolist() == ["system"]
    assert result.verdict.rows >= 10


def test_format_that_no_option_avoids_is_left_out(fake: InProcessExecutor) -> None:
    """Where every candidate has a response format that the server refuses, requests do without it."""
    forms = ps.Label(DATA.labels, mode="json")
    model = ReasoningModel()

    def answer(body: Body) -> FakeAnswer:
        said = model(body)
        return json.dumps({"label": said}) if isinstance(said, str) else said

    fake.answer = answer
    result = refusing(fake, answer=forms).run(100)
    assert model.refusals["response_format"] == 2  # the schema, and JSON of any form
    assert result.best.parameters == {"max_completion_tokens": 1024}
    assert result.verdict.rows >= 10


def test_role_that_no_option_avoids_ends_the_run_with_the_cure(fake: InProcessExecutor) -> None:
    """Where every candidate has a role that the server refuses, the run ends after one request for it, and says why."""
    model = fake.answer = ReasoningModel()
    source = '{% chat role="system" %}Classify.{% endchat %}{% chat role="user" %}{{ row.text }}{% endchat %}'
    with pytest.raises(
        RequestRefused,
        match=r"the server refuses the system role \(Jinja .*\), and every candidate has it; put the instructions into",
    ):
        study(fake, template=ps.Template(source)).run(100)
    assert model.refusals["system"] == 1


def test_evaluation_does_without_what_is_refused(fake: InProcessExecutor) -> None:
    """One prompt is scored on all rows, without what the server refuses of its requests."""
    model = fake.answer = ReasoningModel()
    prompt = ps.Prompt(source="Decide with care: {{ row.text }}")
    scored = ps.evaluate(prompt, DATA, model=fake.model(), executor=fake)
    assert scored.score == 1.0
    assert len(scored.scores) == len(DATA)
    assert model.refusals == {"max_tokens": 1, "temperature": 1}
    assert scored.prompt.parameters == {"max_completion_tokens": 1024}
    with pytest.raises(RequestRefused, match=r"the parameter logprobs .*; use an answer form that needs no log"):
        ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, answer=ps.Label(DATA.labels, mode="logprobs"))


def test_option_that_refuses_rows_is_not_closed(fake: InProcessExecutor) -> None:
    """A server that refuses some rows of a prompt for their content closes no option."""

    def answer(body: Body) -> FakeAnswer:
        return refuse("cannot process this text") if "number 1" in prompt_of(body) else truth(body)

    fake.answer = answer
    result = refusing(fake, answer=ps.Label(DATA.labels)).run(100)
    assert not result.trials_df()["reason"].str.startswith("closed").any()
    assert result.verdict.rows >= 10


LONG_ROW = re.compile(r"number \d*[37]\b")
TOO_SMALL = "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead."


class Rules:
    """A server that refuses requests by rules, each with a name; it counts refusals."""

    def __init__(self, **rules: Callable[[Body], FakeResponse | None]) -> None:
        self.rules = rules
        self.refusals: Counter[str] = Counter()

    def __call__(self, body: Body) -> FakeAnswer:
        for name, rule in self.rules.items():
            refused = rule(body)
            if refused is not None:
                self.refusals[name] += 1
                return refused
        if body.get("logprobs"):
            right = truth(body)
            return completion(right, prompt_of(body), {right: -0.1})
        return json.dumps({"label": truth(body)}) if "response_format" in body else truth(body)


def above(limit: int, said: str) -> Callable[[Body], FakeResponse | None]:
    """A rule for log-probabilities of too many tokens."""
    return lambda body: refuse(said) if body.get("top_logprobs", 0) > limit else None


def without(name: str, said: str) -> Callable[[Body], FakeResponse | None]:
    """A rule for a parameter that is refused as a whole."""
    return lambda body: refuse(said) if name in body else None


MANY = {
    "text": ps.Label(DATA.labels),
    "logprobs": ps.Label(DATA.labels, mode="logprobs", top_logprobs=200),
}


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            {
                "one": without("max_tokens", "Unknown parameter: 'max_tokens'."),
                "other": without("max_completion_tokens", "Unknown parameter: 'max_completion_tokens'."),
            },
            "max_tokens is sent as max_completion_tokens; max_completion_tokens is not sent.",
        ),
        (
            {
                "first": above(20, "top_logprobs must be <= 20"),
                "second": above(5, "Requested sample logprobs of 20, which is greater than max allowed: 5"),
            },
            "top_logprobs is at most 5.",
        ),
        (
            {"none": above(0, "Requested sample logprobs of 200, which is greater than max allowed: 0")},
            "the parameter logprobs is refused.",
        ),
        (
            {"small": lambda body: refuse(TOO_SMALL) if body["max_tokens"] < 16 else None},
            "max_tokens is at least 16.",
        ),
    ],
)
def test_each_refusal_costs_one_call_whatever_comes_of_it(
    fake: InProcessExecutor, storage: str, rules: dict[str, Callable[[Body], FakeResponse | None]], told: str
) -> None:
    """What is refused twice, by two names or in two steps, costs two calls; a resumed and a larger run repeat none."""
    server = fake.answer = Rules(**rules)
    result = refusing(fake, storage, answer=ps.choice(MANY)).run(150)
    assert result.headline.splitlines()[-1] == f"The server of fake differs: {told}"
    assert server.refusals == dict.fromkeys(rules, 1)
    sent = fake.count
    assert_equal_results(refusing(fake, storage, answer=ps.choice(MANY)).run(150), result)
    assert fake.count == sent
    refusing(fake, storage, answer=ps.choice(MANY)).run(190)
    assert server.refusals == dict.fromkeys(rules, 1)


@pytest.mark.parametrize("said", ["不支持 system 角色", "Invalid request."])
def test_option_that_is_refused_without_a_reason_has_no_score(fake: InProcessExecutor, said: str) -> None:
    """Where two refusals in the same words show what is refused, they are the option's fault, not the prompt's."""
    server = fake.answer = Rules(system=lambda body: refuse(said) if body["messages"][0]["role"] == "system" else None)
    result = refusing(fake).run(150)
    trials = result.trials_df()
    closed = trials[trials["reason"].str.startswith("closed: the server refuses the system role")]
    assert len(closed) == 1
    assert closed["score"].isna().all()
    assert closed["estimate"].isna().all()
    assert server.refusals == {"system": 2}


def test_one_row_that_is_too_long_bounds_no_other_answer(fake: InProcessExecutor) -> None:
    """A refusal of vLLM that quotes the limit of the answer says something about the row alone."""
    said = (
        "'max_tokens' or 'max_completion_tokens' is too large: 64. This model's maximum context length is 4096 tokens "
        "and your request has 4070 input tokens (64 > 4096 - 4070)."
    )
    server = fake.answer = Rules(long=lambda body: refuse(said) if LONG_ROW.search(prompt_of(body)) else None)
    result = refusing(fake).run(150)
    assert server.refusals["long"] > 1
    assert "differs" not in result.headline
    assert result.calls_df()["error"].dropna().str.startswith("context_length: ").all()
    assert result.best.parameters["max_tokens"] in (16, 64)


def test_study_whose_answers_are_stored_already_is_not_ended_by_what_fails(
    fake: InProcessExecutor, storage: str
) -> None:
    """A second study sends only what the first one got no answer to; these failures in a row do not end it."""
    withheld = completion("", finish_reason="content_filter")
    fake.answer = lambda body: withheld if zlib.crc32(prompt_of(body).encode()) % 4 == 0 else truth(body)
    first = refusing(fake, storage, answer=MANY["text"]).run(200)
    again = refusing(fake, storage, answer=MANY["text"], name="again").run(200)
    assert again.verdict == first.verdict
    assert first.calls_df()["error"].notna().sum() > 10
