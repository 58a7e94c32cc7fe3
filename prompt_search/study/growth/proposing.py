"""Asking a model for new options of a choice: from what a race wants to texts that are checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prompt_search.answers.final_part import final_part
from prompt_search.errors import InputError
from prompt_search.evaluation.outcome import Outcome
from prompt_search.evaluation.responder import Answered, Responder, Use
from prompt_search.evaluation.single_request import respond
from prompt_search.llm.messages import Request
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.growing.asked import Asking, ShownRow, target_text
from prompt_search.prompts.growing.guards import reason_against
from prompt_search.prompts.growing.operators import Operator
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.prompts.growing.reading import texts_in
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.deciding.finals import FINAL_SHARE
from prompt_search.search.growth.waves import most_requests
from prompt_search.search.proposals import Ask, GrownSpace, GrowthSettings, Reply, ShownTrial
from prompt_search.storage.records import PROPOSER, ProposalRecord
from prompt_search.study.candidates import CandidatePrompts
from prompt_search.study.plan import StudyPlan

TEMPERATURE = 0.7
"""Sampling temperature of proposals, unless the proposer's ``request`` has another: each request should give texts
that differ."""

LONGEST_OPTION = 600
"""Number of characters that a proposed option may have at least; one of a long option may be twice as long as that."""

DESCRIBED_ROWS = 24
"""Number of rows, from the end of the common order, that operators show which need labelled rows alone."""


@dataclass(frozen=True, kw_only=True)
class Proposing:
    """Sends the requests of a race for new options, and checks what comes.

    Attributes:
        proposer: the model, and its operators.
        prompts: the candidates of the study.
        responder: gets the response to each request.
    """

    proposer: Proposer
    prompts: CandidatePrompts
    responder: Responder

    async def __call__(self, space: SearchSpace, asked: Sequence[tuple[Ask, ShownTrial]]) -> list[Reply]:
        """The replies to requests, in their order."""
        askings = [self._asking(space.by_name[ask.choice], ask, shown) for ask, shown in asked]
        answered = await asyncio.gather(
            *(self._answered(ask, asking) for (ask, _), asking in zip(asked, askings, strict=True))
        )
        existing = {factor.name: list(factor.texts) for factor in space.factors}
        replies = []
        for (ask, shown), asking, found in zip(asked, askings, answered, strict=True):
            in_prompt = partial(self._reason_in_prompt, space, ask.choice, shown)
            known = existing[ask.choice]
            texts = [("", found)] if isinstance(found, str) else _checked(found, asking, known, in_prompt)
            existing[ask.choice] += [text for text, reason in texts if not reason]
            key = "" if isinstance(found, str) else found.key
            replies.append(Reply(ask=ask, texts=texts, key=key))
        return replies

    def _reason_in_prompt(self, space: SearchSpace, choice: str, shown: ShownTrial, text: str) -> str:
        """Why a text is no option of a trial's prompt; "" where the prompt with it can be sent, and is another one."""
        grown = {each.name: list(each.texts[len(each.texts) - each.grown :]) for each in space.factors if each.grow}
        grown[choice].append(text)
        tried = replace(self.prompts, template=self.prompts.template.with_grown(grown), grown=())
        positions = {**shown.candidate.to_dict(), choice: len(space.by_name[choice].options)}
        try:
            prepared = tried.prepared(tried.space.candidate(positions))
            prepared.request(self.prompts.data.rows[self.prompts.search_rows[0]].fields)
        except InputError as error:
            return f"breaks the template: {error}"
        return "" if prepared.prompt.source != shown.prepared.prompt.source else "does not change the prompt"

    def _asking(self, factor: Factor, ask: Ask, shown: ShownTrial) -> Asking:
        data = self.prompts.data
        own = shown.candidate.to_dict()[ask.choice]  # texts that come of rows alone are still of its form and language
        parents = tuple(factor.texts[position] for position in ask.parents or [own])
        return Asking(
            choice=ask.choice,
            purpose=factor.grow,
            parents=parents,
            rows=tuple(self._shown_row(row, shown) for row in ask.rows),
            labels=tuple(data.labels) if data.is_categorical else (),
            count=ask.count,
            prompt=self._prompt_without_shots(shown),
            longest=longest_option(parents),
        )

    def _shown_row(self, row: int, shown: ShownTrial) -> ShownRow:
        """A row with its target, and what the trial answered to it, or the one before it that the row was shown of."""
        found = self.prompts.data.rows[row]
        outcome = next((each for each in [*shown.outcomes, *shown.earlier] if each.row == row), None)
        answer = ""
        if outcome is not None:
            answer = self._answer_of(outcome)
        return ShownRow(
            fields={name: found[name] for name in self.prompts.data.fields},
            target=target_text(found.target),
            answer=answer,
            explanation=outcome.explanation if outcome else "",
            earlier=outcome in shown.earlier,
        )

    def _answer_of(self, outcome: Outcome) -> str:
        """What was answered, as text."""
        if outcome.calls is not None:  # the responses to its calls are not what a task answered
            return "" if outcome.answer is None else str(outcome.answer)
        whole = self.responder.responses([outcome.key])[outcome.key].text or ""
        return final_part(whole, quotes_tags=True) or whole  # reasoning would leave no room for the answer

    def _prompt_without_shots(self, shown: ShownTrial) -> str:
        """The trial's prompt as text, with placeholders for the row and without examples, which are rows; "" where its
        choices need some."""
        space, candidate = self.prompts.space, shown.candidate
        if not space.shows_shots(candidate):
            return shown.prepared.prompt.text
        if any(position >= len(space.by_name[name].options) for name, position in candidate.positions):
            return ""
        bare = space.without_shots(candidate)
        return "" if space.shows_shots(bare) else self.prompts.prepared(bare).prompt.text

    async def _answered(self, ask: Ask, asking: Asking) -> Answered | str:
        """The response of the proposer; or why nothing was sent."""
        operator, model = self._operator(ask.operator), self.proposer.model
        try:
            messages = operator.messages(asking)
        except InputError as error:
            return str(error)
        parameters = {
            "temperature": TEMPERATURE,
            "max_tokens": self.proposer.max_tokens,
            **self.proposer.request,
        }
        request = Request(
            endpoint=model.endpoint,
            model=model.name,
            messages=messages,
            parameters={name: value for name, value in parameters.items() if value is not None},
        )
        found = await respond(self.responder, request, Use(prompt=operator.source, split="search", role=PROPOSER))
        return found or "no call was left for the request, or the server refuses it"

    def _operator(self, name: str) -> Operator:
        return next(operator for operator in self.proposer.operators if operator.name == name)


