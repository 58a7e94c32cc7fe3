"""A prompt in use: the model's answers about rows without targets. It is the `prompts.asking.Asker`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prompt_search.answers import Text, Unparsed
from prompt_search.budget import Spending
from prompt_search.data.origin import Origin
from prompt_search.data.rows import Row
from prompt_search.data.unlabelled import GIVEN, UnlabelledRows, one_row, rows_of
from prompt_search.errors import BudgetExceeded, InputError, RequestRefused, RunError, TemplateError
from prompt_search.evaluation.one_prompt.prompt_run import SPLIT, PromptRun, model_of, prepared_prompt, prompt_run
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.evaluation.own_thread import in_own_thread
from prompt_search.llm.failures import fault_of, kind_of
from prompt_search.llm.model import Model
from prompt_search.prompts.asking import AskOptions
from prompt_search.prompts.environment import environment
from prompt_search.prompts.habits import check_shows_row
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.task_check import check_needs_task
from prompt_search.results.evaluation import stored_calls
from prompt_search.results.tables import UNREAD, answers_frame

if TYPE_CHECKING:
    import pandas as pd


def ask(prompt: Prompt, row: Any, options: AskOptions) -> Any:
    """See `Prompt.ask`."""
    questions = _Questions.of(prompt, _alone(row), options)
    with questions.opened() as run:
        try:
            in_own_thread(lambda: questions.ask(run), run.stop)
        finally:
            run.store.close()
    return questions.answer(0)


async def aask(prompt: Prompt, row: Any, options: AskOptions) -> Any:
    """See `Prompt.aask`."""
    questions = _Questions.of(prompt, _alone(row), options)
    with questions.opened() as run:
        try:
            await questions.ask(run)
        finally:
            run.store.close()
    return questions.answer(0)


def ask_many(prompt: Prompt, rows: Any, options: AskOptions) -> pd.DataFrame:
    """See `Prompt.ask_many`."""
    found = answered(prompt, rows, options)
    if found.ended is not None:
        raise found.ended
    return found.table


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The table of `Prompt.ask_many`, what was spent on it, and the error that ended the run before any answer."""

    table: pd.DataFrame
    spent: Spending
    ended: RunError | None


def answered(prompt: Prompt, rows: Any, options: AskOptions) -> Answered:
    """As `ask_many`, with what was spent; where no row was answered, the table says of each why."""
    questions = _Questions.of(prompt, rows_of(rows), options)
    with questions.opened() as run:
        try:
            in_own_thread(lambda: questions.ask_all(run), run.stop)
            return Answered(table=questions.table(run), spent=run.ledger.paid, ended=questions.ended)
        finally:
            run.store.close()


async def aask_many(prompt: Prompt, rows: Any, options: AskOptions) -> pd.DataFrame:
    """See `Prompt.aask_many`."""
    questions = _Questions.of(prompt, rows_of(rows), options)
    with questions.opened() as run:
        try:
            await questions.ask_all(run)
            if questions.ended is not None:
                raise questions.ended
            return await run.store.in_thread(questions.table, run)
        finally:
            run.store.close()


def _alone(row: Any) -> UnlabelledRows:
    one = one_row(row)
    return UnlabelledRows(list(one), (one,), Origin(GIVEN))


def _unscored(answer: Any, row: Row) -> float:
    """The metric of rows without targets: nothing is scored."""
    return 0.0


