"""The most that the proposer of a study can take of a budget."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prompt_search.budget.limits import MOST
from prompt_search.budget.spending import NOTHING
from prompt_search.errors import InputError
from prompt_search.llm.messages import Message, Usage
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.growing.asked import Asking, ShownRow, target_text
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.search.deciding.finals import FINAL_SHARE
from prompt_search.search.growth.waves import TEXTS, WITH_EARLIER_ROWS, most_requests
from prompt_search.storage.records import PROPOSER, Call
from prompt_search.study.costs.tokens import BYTES_PER_TOKEN
from prompt_search.study.growth.proposing import longest_option
from prompt_search.study.plan import StudyPlan


@dataclass(frozen=True, kw_only=True)
class ProposalBound:
    """The most that the proposals of a run can take; retries of failed requests come on top.

    Attributes:
        model: name of the proposer's model.
        calls: number of requests.
        tokens, usd: of all of them; ``usd`` is NaN where the price is unknown.
        enough: number of calls of a run from which on something is proposed, at most that of the largest budget.
    """

    model: str
    calls: int
    tokens: float
    usd: float
    enough: int

    @property
    def is_unpriced(self) -> bool:
        """Whether the price of the proposer is unknown."""
        return self.calls > 0 and math.isnan(self.usd)


def proposal_bounds(plan: StudyPlan) -> Callable[[float], ProposalBound] | None:
    """The most that proposals take, by the number of calls of a run, its test among them; None where nothing grows.

    Their size is that of the largest request that an operator makes of the study's longest rows and of options as long
    as they may become, with a reply as long as it may be.
    """
    proposer = plan.proposer
    if proposer is None:
        return None
    prompt_tokens, answer_tokens = _largest(plan, proposer), proposer.max_tokens
    thousand = Usage(prompt_tokens=1000 * prompt_tokens, completion_tokens=1000 * answer_tokens)
    usd = proposer.model.cost(thousand) / 1000  # few requests at a time, which are sent alone
    enough = 10 * bisect_left(range(MOST // 10), True, key=lambda tens: _requests(plan, proposer.share, 10 * tens) > 0)

    def bound(calls: float) -> ProposalBound:
        requests = _requests(plan, proposer.share, calls)
        return ProposalBound(
            model=proposer.model.name,
            calls=requests,
            tokens=requests * (prompt_tokens + answer_tokens),
            usd=requests * usd if requests else 0.0,
            enough=enough,
        )

    return bound


def spent_on_proposals(plan: StudyPlan, calls: Iterable[Call]) -> ProposalBound | None:
    """What the proposals of a study took; None without any.

    Args:
        plan: the study.
        calls: its calls.
    """
    found = [call.spending for call in calls if call.role == PROPOSER]
    if plan.proposer is None or not found:
        return None
    total = sum(found, NOTHING)
    return ProposalBound(
        model=plan.proposer.model.name, calls=total.calls, tokens=total.tokens, usd=total.usd, enough=total.calls
    )


def _requests(plan: StudyPlan, share: float, calls: float) -> int:
    return most_requests(share, plan.search_calls(calls, plan.max_tested) * (1 - FINAL_SHARE))


def _largest(plan: StudyPlan, proposer: Proposer) -> int:
    """The tokens of the largest request, by its size."""
    growing = [factor for factor in plan.prompts.space.factors if factor.grow]
    found = [messages for factor in growing for messages in _messages(plan, proposer, factor)]
    sizes = [sum(len(each.content.encode("utf-8", "surrogatepass")) for each in messages) for messages in found]
    return math.ceil(max(sizes, default=0) / BYTES_PER_TOKEN)


def _messages(plan: StudyPlan, proposer: Proposer, factor: Factor) -> Iterator[tuple[Message, ...]]:
    """The messages of each operator for a choice."""
    data = plan.data
    longest = longest_option(factor.texts)
    sizes = {row: sum(len(str(data.rows[row][name])) for name in data.fields) for row in plan.search_rows}
    shown = [data.rows[row] for row in sorted(sizes, key=lambda row: -sizes[row])[:WITH_EARLIER_ROWS]]
    asking = Asking(
        choice=factor.name,
        purpose=factor.grow,
        parents=("x" * longest, "y" * longest),
        # An answer is as long as what is right, and so is what a metric may say of it.
        rows=tuple(
            ShownRow(
                fields={name: row[name] for name in data.fields},
                target=target_text(row.target),
                answer=target_text(row.target),
                explanation=target_text(row.target),
                earlier=True,
            )
            for row in shown
        ),
        labels=tuple(data.labels) if data.is_categorical else (),
        count=TEXTS,
        prompt=plan.prompts.prepared(plan.prompts.space.default).prompt.text,
        longest=longest,
    )
    for operator in proposer.operators:
        try:
            yield operator.messages(asking)
        except InputError:  # it fails for such rows, and sends nothing
            continue
