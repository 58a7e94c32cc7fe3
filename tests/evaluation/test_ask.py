"""A prompt in use: answers about rows without targets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.results.tables import ANSWER_COLUMNS
from prompt_search.testing import Faults
from tests.conftest import FakeServer, InProcessExecutor, failure, prompt_of
from tests.study.examples import DATA, study, truth

PROMPT = ps.Prompt(source="{{ row.text }}", answer=ps.Label(["good", "bad"]).to_dict(), model="fake")
ROWS = [{"text": "nice"}, {"text": "awful"}, {"text": "strange"}]


def opinion(body: Any) -> Any:
    """An answer by the text of the row."""
    answers = {"nice": "good", "awful": "bad", "long": failure(400, "the prompt is too long")}
    return answers.get(prompt_of(body), "who knows")


@pytest.fixture
def fake() -> InProcessExecutor:
    """A model with opinions."""
    return InProcessExecutor(opinion)


def test_answer_is_what_scoring_sees(fake: InProcessExecutor) -> None:
    """`ask` gives the parsed answer of any form, and an answer that cannot be read is falsy and says why."""
    assert PROMPT.ask({"text": "nice"}, model=fake.model(), executor=fake) == "good"
    unread = PROMPT.ask({"text": "strange"}, model=fake.model(), executor=fake)
    assert isinstance(unread, ps.Unparsed)
    assert (bool(unread), unread.reason) == (False, "no label in 'who knows'")
    fake.answer = '{"n": 4.5}'
    form = ps.Json({"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]})
    assert PROMPT.ask({"text": "nice"}, model=fake.model(), executor=fake, answer=form) == {"n": 4.5}
    assert PROMPT.ask({"text": "nice"}, model=fake.model(), executor=fake, answer=ps.Number()) == 4.5


def test_every_row_has_its_line(fake: InProcessExecutor) -> None:
    """`ask_many` answers, cannot read and fails row by row, in the order of the rows, and loses none."""
    rows = [*ROWS, {"text": "long"}, {"text": "nice"}]
    found = PROMPT.ask_many(rows, model=fake.model(), executor=fake)
    assert list(found.columns) == ["row", "text", *ANSWER_COLUMNS]
    assert found["row"].tolist() == [0, 1, 2, 3, 4]
    assert found["text"].tolist() == [row["text"] for row in rows]
    assert found["answer"].tolist() == ["good", "bad", None, None, "good"]
    assert found["unparsed"].tolist() == [None, None, "no label in 'who knows'", None, None]
    assert [error and error.partition(":")[0] for error in found["error"]] == [None, None, None, "context_length", None]
    assert found["response"].tolist()[:3] == ["good", "bad", "who knows"]
    assert found["prompt_tokens"].dtype == "Int64"
    assert fake.count == 4


@pytest.mark.parametrize("kind", ["frame", "dataset", "csv", "jsonl"])
def test_rows_come_in_every_shape(fake: InProcessExecutor, tmp_path: Path, kind: str) -> None:
    """A DataFrame keeps its index, a data set its target, which no prompt sees, and files are read as data are."""
    frame = pd.DataFrame({"text": ["nice", "awful"], "label": ["good", "bad"]}, index=["a", "b"])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    rows: Any = {
        "frame": frame,
        "dataset": ps.Dataset(frame, target="label"),
        "csv": tmp_path / "rows.csv",
        "jsonl": str(tmp_path / "rows.jsonl"),
    }[kind]
    found = PROMPT.ask_many(rows, model=fake.model(), executor=fake)
    assert found["answer"].tolist() == found["label"].to_list() == ["good", "bad"]
    assert found.index.tolist() == (["a", "b"] if kind == "frame" else [0, 1])


def test_target_of_a_data_set_is_not_shown(fake: InProcessExecutor) -> None:
    """A prompt that would show the target of a data set is refused."""
    data = ps.Dataset(pd.DataFrame({"text": ["nice"], "label": ["good"]}), target="label")
    with pytest.raises(
        ps.InputError,
        match=r"data row 0: prompt line 1: the row has no field 'label', which the prompt shows; it has: text",
    ):
        ps.Prompt(source="{{ row.label }}").ask_many(data, model=fake.model(), executor=fake)


def test_columns_with_the_names_of_results_are_kept_apart(fake: InProcessExecutor) -> None:
    """A column called answer or error is there beside the result."""
    found = PROMPT.ask_many([{"text": "nice", "answer": 1, "row": "x"}], model=fake.model(), executor=fake)
    (record,) = found.to_dict("records")
    assert [record[name] for name in ("answer (field)", "row (field)", "answer", "row")] == [1, "x", "good", 0]


def test_nothing_is_paid_twice(fake: InProcessExecutor, storage: str) -> None:
    """What a storage holds is not sent again, whoever asked before, and the table says so."""
    PROMPT.ask_many(ROWS, model=fake.model(), executor=fake, storage=storage)
    found = PROMPT.ask_many([*ROWS, {"text": "new"}], model=fake.model(), executor=fake, storage=storage)
    assert found["cached"].tolist() == [True, True, True, False]
    assert PROMPT.ask(ROWS[0], model=fake.model(), executor=fake, storage=storage) == "good"
    assert fake.count == 4


def test_winner_of_a_study_is_asked_as_it_was_scored(fake: InProcessExecutor, storage: str, tmp_path: Path) -> None:
    """The exported winner sends the very requests of the study: all rows that it was scored on are in the storage."""
    fake.answer = truth
    result = study(fake, storage).run(80)
    samples = result.samples_df()
    rows = samples[samples["trial"] == result.best_trial]["row"].unique()
    sent = fake.count
    prompt = ps.Prompt.read(result.best.export(tmp_path / "best.json"))
    asked = prompt.ask_many([DATA.rows[row].fields for row in rows], model=fake.model(), executor=fake, storage=storage)
    assert fake.count == sent
    by_row = samples[samples["trial"] == result.best_trial].drop_duplicates("row").set_index("row")["answer"]
    assert asked["answer"].tolist() == by_row[rows].tolist()


@given(calls=st.integers(1, 6), rows=st.integers(1, 6))
def test_budget_is_kept(calls: int, rows: int) -> None:
    """No more is sent than the budget allows, and the rows beyond it have a line that says so."""
    fake = InProcessExecutor("good")
    texts = [{"text": f"text {number}"} for number in range(rows)]
    found = PROMPT.ask_many(texts, model=fake.model(), executor=fake, budget=calls)
    assert fake.count == min(calls, rows) == found["answer"].notna().sum()
    unsent = found[found["answer"].isna()]
    assert len(found) == rows
    assert set(unsent["error"]) <= {f"budget: not sent, as Budget(calls={calls}) is used up"}


def test_failed_request_is_a_one_line_error(fake: InProcessExecutor) -> None:
    """`ask` raises what happened and what to do, by whose fault it is."""
    with pytest.raises(
        ps.RequestRefused, match=r"^the request failed: context_length: .*; change the row or the prompt$"
    ):
        PROMPT.ask({"text": "long"}, model=fake.model(), executor=fake)
    fake.fail_after = 0
    with pytest.raises(ps.RequestRefused, match="401"):
        PROMPT.ask({"text": "nice"}, model=fake.model(), executor=fake)
    stuck = InProcessExecutor("good", latency=5)
    with pytest.raises(ps.BudgetExceeded, match=r"larger (one|budget)$"):
        PROMPT.ask({"text": "nice"}, model=stuck.model(), executor=stuck, budget=ps.Budget(seconds=0.05))


def test_answers_are_kept_where_the_server_ends(fake: InProcessExecutor) -> None:
    """A key that is revoked amid the rows ends the run: what was answered is there, the rest says why it is not."""
    fake.fail_after = 3
    rows = [{"text": "nice", "number": number} for number in range(9)]
    prompt = ps.Prompt(source="{{ row.number }} {{ row.text }}", answer=ps.Text().to_dict())
    found = prompt.ask_many(rows, model=fake.model(), executor=fake, max_concurrency=1)
    assert found["error"].isna().sum() == 3
    assert found["error"].dropna().str.startswith("not sent: ").all()
    assert found["error"].dropna().str.contains("this key has been revoked").all()
    fake.fail_after = 0
    with pytest.raises(ps.RequestRefused, match="this key has been revoked"):
        prompt.ask_many(rows, model=fake.model(), executor=fake)


@pytest.mark.system
def test_lost_requests_are_sent_again(server: FakeServer) -> None:
    """What the road loses is sent once more, on a real socket with faults."""
    server.answer = opinion
    server.faults = Faults(server_error=0.3, cut=0.2)
    rows = [{"text": f"row {number}"} for number in range(40)]
    found = ps.Prompt(source="{{ row.text }}").ask_many(rows, model=server.model())
    assert len(found) == 40
    assert found["error"].isna().all()
    assert set(found["answer"]) == {"who knows"}


def test_server_that_refuses_a_parameter_is_understood() -> None:
    """A server's dialect is learned as in a study."""
    with FakeServer(opinion, dialect="openai-reasoning") as server:
        found = ps.Prompt(source="{{ row.text }}").ask_many(ROWS[:2], model=server.model())
        assert found["answer"].tolist() == ["good", "bad"]
        assert server.refusals == {"max_tokens": 1, "temperature": 1}


