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


@dataclass(frozen=True)
class Expected:
    """What a study learns of a server: number of refused requests by what was refused, and the answer forms left."""

    dialect: ServerDialect
    refusals: Mapping[str, int] = field(default_factory=dict)
    forms: str = "json tokens words"
    told: str = ""


LOGPROBS = "the parameter logprobs is refused"
NO_SYSTEM = "the system role is refused"
SERVERS: Mapping[str, Expected] = {
    "openai": Expected(DIALECTS["openai"]),
}

@pytest.mark.parametrize("dialect", VARIANTS.values(), ids=VARIANTS)
def test_study_ends_with_a_verdict_on_every_server(dialect: ServerDialect, storage: str) -> None:
    """A study of all answer forms ends with a verdict, repeats no refused request, and sends nothing a second time;
    the best prompt has the parameters that the server accepts."""
    with served(dialect) as server:
        result = study(server, storage).run(CALLS)
        assert result.verdict.rows >= 10
        assert 100 <= server.count <= CALLS
        assert result.calls_df()["attempts"].sum() == server.count
        of_rows = {"content filter", "context"}
        assert {what: n for what, n in server.refusals.items() if n > 2 and what not in of_rows} == {}
        sent = server.count
        assert_equal_results(study(server, storage).run(CALLS), result)
        assert server.count == sent
        parameters = result.best.parameters
        bodies = [body for body in server.bodies if {**body, **parameters} == body]
        assert any(len(body) == len(parameters) + 2 and dialect.refusal(body, dialect.query) is None for body in bodies)
