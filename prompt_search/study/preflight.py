"""Before the search: what a few dozen calls say about whether it can pay."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from prompt_search import _html, metrics
from prompt_search.budget import Budget, Ledger
from prompt_search.data.duplicates import near_duplicates
from prompt_search.evaluation.own_thread import in_own_thread
from prompt_search.evaluation.session import connected_evaluator, distinct, opened
from prompt_search.report.row_answers import AnsweredRow, AnsweredRows, rows_view
from prompt_search.results.cut_prompts import suspected_cut
from prompt_search.results.statistics import detectable_difference, mean_interval, own_row_test
from prompt_search.results.view import TEXT_WIDTH, to_html, to_text
from prompt_search.results.wording import cut_prompts
from prompt_search.search.default_candidate import default_candidate
from prompt_search.storage.records import Call, messages_in
from prompt_search.study import wording
from prompt_search.study.advising.advice import Decision, Situation, decided
from prompt_search.study.advising.suspicious import answered_rows
from prompt_search.study.costs.batches import discount_of
from prompt_search.study.costs.proposal_bound import ProposalBound, proposal_bounds
from prompt_search.study.plan import TEST_SHARE, StudyPlan
from prompt_search.study.probe import (
    SPLIT,
    Layout,
    Measured,
    Probe,
    allowed_calls,
    informative_prompts,
    preflight_budget,
    probe,
)
from prompt_search.study.shots.bootstrap import rows_asked
from prompt_search.study.shots.wording import asked_remark

NAME = "(preflight) {}"
"""Name under which the calls of a study's preflight are stored; ``{}`` is the study's."""

SHOWN_UNREAD = 3
"""Number of responses that could not be read and that are shown."""

OFTEN_UNPARSED_SHARE = 0.2
"""Share of the answers that could not be read from which on a remark says so."""

MAX_COMPARED_ROWS = 500
"""Highest number of test rows that are compared with search rows for near repetitions, and a tenth of the highest
number of those search rows."""


@dataclass(frozen=True, kw_only=True)
class Preflight(Measured, AnsweredRows):
    """The result of `Study.preflight`: measurements (see `Measured`), the rows with their answers, and advice.

    Attributes:
        decision: ``go``, ``no``, or ``too few answers`` to tell.
        answered: the rows with what was answered to them, the most suspicious first.
        advice: sentences of advice, the most important first.
    """

    decision: Decision
    answered: tuple[AnsweredRow, ...]
    advice: tuple[str, ...]

    @property
    def worthwhile(self) -> bool:
        """Whether it is shown that a search can find a better prompt, and show on the test rows that it is better."""
        return self.decision == "go"

    def __repr__(self) -> str:
        return self.text(TEXT_WIDTH)

    def text(self, width: int) -> str:
        """Measurements, rows and advice; the table of the rows is at most that wide."""
        lines = [f"  {name:<24}{value}" for name, value in wording.measured_lines(self)]
        shown = rows_view(self.answered)
        table = to_text(shown, width - 2).splitlines() if shown.rows else []
        rows = [f"{shown.title}:", *(f"  {line}" for line in table)] if table else []
        return "\n".join([f"preflight of {self.study!r}: {self.calls} calls", *lines, *rows, *self.advice])

    def _repr_html_(self) -> str:
        title = f"preflight of {self.study}: {self.calls} calls"
        return _html.block(
            _html.table(title, ("measured", "value"), wording.measured_lines(self)),
            to_html(rows_view(self.answered)),
            _html.join(_html.fill("<p>{}</p>", line) for line in self.advice),
        )


def preflight(plan: StudyPlan, budget: Budget | None) -> Preflight:
    """Send a few dozen calls, and say whether a search can pay; see `Study.preflight`."""
    allowed = preflight_budget(budget)
    _, *first = plan.first_candidates
    others = informative_prompts(plan, first)
    name = NAME.format(plan.name)
    plan.check_budget(allowed)
    ledger = Ledger(allowed, price=plan.price)
    with opened(plan.settings.storage, name) as (store, lease):
        # How many answers cannot be read is what a preflight reports.
        settings = plan.evaluation_settings(name, store, ledger, lease)
        settings = replace(settings, ends_unread=False, on_refusal="close", batch=False)  # nobody waits a day for it

        async def work() -> Probe:
            async with connected_evaluator(
                settings, distinct(plan.settings.scoring_models), plan.executor
            ) as evaluator:
                default = await default_candidate(plan.prompts.space, plan.prompts.prepared_with_rows, evaluator, SPLIT)
                order = plan.prompts.rows_for(default.candidate)
                per_row = plan.calls_per_row(evaluator.row_calls)  # of a task as its first row has shown
                layout = Layout.of(int(allowed_calls(allowed) / per_row))
                found = await probe(evaluator, plan.prompts.prepared(default.candidate), layout, order, others)
                evaluator.responder.check_answered()
                if evaluator.row_calls is not None:
                    evaluator.row_calls.update()
                return found

        store.delete_study(name)
        try:
            found = in_own_thread(work, lambda: ledger.stop("interrupted"))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(wording.interrupted_preflight(ledger.spent, allowed_calls(allowed))) from None
        calls, sent = store.calls(name), store.requests(name)
    store.close()  # after the lease, which ends by a connection of it
    answered = [key for key in calls if key in sent]
    counted = [calls[key].response.usage.prompt_tokens for key in answered]
    prompts = [" ".join(content for _, content in messages_in(sent[key])) for key in answered]
    return advised(plan, found, calls, budget, cut_at=suspected_cut(prompts, counted))


def advised(
    plan: StudyPlan, found: Probe, calls: Mapping[str, Call], budget: Budget | None, cut_at: int | None = None
) -> Preflight:
    """What the outcomes of a preflight mean for a study with this budget.

    Args:
        plan: the study.
        found: the outcomes.
        calls: the calls that they come from, by request key.
        budget: the study's budget.
        cut_at: the number of tokens at which the server seems to cut prompts off; None without a sign of that.
    """
    repeating = _near_duplicates(plan)
    measured = _measured(plan, found, calls, budget, repeating=len(repeating))
    # Scores of 0 and 1 alone are taken for those of a metric that gives no others.
    bounded = metrics.metric_range(plan.settings.metric).high == 1 or set(_default_scores(found)) <= {0, 1}
    decision, advice = decided(_situation(plan, found, measured, bounded))
    advice += _remarks(measured, found, repeating, calls, plan.metric_name)
    known = measured.budget
    asked = rows_asked(plan, math.inf if known is None else plan.search_calls(known, plan.max_tested))
    advice += [asked_remark(asked)] if asked else []
    advice += [] if plan.judge is None else [wording.judge_remark(plan.judge.model.name, plan.judge.calls)]
    advice += [] if plan.task is None else [wording.task_remark(plan.task.name, plan.calls_per_row(found.row_calls))]
    advice += [] if cut_at is None else [f"{cut_prompts(cut_at)}."]
    responses = {key: call.response.text for key, call in calls.items()}
    shown = [*found.default, *(outcome for other in found.others for outcome in other)]
    return Preflight(
        **{field.name: getattr(measured, field.name) for field in fields(measured)},
        decision=decision,
        answered=answered_rows(
            shown,
            plan.data.rows,
            plan.prompts.template.row_fields or plan.data.fields,
            responses,
            plan.settings.metric,
        ),
        advice=tuple(advice),
    )


def _situation(plan: StudyPlan, found: Probe, measured: Measured, bounded: bool) -> Situation:
    targets = [str(row.target) for row in plan.data.rows]
    shares = [count / len(targets) for count in Counter(targets).values()]
    return Situation(
        measured=measured,
        found=found,
        bounded=bounded,
        # Of texts that differ nearly all, a half is a careful guess: partial matches count there.
        chance=sum(share**2 for share in shares) if plan.data.is_categorical else 0.5,
        targets=targets,
        sealed=len(plan.test_rows),
        test_calls=plan.max_tested * plan.calls_per_row(found.row_calls) / TEST_SHARE,
        calls_per_row=plan.calls_per_row(found.row_calls),
    )


def _measured(
    plan: StudyPlan, found: Probe, calls: Mapping[str, Call], budget: Budget | None, *, repeating: int
) -> Measured:
    responses = [call.response for call in calls.values()]
    answer_tokens = [response.usage.completion_tokens for response in responses]
    reasoning = [response.usage.reasoning_tokens for response in responses]
    prompt_tokens = _mean([response.usage.prompt_tokens for response in responses])
    completion_tokens, cost = _mean(answer_tokens), _mean([response.usd_alone for response in responses])
    planned = _planned_calls(budget, prompt_tokens + completion_tokens, cost * (1 - (discount_of(plan) or 0.0)))
    sealed = len(plan.test_rows)
    test_rows = sealed if planned is None else plan.rows_to_test(planned, plan.max_tested, found.row_calls)
    scores, bounds = _default_scores(found), metrics.metric_range(plan.settings.metric)
    low, high = mean_interval(scores, bounds=bounds)
    differences = found.differences
    return Measured(
        study=plan.name,
        calls=len(calls),
        prompts=1 + len(found.others),
        rows=len(scores),
        score=float(np.mean(scores)) if scores else math.nan,
        low=low,
        high=high,
        variance=float(np.var(scores)) if scores else math.nan,
        differs=float(np.mean(np.array(differences) != 0)) if differences else math.nan,
        p=own_row_test(found.pairings) if found.pairings else math.nan,
        repeated=len(found.repeats),
        changed=sum(first.answer != second.answer for first, second in found.repeats),
        unparsed=sum(outcome.unparsed for outcome in found.outcomes),
        errors=sum(outcome.error is not None for outcome in found.outcomes),
        ambiguous=sum(outcome.ambiguous for outcome in found.outcomes),
        reasoning_tokens=_mean([tokens for tokens in reasoning if tokens is not None]),
        longest_answer=max((tokens for tokens in answer_tokens if tokens is not None), default=None),
        test_rows=test_rows,
        repeating=repeating,
        detectable=detectable_difference(differences, test_rows, bounds=bounds),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        latency_s=_mean([response.latency_s for response in responses]),
        cost_usd=cost,
        budget=planned,
        proposals=_proposals(plan, planned),
        discount=discount_of(plan),
    )


def _proposals(plan: StudyPlan, planned: int | None) -> ProposalBound | None:
    """The most that a proposer takes of the calls that are planned."""
    bound = proposal_bounds(plan)
    return None if bound is None or planned is None else bound(planned)


def _remarks(
    measured: Measured,
    found: Probe,
    repeating: Sequence[tuple[int, int, float]],
    calls: Mapping[str, Call],
    metric: str,
) -> list[str]:
    remarks = list(found.dialect)
    answers = len(found.outcomes)
    if answers and measured.unparsed > OFTEN_UNPARSED_SHARE * answers:
        unread = dict.fromkeys(
            calls[outcome.key].response.text
            for outcome in found.outcomes
            if outcome.unparsed and outcome.key in calls  # a task may answer without a call
        )
        remarks.append(wording.unread(measured.unparsed, answers, list(unread)[:SHOWN_UNREAD]))
    if answers and measured.ambiguous > OFTEN_UNPARSED_SHARE * answers:
        remarks.append(wording.ambiguous(measured.ambiguous, answers))
    if measured.reasoning_tokens > 0 and measured.longest_answer is not None:
        remarks.append(wording.reasoning(measured.reasoning_tokens, measured.longest_answer))
    if repeating:
        remarks.append(wording.repeating_rows(len(repeating), *repeating[0]))
    if measured.changed:
        remarks.append(wording.changed_answers(measured.changed, measured.repeated))
    same = [pair for pair in found.repeats if pair[0].answer == pair[1].answer and None not in (p.score for p in pair)]
    varying = [(first.score, second.score) for first, second in same if first.score != second.score]
    if varying:
        remarks.append(wording.varying_metric(metric, varying, len(same)))
    return remarks


def _default_scores(found: Probe) -> list[float]:
    return [outcome.score for outcome in found.default if outcome.score is not None]


def _near_duplicates(plan: StudyPlan) -> list[tuple[int, int, float]]:
    """Test rows with the search rows that they nearly repeat, by row numbers, and how similar they are."""
    data = plan.data

    def texts(rows: Sequence[int]) -> list[str]:
        return [" ".join(str(data.rows[row][name]) for name in data.fields) for row in rows]

    sealed, searched = plan.test_rows[:MAX_COMPARED_ROWS], plan.search_rows[: 10 * MAX_COMPARED_ROWS]
    found = near_duplicates(texts(sealed), texts(searched))
    return [(sealed[first], searched[second], similarity) for first, second, similarity in found]


def _planned_calls(budget: Budget | None, tokens: float, cost: float) -> int | None:
    """The calls that a budget allows at so many tokens and US dollars per call; None where that is not known."""
    if budget is None:
        return None
    limits = [budget.calls]
    limits += [int(budget.tokens / tokens)] if budget.tokens is not None and tokens > 0 else []
    limits += [int(budget.usd / cost)] if budget.usd is not None and cost > 0 else []
    return min((limit for limit in limits if limit is not None), default=None)


def _mean(values: Sequence[float | None]) -> float:
    """The mean; NaN where a value is unknown, and of no values."""
    return float(np.mean([math.nan if value is None else value for value in values])) if values else math.nan
