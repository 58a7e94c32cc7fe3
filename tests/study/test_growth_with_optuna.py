"""Growth beside Optuna, whose choices cannot change: its samplers, its pruners, and what its dashboard reads."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

import prompt_search as ps
from tests.conftest import Body, InProcessExecutor, prompt_of
from tests.study.examples import SOURCE, study, truth

GROWING = SOURCE.replace('"Which?"]', '"Which?"], grow="tells the model what to do"')


@pytest.fixture
def proposing(fake: InProcessExecutor) -> InProcessExecutor:
    """Each proposal is another text that makes the model right."""

    def answer(body: Body) -> str:
        prompt = prompt_of(body)
        return f"<option>Weigh {len(prompt)} with care.</option>" if "<option>" in prompt else truth(body)

    fake.answer = answer
    return fake


def run(fake: InProcessExecutor, storage: str | None = None, **given: Any) -> ps.Result:
    made = study(fake, storage, template=ps.Template(GROWING), proposer=fake.model(), **given)
    result = made.run(300)
    assert result.proposals_df()["accepted"].any()
    assert "Weigh" in str(result.trials_df()["instruction"].tolist())
    return result


@pytest.mark.parametrize(
    "given",
    [
        {"sampler": optuna.samplers.TPESampler(seed=0)},
        {"sampler": optuna.samplers.RandomSampler(seed=0)},
        {"pruner": optuna.pruners.SuccessiveHalvingPruner(min_resource=10)},
    ],
    ids=["tpe", "random", "pruner"],
)
@pytest.mark.system
def test_samplers_and_pruners_search_a_space_that_grows(proposing: InProcessExecutor, given: Any) -> None:
    """A sampler suggests options that were written by hand; those that were proposed enter beside them."""
    result = run(proposing, **given)
    assert result.finished
    assert result.lineage()["operator"].tolist()[-1] == "by hand"


@pytest.mark.system
def test_a_dashboard_reads_a_study_that_grows(proposing: InProcessExecutor, storage: str) -> None:
    """While it runs, and in the end with all its options."""
    result = run(proposing, storage, mirror="live")
    frame = result.optuna_study.trials_dataframe()
    assert len(frame) == len(result.trials_df())
    assert frame["params_instruction"].astype(str).str.contains("weigh").any()