@dataclass(frozen=True, kw_only=True)
class _Questions:
    """A prompt and the rows that a model is asked about, and the outcomes as they come."""

    prepared: PreparedPrompt
    model: Model
    given: UnlabelledRows
    options: AskOptions
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    ends: list[RunError] = field(default_factory=list)
    """The error that ended the run, if one did."""

    @classmethod
    def of(cls, prompt: Prompt, given: UnlabelledRows, options: AskOptions) -> _Questions:
        """The questions, checked before anything is sent.

        Raises:
            InputError: there is no model, or the answer form cannot be used yet.
            TemplateError: the prompt does not fit a row.
        """
        check_needs_task(prompt)
        model = model_of(prompt, options["model"])
        prepared = prepared_prompt(prompt, model, options["answer"], Text)
        if prepared.answer.needs_calibration:
            raise InputError(
                f"the answer form of the prompt {prompt.name!r} is calibrated on labelled rows, and is not yet; "
                "export the winner of a study, take the prompt of ps.evaluate(...), or give another answer="
            )
        check_shows_row(environment().parse(prompt.source), prompt.name, given.names)
        for place, row in enumerate(given.rows):
            try:
                prepared.prompt.render(row.fields)
            except TemplateError as error:
                raise InputError(f"{given.place(place)}: {error}") from None
        return cls(prepared=prepared, model=model, given=given, options=options)

    def opened(self) -> AbstractContextManager[PromptRun]:
        """What the requests go through."""
        return prompt_run(
            self.model,
            self.given.rows,
            metric=_unscored,
            budget=self.options["budget"],
            count=len(self.given.rows),
            storage=self.options["storage"],
            max_concurrency=self.options["max_concurrency"],
            executor=self.options["executor"],
            ends_unread=False,  # an answer that cannot be read is a line of the table
        )

    async def ask(self, run: PromptRun) -> None:
        """Ask about every row. What was lost on the road is asked again once.

        Raises:
            RunError: the run ended.
        """

        async def done(place: int, outcome: Outcome) -> None:
            self.outcomes[place] = outcome

        async with run.connected() as evaluator:
            await evaluator.each(self._jobs(range(len(self.given.rows))), SPLIT, done)
            lost = {place: outcome for place, outcome in self.outcomes.items() if outcome.is_lost}
            again = await evaluator.evaluate_again(list(self._jobs(list(lost))), list(lost.values()), SPLIT)
            self.outcomes.update(zip(lost, again, strict=True))

    async def ask_all(self, run: PromptRun) -> None:
        """As `ask`; where the run ends, what was answered is kept."""
        try:
            await self.ask(run)
        except RunError as error:
            self.ends.append(error)

    @property
    def ended(self) -> RunError | None:
        """The error that ended the run before any row was answered, if one did."""
        answered = any(outcome.error is None for outcome in self.outcomes.values())
        return self.ends[0] if self.ends and not answered else None

    def _jobs(self, places: Sequence[int]) -> list[tuple[PreparedPrompt, int]]:
        return [(self.prepared, place) for place in places]

    def answer(self, place: int) -> Any:
        """The answer about one row.

        Raises:
            RunError: the request failed, or the budget left no room for it.
        """
        outcome = self.outcomes.get(place)
        if outcome is None:
            raise BudgetExceeded("the budget left no room for the request; give a larger one")
        if outcome.error is not None:
            if kind_of(outcome.error) == "budget":
                raise BudgetExceeded(f"the request failed: {outcome.error}; give a larger budget")
            if fault_of(outcome.error) == "road":
                raise RunError(f"the request failed: {outcome.error}; ask again")
            raise RequestRefused(f"the request failed: {outcome.error}; change the row or the prompt")
        return Unparsed(outcome.explanation.removeprefix(UNREAD)) if outcome.unparsed else outcome.answer

    def table(self, run: PromptRun) -> pd.DataFrame:
        """The table of all rows; see `Prompt.ask_many`."""
        places = sorted(self.outcomes)
        records = [self.outcomes[place].to_record(0, SPLIT, None) for place in places]
        unsent = f"not sent: {self.ends[0]}" if self.ends else f"budget: not sent, as {run.ledger.budget} is used up"
        return answers_frame(
            self.given.columns,
            records,
            stored_calls(run.store, run.name),
            rows=len(self.given.rows),
            unsent=unsent,
            index=self.given.index,
        )