def test_twins_work_on_a_running_loop(fake: InProcessExecutor, storage: str) -> None:
    """In a running event loop both kinds work, and give the same."""

    async def both() -> tuple[Any, ...]:
        options: dict[str, Any] = {"model": fake.model(), "executor": fake, "storage": storage}
        one = await PROMPT.aask(ROWS[0], **options)
        many = await PROMPT.aask_many(ROWS, **options)
        with pytest.raises(ps.RequestRefused, match="context_length"):
            await PROMPT.aask({"text": "long"}, **options)
        return one, many, PROMPT.ask(ROWS[0], **options), PROMPT.ask_many(ROWS, **options)

    one, many, same, again = asyncio.run(both())
    assert one == same == "good"
    pd.testing.assert_series_equal(many["answer"], again["answer"])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"text": "nice"}, {"words": "?"}],
            r"^rows row 1: prompt line 1: the row has no field 'text', which the prompt shows; it has: words$",
        ),
        ({"text": "nice"}, r"ask_many takes several rows, got one; give a list of rows, or call ask\(row\)"),
        (["nice"], r"a row must be a dictionary of its fields, not str; give one such as"),
        (7, "rows must be a list of dictionaries, a DataFrame, a Dataset or the path of a file, not int; give one"),
        (
            [{"text": object()}],
            r"rows: row 0 \(the first is 0\): the value of 'text' has the type object; make it text",
        ),
        ("nowhere.csv", r"nowhere\.csv"),
    ],
)
def test_wrong_rows_are_told(fake: InProcessExecutor, rows: Any, told: str) -> None:
    """Rows of another kind, or without a field of the prompt, are refused before any request."""
    with pytest.raises(ps.InputError, match=told):
        PROMPT.ask_many(rows, model=fake.model(), executor=fake)
    assert fake.count == 0


