"""What an estimate and a preflight say of a proposer, held against what it then takes."""

from __future__ import annotations

import math
from typing import Any

import pytest

import prompt_search as ps
from tests.conftest import Body, InProcessExecutor, completion, prompt_of
from tests.study.examples import SOURCE, study, truth

GROWING = SOURCE.replace('"Which?"]', '"Which?"], grow="tells the model what to do"')
PRICE = ps.Price(prompt=10, completion=40)


@pytest.fixture
def counted(fake: InProcessExecutor) -> InProcessExecutor:
    """Every four bytes of a prompt are a token; an answer takes two, a proposal 300. Each proposes another text."""

    def answer(body: Body) -> dict[str, Any]:
        prompt = prompt_of(body)
        asked = "<option>" in prompt
        text = f"<option>Weigh case {len(fake.bodies)} with care.</option>" if asked else truth(body)
        usage = {"prompt_tokens": len(prompt.encode()) // 4, "completion_tokens": 300 if asked else 2}
        return completion(text, usage=usage)

    fake.answer, fake.latency = answer, 0.001
    return fake


def growing(fake: InProcessExecutor, storage: str | None = None, **given: Any) -> ps.Study:
    """A study with prices whose instruction grows."""
    model = fake.model(price=PRICE)
    proposer = ps.Proposer(ps.Model("large", base_url=model.base_url, price=ps.Price(prompt=100, completion=400)))
    settings = {"template": ps.Template(GROWING), "model": model, "proposer": proposer}
    return study(fake, storage, **{**settings, **given})


def taken(result: ps.Result) -> dict[str, Any]:
    """The line of the ledger for the proposer."""
    found = result.ledger_df().set_index("role").loc["proposer"]
    return {**found, "tokens": found["prompt_tokens"] + found["completion_tokens"]}


@pytest.mark.parametrize("calls", [200, 400])
def test_the_bound_holds_in_a_run(counted: InProcessExecutor, calls: int) -> None:
    """Calls, tokens and dollars of proposals are at most what the estimate says, and not far below it."""
    made = growing(counted)
    estimate = made.estimate(calls)
    bound = estimate.proposals
    assert bound is not None
    assert bound.calls <= 0.15 * calls
    spent = taken(made.run(calls))
    assert 0 < spent["calls"] <= bound.calls
    assert spent["tokens"] / spent["calls"] <= bound.tokens / bound.calls <= 6 * spent["tokens"] / spent["calls"]
    assert spent["cost_usd"] <= bound.usd


def test_totals_hold_the_proposals(counted: InProcessExecutor) -> None:
    """The totals are those of the study without a proposer, with some of its calls replaced by proposals."""
    with_proposer, without = growing(counted).estimate(400), growing(counted, proposer=None).estimate(400)
    bound = with_proposer.proposals
    assert bound is not None
    assert without.proposals is None
    assert with_proposer.calls == without.calls == 400
    each = without.tokens / 400
    assert with_proposer.tokens == pytest.approx((400 - bound.calls) * each + bound.tokens)
    assert with_proposer.usd == pytest.approx((400 - bound.calls) * without.usd / 400 + bound.usd)
    assert (with_proposer.prompt_tokens, with_proposer.basis) == (without.prompt_tokens, without.basis)


@pytest.mark.parametrize("budget", [ps.Budget(tokens=60_000), ps.Budget(usd=8.0)])
def test_other_limits_leave_room_for_proposals(counted: InProcessExecutor, budget: ps.Budget) -> None:
    """Calls are those that the limit allows at the price of both; the totals keep to it."""
    estimate, without = growing(counted).estimate(budget), growing(counted, proposer=None).estimate(budget)
    assert estimate.proposals is not None
    assert estimate.proposals.calls > 0
    assert estimate.calls < without.calls
    assert estimate.tokens <= (budget.tokens or math.inf)
    assert estimate.usd <= (budget.usd or math.inf)


def test_estimate_says_it_in_one_line(counted: InProcessExecutor) -> None:
    """At most so many calls, tokens and dollars; too few calls are told with how many are enough."""
    made = growing(counted)
    bound = made.estimate(400).proposals
    assert bound is not None
    assert repr(made.estimate(400)).splitlines()[2] == (
        f"  proposals      at most {bound.calls} calls of large, {bound.tokens:,.0f} tokens, ${bound.usd:.4f}; part of "
        "the totals"
    )
    assert "at most" in made.estimate(400)._repr_html_()
    few = made.estimate(100)
    assert few.proposals is not None
    assert few.proposals.calls == 0
    enough = few.proposals.enough
    assert repr(few).splitlines()[2] == f"  proposals      none: large is asked only in runs of at least {enough} calls"
    reached = [made.estimate(each).proposals for each in (enough - 10, enough)]
    assert [each is not None and each.calls > 0 for each in reached] == [False, True]
    assert few.usd == growing(counted, proposer=None).estimate(100).usd


def test_an_unknown_price_of_the_proposer_is_named(counted: InProcessExecutor) -> None:
    """In the estimate, and where a budget in dollars cannot be kept."""
    url = counted.model().base_url
    made = growing(counted, proposer=ps.Model("large", base_url=url))
    lines = repr(made.estimate(400)).splitlines()
    assert lines[2].startswith("  proposals      at most ")
    assert "$" not in lines[2]
    assert lines[4] == (
        "  US dollars     unknown, as is the price of the proposer large; give it as Model(..., price=Price(...))"
    )
    for call in (made.estimate, made.preflight, made.run):
        with pytest.raises(ps.InputError, match="the price of large is unknown"):
            call(ps.Budget(usd=1))
    assert counted.count == 0


def test_what_has_ended_counts_what_was_spent(counted: InProcessExecutor, storage: str) -> None:
    """A run that is read again has the proposals that it paid for."""
    made = growing(counted, storage)
    spent = taken(made.run(300))
    again = made.estimate(300)
    assert again.proposals is not None
    assert (again.proposals.calls, again.stored) == (spent["calls"], again.calls)
    assert again.proposals.tokens == spent["tokens"]


def test_another_proposer_is_estimated_anew(counted: InProcessExecutor, storage: str) -> None:
    """What a stored study spent on its proposer says nothing of another one, nor of other settings of the same."""
    made = growing(counted, storage)
    spent = made.run(300).ledger_df().set_index("role")["calls"]
    own = made.proposer
    assert own is not None
    for changed in (
        ps.Proposer(own.model, share=0.5),
        ps.Proposer(own.model, ["vary"], max_tokens=5000),
        ps.Proposer(counted.model("another"), request={"top_p": 0.5}),
    ):
        found = made.replace(proposer=changed).estimate(300)
        alone = made.replace(proposer=changed, storage=None).estimate(300)
        assert repr(found.proposals) == repr(alone.proposals) != repr(made.estimate(300).proposals)
        assert found.stored == spent.sum() - spent["proposer"] < found.calls == 300
    without = made.replace(proposer=None).estimate(300)
    assert (without.proposals, without.stored) == (None, spent.sum() - spent["proposer"])


def test_a_share_of_next_to_nothing_is_estimated_at_once(counted: InProcessExecutor) -> None:
    """However small the share is, the number of calls that proposals take is found in some steps."""
    for share, enough in ((0.001, 1_000), (1e-6, 1_000_000), (1e-300, 10**12)):
        found = growing(counted, proposer=ps.Proposer(counted.model("large"), share=share)).estimate(400)
        assert found.proposals is not None
        assert found.proposals.calls == 0
        assert enough <= found.proposals.enough <= 1.5 * enough


def test_preflight_says_it_in_one_line(counted: InProcessExecutor, storage: str) -> None:
    """Of the planned calls; nothing is proposed in a preflight, and its advice is that without a proposer."""
    found = growing(counted, storage).preflight(600)
    without = growing(counted, name="without", proposer=None).preflight(600)
    assert found.proposals is not None
    lines = repr(found).splitlines()
    line = next(line for line in lines if line.startswith("  proposals"))
    assert line == (
        f"  {'proposals':<24}at most {found.proposals.calls} calls of large, {found.proposals.tokens:,.0f} tokens, "
        f"${found.proposals.usd:.4f}; part of the totals"
    )
    others = 600 - found.proposals.calls
    tokens = others * (found.prompt_tokens + found.completion_tokens) + found.proposals.tokens
    usd = others * found.cost_usd + found.proposals.usd
    assert f"  {'600 calls':<24}about {tokens:,.0f} tokens, ${usd:.2f}; more, if longer prompts win" in lines
    assert without.proposals is None
    assert found.decision == without.decision
    assert "proposals" not in repr(without)
    assert growing(counted, storage).preflight().proposals is None
    assert not any("<option>" in prompt_of(body) for body in counted.bodies)
