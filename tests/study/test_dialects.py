"""Studies on servers that speak the dialects of real ones: whole runs on real sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.testing import (
    DIALECTS,
    FakeServer,
    Faults,
    ServerDialect,
    azure,
    gemma,
    llama_cpp,
    openai_reasoning,
    truth_model,
    vllm,
)
from tests.conftest import executed
from tests.study.examples import assert_equal_results

CALLS = 120
KINDS = ["billing", "delivery", "returns"]
ROWS = [{"text": f"case {i} of {KINDS[i % 3][:4]}", "label": KINDS[i % 3]} for i in range(90)]
DATA = ps.Dataset(pd.DataFrame(ROWS), target="label")
FORMS = {
    "words": ps.Label(DATA.labels),
    "tokens": ps.Label(DATA.labels, mode="logprobs", top_logprobs=50),
    "json": ps.Label(DATA.labels, mode="json"),
}
TRUTH = truth_model({row["text"]: row["label"] for row in ROWS}, lambda wording: 0.85 if "careful" in wording else 0.7)


def served(dialect: str | ServerDialect, **settings: Any) -> FakeServer:
    return FakeServer(TRUTH, dialect=dialect, **settings)


def study(server: FakeServer, storage: str | None = None, **settings: Any) -> ps.Study:
    given: Mapping[str, Any] = {
        "template": ps.Template.read("classify"),
        "data": DATA,
        "answer": ps.choice(FORMS),
        "model": server.model(),
        "storage": storage,
    }
    return ps.Study(**{**given, **settings})


def forms_tried(result: ps.Result) -> set[str]:
    """The answer forms of the candidates that were not closed."""
    trials = result.trials_df()
    return set(trials.loc[trials["state"] != "failed", "answer"])


def errors(result: ps.Result) -> set[str]:
    """The kinds of errors of calls."""
    return {error.partition(":")[0] for error in result.calls_df()["error"].dropna()}


@dataclass(frozen=True)
class Expected:
    """What a study learns of a server: number of refused requests by what was refused, and the answer forms left."""

    dialect: ServerDialect
    refusals: Mapping[str, int] = field(default_factory=dict)
    forms: str = "json tokens words"
    told: str = ""


LOGPROBS = "the parameter logprobs is refused"
IGNORED = "the parameter logprobs is ignored"
SCHEMA = 'response_format = "json_schema" is refused'
SYSTEM = "the system role is refused"
RENAMED = "max_tokens is sent as max_completion_tokens"
COLD = "temperature is not sent"
ROOM = "max_completion_tokens is at least 1,024"

SERVERS: Mapping[str, Expected] = {
    "openai": Expected(DIALECTS["openai"]),
    "openai-reasoning": Expected(
        DIALECTS["openai-reasoning"],
        {"max_tokens": 1, "temperature": 1, "logprobs": 1},
        "json words",
        f"{RENAMED}; {COLD}; {ROOM}; {LOGPROBS}",
    ),
    "azure": Expected(DIALECTS["azure"]),
    "openrouter": Expected(DIALECTS["openrouter"], {"top_logprobs": 1}, told="top_logprobs is at most 20"),
    "groq": Expected(DIALECTS["groq"], {"json_schema": 1, "logprobs": 1}, "words", f"{SCHEMA}; {LOGPROBS}"),
    "mistral": Expected(DIALECTS["mistral"], {"extra": 1}, "json words", LOGPROBS),
    "deepseek": Expected(
        DIALECTS["deepseek"],
        {"json_schema": 1, "top_logprobs": 1},
        "tokens words",
        f"max_tokens is at least 1,024; {SCHEMA}; top_logprobs is at most 20",
    ),
    "gemini": Expected(DIALECTS["gemini"], {"logprobs": 1}, "json words", LOGPROBS),
    "anthropic": Expected(DIALECTS["anthropic"], {}, "json words", IGNORED),
    "vllm": Expected(DIALECTS["vllm"], {"top_logprobs": 1}, told="top_logprobs is at most 20"),
    "vllm that gives five": Expected(vllm(5), {"top_logprobs": 1}, told="top_logprobs is at most 5"),
    "llama.cpp": Expected(DIALECTS["llama.cpp"]),
    "gemma": Expected(DIALECTS["gemma"], {"system": 1}, told=SYSTEM),
    "gemma on vllm": Expected(gemma("vllm"), {"system": 1}, told=SYSTEM),
    "ollama": Expected(DIALECTS["ollama"], {}, "json words", IGNORED),
    "litellm": Expected(
        DIALECTS["litellm"],
        {"temperature": 1, "max_tokens": 1, "logprobs": 1},
        "json words",
        f"{COLD}; {RENAMED}; {ROOM}; {LOGPROBS}",
    ),
}


@pytest.mark.parametrize("expected", SERVERS.values(), ids=SERVERS)
@pytest.mark.system
def test_study_ends_with_a_verdict_on_every_server(expected: Expected, storage: str) -> None:
    """A study of all answer forms ends with a verdict, asks once for what is refused, says what it learned, and sends
    nothing a second time; the best prompt has the parameters as they are sent."""
    with served(expected.dialect) as server:
        result = study(server, storage).run(CALLS)
        assert result.verdict.rows >= 10
        assert 100 <= server.count <= CALLS
        assert result.calls_df()["attempts"].sum() == server.count
        assert server.refusals == expected.refusals
        assert forms_tried(result) == set(expected.forms.split())
        told = result.headline.splitlines()[-1]
        assert (f"The server of fake differs: {expected.told}." == told) if expected.told else "differs" not in told
        sent = server.count
        assert_equal_results(study(server, storage).run(CALLS), result)
        assert server.count == sent
        assert_sent_as_exported(server, result)


def assert_sent_as_exported(server: FakeServer, result: ps.Result) -> None:
    """Requests with exactly the parameters of the exported best prompt were sent, and are accepted."""
    exported = executed(result.best)["PARAMETERS"]
    assert exported == result.best.parameters
    own = {"model", "messages"}
    sent = [body for body in server.bodies if {k: v for k, v in body.items() if k not in own} == exported]
    assert len(sent) >= 10
    assert server.dialect.refusal(sent[-1], server.dialect.query) is None


@pytest.mark.parametrize(
    ("dialect", "what"),
    [(azure(filtered=["case 1"]), "content filter"), (llama_cpp(context=60), "context")],
)
def test_refused_rows_close_nothing(dialect: ServerDialect, what: str) -> None:
    """Rows or shots that a server refuses count against the prompts that have them, and close no option."""
    with served(dialect) as server:
        result = study(server).run(CALLS)
        assert set(server.refusals) == {what}
        assert not result.trials_df()["reason"].str.startswith("closed").any()
        assert "differs" not in result.headline
        assert result.verdict.rows >= 10


@pytest.mark.parametrize(("dialect", "sent"), [("groq", "json_object"), ("deepseek", "json_object")])
def test_json_without_a_schema_where_no_option_avoids_it(dialect: str, sent: str) -> None:
    """Where every candidate wants a schema that the server refuses, JSON of any form is asked for."""
    with served(dialect) as server:
        result = study(server, answer=FORMS["json"]).run(CALLS)
        assert server.refusals == {"json_schema": 1}
        assert result.best.parameters["response_format"] == {"type": sent}
        assert result.verdict.rows >= 10


ENDS = """{% if choice("style", ["ask", "prefill"]) == "prefill" %}
{% chat role="user" %}{{ choice("task", ["Classify.", "Be careful."]) }} {{ row.text }}{% endchat %}
{% chat role="assistant" %}Label of {{ row.text }}{% endchat %}
{% else %}{{ choice("task", ["Classify.", "Be careful."]) }} {{ row.text }}{% endif %}"""


@pytest.mark.parametrize("dialect", ["mistral", "anthropic"])
def test_begun_answer_is_closed_where_it_is_refused(dialect: str) -> None:
    """An option that begins the assistant's answer is closed after one refused request."""
    with served(dialect) as server:
        result = study(server, template=ps.Template(ENDS), answer=FORMS["words"]).run(CALLS)
        assert server.refusals == {"last assistant": 1}
        trials = result.trials_df()
        assert set(trials.loc[trials["state"] != "failed", "style"]) == {"ask"}
        assert trials["reason"].str.startswith("closed: the server refuses a last message from the assistant").any()