def test_no_rows_are_an_empty_table(fake: InProcessExecutor) -> None:
    """A list without rows gives a table without rows."""
    assert PROMPT.ask_many([], model=fake.model(), executor=fake).empty


def test_prompt_that_cannot_be_asked_is_told(fake: InProcessExecutor) -> None:
    """No model, no field, and an answer form that has learned nothing are refused before any request."""
    with pytest.raises(ps.InputError, match="names no model; give model=, such as 'gpt-4o-mini' or 'local'"):
        ps.Prompt(source="{{ row.text }}").ask(ROWS[0])
    with pytest.raises(ps.TemplateError, match=r"no field of the row is shown, .* write \{\{ row.text \}\}"):
        ps.Prompt(source="Hello").ask(ROWS[0], model=fake.model(), executor=fake)
    unlearned = ps.Label(["good", "bad"], mode="logprobs", calibrate="rows")
    with pytest.raises(ps.InputError, match="is calibrated on labelled rows, and is not yet; export the winner"):
        PROMPT.ask(ROWS[0], model=fake.model(), executor=fake, answer=unlearned)
    assert fake.count == 0


def test_model_of_the_prompt_is_the_default(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a model the prompt's own is asked, at the endpoint of the environment."""
    server.answer = opinion
    monkeypatch.setenv("OPENAI_BASE_URL", str(server.model().base_url))
    assert PROMPT.ask(ROWS[0]) == "good"
    assert server.bodies[0]["model"] == "fake"


def test_examples_near_a_row_that_has_further_columns(fake: InProcessExecutor) -> None:
    """A prompt that picks examples by the row takes rows with columns that the examples lack."""
    pool = '[{"text": "nice day", "label": "good"}, {"text": "awful rain", "label": "bad"}]'
    prompt = ps.Prompt(
        source="{% for shot in nearest(" + pool + ", row, 1) %}{{ shot.text }}{% endfor %} {{ row.text }}"
    )
    prompt.ask({"text": "rain", "number": 7}, model=fake.model(), executor=fake)
    assert prompt_of(fake.bodies[0]) == "awful rain rain"
