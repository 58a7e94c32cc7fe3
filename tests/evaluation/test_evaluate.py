"""One prompt on labelled rows."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import StorageError, TemplateError
from prompt_search.storage.store import Store
from tests.conftest import InProcessExecutor, prompt_of
from tests.study.examples import DATA, leaning, study, truth


def test_one_prompt_is_scored(fake: InProcessExecutor, storage: str) -> None:
    """`evaluate` scores on all rows or some, asks as exported, and finds stored responses again."""
    fake.answer = truth
    prompt = ps.Prompt(source="Decide with care. {{ row.text }}")
    found = ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, storage=storage)
    assert (found.score, len(found.scores), found.errors, found.unparsed) == (1.0, 60, 0, 0)
    assert found.interval[0] > 0.9
    assert found.samples_df()["split"].unique().tolist() == ["evaluation"]
    assert repr(found).startswith("Evaluation: 1.000 (0.9")
    assert fake.bodies[0]["temperature"] == 0
    again = ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, rows=[3, 5], storage=storage)
    assert (fake.count, len(again.scores)) == (60, 2)
    assert again.samples_df()["cached"].all()


def test_exported_prompt_is_asked_as_it_was_scored(fake: InProcessExecutor, tmp_path: Path) -> None:
    """The very requests of the study are sent again: parameters dropped there stay dropped."""
    fake.answer = truth
    result = study(fake, request={"temperature": None, "max_tokens": None, "max_completion_tokens": 7}).run(30)
    asked = {json.dumps(body, sort_keys=True) for body in fake.bodies}
    prompt = ps.Prompt.read(result.baseline.export(tmp_path / "best.json"))
    samples = result.samples_df()
    row = int(samples[samples["trial"] == 0]["row"].iloc[0])
    fake.bodies.clear()
    ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, rows=[row])
    assert json.dumps(fake.bodies[0], sort_keys=True) in asked


def test_another_answer_form_brings_its_parameters(fake: InProcessExecutor) -> None:
    """An exported prompt asked with another answer form does not keep the parameters of the old one."""
    labels = DATA.labels
    old = ps.Label(labels, "logprobs")
    prompt = ps.Prompt(
        source="{{ row.text }}", parameters={"temperature": 0.5, **old.parameters}, answer=old.to_dict(), model="x"
    )
    ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, answer=ps.Label(labels), rows=[0])
    (body,) = fake.bodies
    assert {key: body[key] for key in body if key not in ("messages", "model")} == {
        "temperature": 0.5,
        "max_tokens": 16,
    }


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([60], "rows must be positions from 0 to 59, got 60; correct it"),
        ([-1], "rows must be positions from 0 to 59, got -1; correct it"),
        ([3, 3], "rows must not repeat a position; give each once"),
    ],
)
def test_wrong_rows_are_told(fake: InProcessExecutor, rows: list[int], told: str) -> None:
    """Positions outside the data, or twice, are refused before any call."""
    with pytest.raises(ps.InputError, match=told):
        ps.evaluate(ps.Prompt(source="{{ row.text }}"), DATA, model=fake.model(), executor=fake, rows=rows)
    assert fake.count == 0


def test_table_is_read_from_the_storage_when_it_is_asked_for(fake: InProcessExecutor, storage: str) -> None:
    """Many rows are written down as they come, scores stay in the order of the rows, and a cleared storage is told."""
    fake.answer = lambda body: prompt_of(body).split()[-1]
    words = pd.DataFrame({"text": [f"row {i % 7}" for i in range(1, 1300)], "label": "3"})
    many = ps.Dataset(words, target="label")
    found = ps.evaluate(
        ps.Prompt(source="{{ row.text }}"), many, model=fake.model(), executor=fake, answer=ps.Text(), storage=storage
    )
    assert found.scores == [float(i % 7 == 3) for i in range(1, 1300)]
    frame = found.samples_df()
    assert frame["score"].tolist() == found.scores
    assert (frame["row"].tolist(), fake.count) == (list(range(1299)), 7)
    found = ps.evaluate(
        ps.Prompt(source="{{ row.text }}"), many, model=fake.model(), executor=fake, answer=ps.Text(), storage=storage
    )
    with closing(Store(storage)) as store:
        store.clear()
    with pytest.raises(StorageError, match="has 0 of the 1299 rows of this evaluation: it was cleared or replaced"):
        found.samples_df()
    assert found.score == pytest.approx(186 / 1299)


def test_lease_ends_before_the_storage_is_closed(
    fake: InProcessExecutor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluation and preflight leave no connection open: nothing uses the storage after it is closed."""
    order: list[str] = []
    ended, closed = Store.end_lease, Store.close

    def end_lease(store: Store, owner: str) -> None:
        order.append("lease")
        ended(store, owner)

    def close(store: Store) -> None:
        order.append("store")
        closed(store)
        assert store.engine.pool.checkedin() == 0  # type: ignore[attr-defined]

    monkeypatch.setattr(Store, "end_lease", end_lease)
    monkeypatch.setattr(Store, "close", close)
    ps.evaluate(ps.Prompt(source="{{ row.text }}"), DATA, model=fake.model(), executor=fake, storage=storage)
    assert order == ["lease", "store"]
    study(fake, storage).preflight()
    assert order == ["lease", "store"] * 2


def test_prompt_that_does_not_fit_the_data_is_told(fake: InProcessExecutor) -> None:
    """A field that the rows lack is an error before any call."""
    with pytest.raises(TemplateError, match="line 1: the rows have no field 'word'; they have text"):
        ps.evaluate(ps.Prompt(source="{{ row.word }}"), DATA, model=fake.model(), executor=fake)
    assert fake.count == 0


def test_evaluation_stays_in_its_budget(fake: InProcessExecutor) -> None:
    """Rows beyond the budget are left out."""
    found = ps.evaluate(
        ps.Prompt(source="{{ row.text }}"), DATA, model=fake.model(), executor=fake, budget=ps.Budget(calls=7)
    )
    assert len(found.samples_df()) == fake.count == 7


def test_evaluation_learns_from_its_own_rows(fake: InProcessExecutor) -> None:
    """A form that has not learned from a search learns from the rows that are scored, at no further call."""
    fake.answer = leaning
    prompt = study(fake).prompt({"instruction": "Decide with care."})
    plain, rows = (ps.Label(DATA.labels, mode="logprobs", calibrate=calibrate) for calibrate in (None, "rows"))
    assert ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, answer=plain).score == 0.5
    sent = fake.count
    learned = ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, answer=rows)
    assert learned.score == 1.0
    assert fake.count - sent == len(DATA)
    assert learned.prompt.answer is not None
    assert len(learned.prompt.answer["weights"]) == 2


def test_json_answers_are_compared_by_field_where_targets_are_json_text(fake: InProcessExecutor) -> None:
    """Without a metric, evaluate takes the one that a study would take, whose scores keep to their range."""
    orders = [{"mail": f"mail {i}", "order": '{"item": "desk", "count": 2}'} for i in range(6)]
    form = ps.Json({"type": "object"})
    prompt = ps.Prompt(source="{{ row.mail }}", answer=form.to_dict(), parameters={"max_tokens": 32})
    fake.answer = lambda body: json.dumps({"item": "desk", "count": 2 + ("mail 3" in prompt_of(body))})
    found = ps.evaluate(prompt, ps.Dataset(orders, target="order"), model=fake.model(), executor=fake)
    assert found.metric == "fields"
    assert found.scores == [1.0, 1.0, 1.0, 0.5, 1.0, 1.0]
    assert found.interval[1] <= 1
