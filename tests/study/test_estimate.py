"""What a run will take, said before, compared with what it took."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import InputError, StorageError
from tests.conftest import Body, InProcessExecutor, completion, prompt_of
from tests.study.examples import DATA, study, truth

PRICE = ps.Price(prompt=10, completion=40)


@pytest.fixture
def counted(fake: InProcessExecutor) -> InProcessExecutor:
    """Every four bytes of a prompt are a token, an answer takes two, and a millisecond."""

    def answer(body: Body) -> dict[str, Any]:
        usage = {"prompt_tokens": len(prompt_of(body).encode()) // 4, "completion_tokens": 2}
        return completion(truth(body), usage=usage)

    fake.answer, fake.latency = answer, 0.001
    return fake


def priced(fake: InProcessExecutor, storage: str | None, **settings: Any) -> ps.Study:
    return study(fake, storage, model=fake.model(price=PRICE), **settings)


@pytest.mark.parametrize("calls", [100, 300])
def test_estimate_is_near_what_was_then_spent(counted: InProcessExecutor, storage: str, calls: int) -> None:
    """After a preflight calls, tokens and dollars are within a tenth of what the run takes; nothing is sent for it."""
    made = priced(counted, storage)
    made.preflight(calls)
    sent = counted.count
    estimate = made.estimate(calls)
    assert counted.count == sent
    assert "cached responses of this study or its preflight" in estimate.basis
    spent = made.run(calls).summary
    assert estimate.calls == pytest.approx(spent["calls"], rel=0.1)
    assert estimate.tokens == pytest.approx(spent["tokens"], rel=0.1)
    assert estimate.usd == pytest.approx(spent["usd"], rel=0.1)
    assert estimate.seconds == pytest.approx(0.001 * estimate.calls / made.max_concurrency)
    after = made.estimate(calls)
    assert after.stored == pytest.approx(spent["calls"], abs=1)
    assert after.tokens == pytest.approx(spent["tokens"], rel=0.1)


def test_what_has_ended_costs_nothing_again(counted: InProcessExecutor, storage: str) -> None:
    """A run that has ended below its budget is read again, and not a call more is expected."""
    made = priced(counted, storage)
    spent = made.run(100).summary["calls"]
    again, more = made.estimate(100), made.estimate(200)
    assert (again.calls, again.stored) == (spent, spent)
    assert more.stored == spent < more.calls


def test_estimate_before_any_answer_is_an_upper_one(counted: InProcessExecutor) -> None:
    """From prompts alone answers count with the most they may take, time is unknown, and that is said."""
    made = priced(counted, None)
    estimate = made.estimate(100)
    spent = made.run(100).summary
    assert spent["tokens"] <= estimate.tokens <= spent["tokens"] * 2.5
    assert spent["usd"] <= estimate.usd
    assert math.isnan(estimate.seconds)
    assert (
        "rendered prompts at 4 bytes per token, and the largest number of tokens that an answer may have"
    ) in estimate.basis


def test_other_limits_end_a_run_earlier(counted: InProcessExecutor, storage: str) -> None:
    """Tokens and dollars are turned into calls; a small space has no more requests than it has."""
    made = priced(counted, storage)
    made.preflight(400)
    whole = made.estimate(400)
    half = made.estimate(ps.Budget(calls=400, tokens=int(whole.tokens / 2)))
    assert half.calls == pytest.approx(200, abs=2)
    assert made.estimate(ps.Budget(usd=whole.usd / 4)).calls == pytest.approx(100, abs=2)
    small = ps.Template('{{ choice("cue", ["A:", "B:"]) }} {{ row.text }}')
    assert priced(counted, None, template=small).estimate(100_000).calls == 2 * 42 + 2 * 18


def test_unknown_stays_unknown(fake: InProcessExecutor) -> None:
    """Without a price dollars are unknown, without a bound tokens too, and no number is made up."""
    estimate = study(fake, request={"max_tokens": None}).estimate(50)
    assert estimate.calls == 50
    assert math.isnan(estimate.tokens)
    assert math.isnan(estimate.usd)
    assert "no limit on answers (max_tokens)" in estimate.basis
    lines = repr(estimate).splitlines()
    assert lines[2:5] == [
        "  tokens         unknown",
        "  US dollars     unknown",
        "  seconds        unknown before a request is answered; a preflight measures it",
    ]
    bounded = study(fake).estimate(ps.Budget(calls=10))
    assert (
        "  US dollars     unknown, as is the price of the model; give it as Model(..., price=Price(...))"
        in repr(bounded).splitlines()
    )
    with pytest.raises(InputError, match="price of fake is unknown"):
        study(fake).estimate(ps.Budget(usd=1))


def test_estimate_makes_no_database(fake: InProcessExecutor, storage: str, tmp_path: Path) -> None:
    """Where nothing is stored it is the one without a storage; a storage that cannot be made is still told."""
    assert repr(study(fake, storage).estimate(50)) == repr(study(fake).estimate(50))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="unable to open database file; make its folder first"):
        study(fake, f"sqlite:///{tmp_path}/nowhere/study.db").estimate(50)


def test_reprs_show_every_line(fake: InProcessExecutor) -> None:
    """Text and HTML say the same, with names escaped."""
    data = ps.Dataset(pd.DataFrame(DATA.frame()), target="label")
    estimate = study(fake, name="<b>[x]", data=data).estimate(1000)
    assert repr(estimate).startswith("estimate for '<b>[x]':\n  calls          1,000\n  tokens         ")
    assert ">estimate for &lt;b&gt;[x]</caption>" in estimate._repr_html_()
    assert "1,000" in estimate._repr_html_()