def _checked(
    answered: Answered, asking: Asking, existing: Sequence[str], in_prompt: Callable[[str], str]
) -> list[tuple[str, str]]:
    """The texts of an answer, each with the reason why it is no option; "" where it is one. A request that failed is
    one without a text.

    Args:
        answered: the answer.
        asking: what was asked for.
        existing: the texts that the choice has.
        in_prompt: gives the reason why a text is no option of the prompt that was shown.
    """
    if answered.response.error:
        return [("", f"no answer: {answered.response.error}")]
    known = list(existing)
    checked: list[tuple[str, str]] = []
    for text in texts_in(answered.response.text or "", cut_off=answered.response.finish_reason == "length"):
        reason = reason_against(
            text,
            existing=known,
            parents=asking.parents,
            rows=asking.rows,
            labels=asking.labels,
            longest=asking.longest,
        )
        if not reason and len(known) == len(existing) + asking.count:
            reason = f"more than the {asking.count} texts that were asked for"
        reason = reason or in_prompt(text)
        known += [] if reason else [text]
        checked.append((text, reason))
    return checked or [("", "the answer holds no option")]


def longest_option(parents: Sequence[str]) -> int:
    """The number of characters that an option may have that comes of these.

    >>> longest_option(["Sort it."]), longest_option(["x" * 500])
    (600, 1000)
    """
    return max(LONGEST_OPTION, 2 * max(map(len, parents), default=0))


def growth_settings(plan: StudyPlan, responder: Responder, earlier: Sequence[ProposalRecord]) -> GrowthSettings | None:
    """How the choices of a study grow; None where it has no proposer.

    Args:
        plan: the study, with the options that an earlier version of it was given.
        responder: gets responses.
        earlier: what was proposed to that version.
    """
    proposer = plan.proposer
    if proposer is None:
        return None

    def grow(accepted: Sequence[ProposalRecord]) -> GrownSpace:
        prompts = plan.prompts.with_grown(accepted)
        return GrownSpace(space=prompts.space, prepare=prompts.prepared_with_rows)

    return GrowthSettings(
        operators={operator.name: operator.needs for operator in proposer.operators},
        share=proposer.share,
        propose=Proposing(proposer=proposer, prompts=plan.prompts, responder=responder),
        grow=grow,
        described=plan.search_rows[::-1][:DESCRIBED_ROWS],
        earlier=earlier,
    )


def unmet_needs(proposer: Proposer | None, search_calls: float) -> dict[str, str]:
    """What each operator needs, by its name, where a search that has asked for nothing had the calls to ask; else
    nothing.

    Args:
        proposer: the proposer of the study.
        search_calls: number of calls that the search had.
    """
    if proposer is None or not most_requests(proposer.share, search_calls * (1 - FINAL_SHARE)):
        return {}
    return {operator.name: operator.needs for operator in proposer.operators}
