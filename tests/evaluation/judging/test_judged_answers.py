"""Answers that are there already: scored by a judge, and compared with what people say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import InputError
from tests.conftest import Body, InProcessExecutor
from tests.judging import JUDGE, judged_part

FRAME = pd.DataFrame(
    [
        {"text": f"t{row}", "answer": f"good {row % 5 + 1}, number {row}", "human": row % 5 + 1, "right": "good 3"}
        for row in range(20)
    ]
)


def rating(body: Body) -> str:
    """One more than people give; what is best already, or is no rating, cannot be."""
    given = judged_part(body)
    return "no idea" if given.endswith("number 7") else f"{int(given[5]) + 1}"


def judge(fake: InProcessExecutor, template: str = "quality", **settings: Any) -> ps.Judge:
    return ps.Judge(template, model=fake.model(JUDGE), weighted=False, **settings)


def test_answers_of_a_table_are_judged(fake: InProcessExecutor, tmp_path: Path) -> None:
    """Each answer has a line with score, rating and error; a second look costs nothing, and a small budget says what
    it had no room for. The judge sees neither the answers' column nor people's ratings as fields."""
    fake.answer = rating
    storage = tmp_path / "judged.db"
    found = judge(fake).scores_df(FRAME.drop(columns="human"), executor=fake, storage=storage)
    assert fake.count == len(found) == 20
    assert "human" not in str(fake.bodies)
    assert found["level"].tolist()[:4] == list("2345")
    errors = [None if error is None else error.partition(":")[0] for error in found["error"]]
    assert errors == ["judge_unreadable" if row == 7 else "judge_scale" if row % 5 == 4 else None for row in range(20)]
    again = judge(fake).scores_df(FRAME.drop(columns="human"), executor=fake, storage=storage)
    pd.testing.assert_frame_equal(again, found)
    assert fake.count == 20
    few = judge(fake).scores_df(FRAME, executor=fake, budget=5, answer="answer")
    assert few["error"].eq("budget: the budget left no room for this answer").sum() == 15


def test_agreement_is_told(fake: InProcessExecutor) -> None:
    """A judge that is always one level above people agrees with their order, and is 0.25 above them."""
    fake.answer = rating
    found = judge(fake).agreement_df(FRAME, executor=fake).set_index("measure")
    assert found["value"]["correlation"] == pytest.approx(1)
    assert found["value"]["mean_difference"] == pytest.approx(0.25)
    assert found["value"]["unrated"] == 5 / 20


def test_two_answers_have_people_too(fake: InProcessExecutor) -> None:
    """People say which of two answers is better; a judge that always takes the first one finds all equal."""
    fake.answer = "A"
    data = FRAME.assign(human=1)
    found = judge(fake, "pairwise", against="right").agreement_df(data, executor=fake).set_index("measure")["value"]
    assert (found["position_bias"], found["consistent"], found["agreement"]) == (0.5, 0.0, 0.0)
    with pytest.raises(InputError, match="row 0: people's rating of two answers is 1 where the answer is better than"):
        judge(fake, "pairwise", against="right").agreement_df(FRAME.assign(human=7), executor=fake)


@pytest.mark.parametrize(
    ("settings", "asked", "message"),
    [
        (
            {},
            {"answer": "reply"},
            "answer= names the column 'reply', which is not there; there are: text, answer",
        ),
        ({}, {"human": "people"}, "human= names the column 'people', which is not there"),
        ({"template": "reference"}, {}, r"reads the target, and the data has none; give target='COLUMN'"),
        (
            {"scale": (1, 3)},
            {},
            "row 3: the rating 4 is not on the scale of the judge, a whole number from 1",
        ),
        ({"scale": ["bad", "good"]}, {}, "row 0: the rating 1 is not on the scale of the judge, one of these labels"),
        ({}, {"data": FRAME.assign(human=None)}, "the column 'human' has fewer than 3 ratings of people; write more"),
    ],
)
def test_bad_tables_are_refused(
    fake: InProcessExecutor, settings: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    """What is missing or not on the scale is told in one line, before a request."""
    with pytest.raises(InputError, match=message):
        judge(fake, **settings).agreement_df(**{"data": FRAME, "executor": fake, **asked})
    assert fake.count == 0


def test_lost_requests_are_sent_again(fake: InProcessExecutor) -> None:
    """A request that failed on the road is sent once more, and counts as lost if it fails again."""
    seen: list[str] = []

    def failing(body: Body) -> Any:
        given = judged_part(body)
        seen.append(given)
        broken = given.endswith(" 2") or (given.endswith(" 3") and seen.count(given) == 1)
        return {"no": "completion"} if broken else "3"

    fake.answer = failing
    found = judge(fake).scores_df(FRAME, executor=fake)
    lost = found[found["error"].notna()]
    assert lost["row"].tolist() == [2]
    assert lost["error"].iloc[0].startswith("malformed: of the judge judge-model: ")
    assert fake.count == 22
