"""Studies with an objective: what the search maximizes, who is sent no call, and what the result says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from tests.conftest import Body, FakeServer, InProcessExecutor, completion, prompt_of
from tests.study.examples import assert_equal_results

LONG = "Decide with care." + " Read every word of it twice." * 12
MIDDLE = "Which kind is it?" + " Think first." * 12
SOURCE = f"""{{{{ choice("instruction", ["Classify.", {MIDDLE!r}, {LONG!r}]) }}}}
{{{{ choice("tone", ["", "Be brief.", "Be exact."]) }}}}
Text: {{{{ row.text }}}}
{{{{ choice("cue", ["Label:", "Answer:"]) }}}}"""
ROWS = [(f"{'good' if i % 2 else 'bad'} thing number {i}", "positive" if i % 2 else "negative") for i in range(80)]
DATA = ps.Dataset(pd.DataFrame(ROWS, columns=["text", "label"]), target="label")
PRICE = ps.Price(prompt=1.0, completion=1.0)


def truth(body: Body) -> str:
    """Always right with the long instruction, in nine of ten rows with the middle one, else in six."""
    prompt = prompt_of(body)
    number = int(next(line for line in prompt.splitlines() if line.startswith("Text:")).split()[-1])
    right = number % 10 < (10 if "care" in prompt else 9 if "kind" in prompt else 6)
    return ["negative", "positive"][(number % 2) ^ (not right)]


def study(fake: InProcessExecutor | FakeServer, objective: ps.Objective | None, **settings: Any) -> ps.Study:
    executor = fake if isinstance(fake, InProcessExecutor) else None
    given = {"model": fake.model(price=PRICE), "executor": executor, **settings}
    return ps.Study(template=ps.Template(SOURCE), data=DATA, objective=objective, **given)


def instructions(result: ps.Result) -> set[str]:
    """The instructions of which something was sent."""
    frame = result.trials_df()
    return {str(text).split()[0] for text in frame.loc[frame["rows"] > 0, "instruction"]}


def test_a_cap_keeps_calls_from_long_prompts() -> None:
    """The best prompt under the cap wins; of those that are expected to be over it none gets a call, and the table of
    trials says why."""
    executor = InProcessExecutor(truth)
    result = study(executor, ps.Objective(max_prompt_tokens=60)).run(300)
    frame = result.trials_df()
    assert frame.set_index("trial").loc[result.best_trial, "instruction"] == MIDDLE
    assert result.cap == "under"
    long = frame[frame["instruction"] == LONG]
    assert len(long)
    assert set(long["rows"]) <= {0, 5}  # the words of the first prompt are longer, so that little is known at first
    assert (
        long["reason"].str.match(r"over the cap(: about|  ?after 5 rows:) [\d.]+ prompt tokens a row, at most 60").all()
    )
    assert "Prompt tokens a row: " in result.headline
    assert "with the winner (under the cap of 60), " in result.headline
    assert set(result.pareto_df()["cap"]) <= {"under", "over", "not known"}


def test_weights_trade_score_for_cost() -> None:
    """With a high price of tokens the cheap prompt stays, and the verdict, the effects and the headline are about the
    value; the scores beside it are those of the metric."""
    result = study(InProcessExecutor(truth), ps.Objective(tokens=10)).run(240)
    frame = result.trials_df().set_index("trial")
    assert frame.loc[result.best_trial, "instruction"] == "Classify."
    assert float(frame["estimate"][result.best_trial]) < float(frame["score"][result.best_trial]) - 0.05
    effects = result.effects_df().set_index("option")["estimate"]
    assert effects[LONG] < effects["Classify."]
    cheap = study(InProcessExecutor(truth), ps.Objective(tokens=0.01)).run(240)
    assert cheap.trials_df().set_index("trial").loc[cheap.best_trial, "instruction"] != "Classify."
    assert "by the objective, score - 0.01 x (1,000 tokens a row): " in cheap.headline
    assert "Its score alone is " in cheap.headline
    assert cheap.verdict.difference == pytest.approx(cheap.test_value(cheap.best_trial).mean - cheap.test_value(0).mean)


def test_without_an_objective_nothing_changes() -> None:
    """None, and an objective of the score alone, send the same requests and give the same result."""
    first, second = InProcessExecutor(truth), InProcessExecutor(truth)
    before, after = study(first, None).run(160), study(second, ps.Objective()).run(160)
    assert_equal_results(before, after)
    assert [prompt_of(body) for body in first.bodies] == [prompt_of(body) for body in second.bodies]
    assert "objective" not in after.identity
    assert before.cap is None


def test_no_prompt_meets_the_cap(tmp_path: Path) -> None:
    """The run ends with the default prompt, says that no prompt meets the cap, and sends few calls; the report says
    so, too."""
    executor = InProcessExecutor(truth)
    result = study(executor, ps.Objective(max_prompt_tokens=3)).run(300)
    assert result.cap == "over"
    none = "No prompt that was tried meets the cap of 3 prompt tokens a row: the best one found, trial 0, is over it."
    assert result.headline.startswith(f"study: {none}")
    assert executor.count < 100
    report = result.report(tmp_path / "report.md").read_text()
    assert "Raise the cap, or give the template shorter options" in report


def test_the_default_may_be_over_the_cap(tmp_path: Path) -> None:
    """It stays the baseline; the winner is under the cap, and the report says to ship it."""
    source = SOURCE.replace('["Classify.", ', "[").replace(f"{MIDDLE!r}, {LONG!r}", f"{LONG!r}, {MIDDLE!r}")
    executor = InProcessExecutor(truth)
    given = study(executor, ps.Objective(max_prompt_tokens=60)).replace(template=ps.Template(source))
    result = given.run(300)
    default = result.trials_df().iloc[0]
    assert default["state"] == "pruned"
    assert default["reason"].endswith("prompt tokens a row, at most 60; it stays the baseline")
    assert result.best_trial != 0
    assert result.cap_of(0) == "over"
    assert result.test_score(0).rows == result.verdict.rows > 1
    html = result.report(tmp_path / "report.html").read_text()
    assert "it is under the cap, which the default prompt is not" in html
    assert 'class="cap"' in html


def test_a_resumed_study_is_the_same(tmp_path: Path) -> None:
    """A study that was interrupted goes on to the result that it would have had, also when dollars decide."""
    objective = ps.Objective(cost=0.3, max_usd_per_1000=0.07)
    whole = study(InProcessExecutor(truth), objective).run(200)
    storage = str(tmp_path / "study.db")
    with pytest.raises(ps.RunError):
        study(InProcessExecutor(truth, fail_after=70), objective, storage=storage).run(200)
    resumed = study(InProcessExecutor(truth), objective, storage=storage).run(200)
    assert_equal_results(whole, resumed)
    assert ps.open_result(storage).objective == objective
    with pytest.raises(ps.StudyError, match="objective"):
        study(InProcessExecutor(truth), None, storage=storage).run(200)


def test_dollars_need_a_price() -> None:
    """An objective in dollars for a model without a price is refused before anything is sent."""
    executor = InProcessExecutor(truth)
    for objective in (ps.Objective(cost=0.1), ps.Objective(max_usd_per_1000=1)):
        with pytest.raises(ps.InputError, match=r"^an objective in US dollars needs prices, but the price of fake is"):
            study(executor, objective, model=executor.model()).run(100)
    assert executor.count == 0


def test_a_server_that_does_not_count(server: FakeServer) -> None:
    """Where no response says how many tokens a prompt has, the run ends in one line; what was answered is stored."""
    server.answer = lambda body: {**completion(truth(body)), "usage": None}
    with pytest.raises(ps.RunError, match=r"^the objective is about prompt tokens a row, but no response says"):
        study(server, ps.Objective(max_prompt_tokens=60)).run(100)
    assert 0 < server.count < 20


def test_rescored_and_cross_fitted(tmp_path: Path) -> None:
    """A stored study can be read again by an objective, and folds are compared by values."""
    storage = str(tmp_path / "study.db")
    study(InProcessExecutor(truth), None, storage=storage).run(120)
    again = study(InProcessExecutor(truth), ps.Objective(tokens=1), storage=storage).rescore()
    assert again.weighs_costs
    assert instructions(again)
    folds = study(InProcessExecutor(truth), ps.Objective(tokens=0.5)).cross_fit(240, 2)
    assert "by the objective, score - 0.5 x (1,000 tokens a row)" in folds.headline