REPEATED = """{% if choice("style", ["one", "two"]) == "two" %}
{% chat role="user" %}{{ choice("task", ["Classify.", "Be careful."]) }}{% endchat %}
{% chat role="user" %}{{ row.text }}{% endchat %}
{% else %}{{ choice("task", ["Classify.", "Be careful."]) }} {{ row.text }}{% endif %}"""


@pytest.mark.parametrize("engine", ["llama.cpp", "vllm"])
def test_roles_that_do_not_alternate_are_closed(engine: str) -> None:
    """An option with two messages of one role in a row is closed where the chat template takes none."""
    with served(gemma(engine)) as server:
        result = study(server, template=ps.Template(REPEATED), answer=FORMS["words"]).run(CALLS)
        assert server.refusals == {"alternate": 1}
        assert result.headline.splitlines()[-1] == (
            "The server of fake differs: two messages in a row from one role is refused."
        )


@pytest.mark.parametrize("dialect", ["groq", "gemini"])
def test_waits_given_in_response_bodies_are_kept(dialect: str) -> None:
    """A server that says in its error when to come again gets every request, and no request fails."""
    with served(dialect, requests_per_minute=20, minute_s=0.2) as server:
        result = study(server, answer=FORMS["words"]).run(CALLS)
        assert server.statuses[429] > 0
        assert errors(result) <= {"budget"}
        assert result.calls_df()["attempts"].sum() == server.count


@pytest.mark.system
def test_failures_inside_of_answers_are_sent_again() -> None:
    """A failure that OpenRouter sends as a success is tried again, and counts as no answer."""
    with served("openrouter", faults=Faults(server_error=0.1)) as server:
        result = study(server, answer=FORMS["words"]).run(CALLS)
        assert server.faults_made["server_error"] > 0
        assert set(server.statuses) == {200}
        assert errors(result) <= {"budget"}
        assert result.calls_df()["attempts"].sum() == server.count


def test_long_thought_gets_more_room() -> None:
    """A model that thinks for more than the first room is given more, until its answers end."""
    with served(openai_reasoning(thought=1500)) as server:
        result = study(server, answer=FORMS["words"]).run(CALLS)
        assert result.best.parameters["max_completion_tokens"] in (4096, 16384)
        assert result.samples_df()["finish_reason"].eq("length").sum() <= 4
        assert result.calls_df()["reasoning_tokens"].max() <= 1500
        assert result.verdict.rows >= 10
