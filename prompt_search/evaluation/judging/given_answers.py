"""How a judge reaches answers that are there already: as `prompt_search.prompts.asking`, because what opens a storage
and a budget stands above it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from prompt_search._first_tries import told
from prompt_search._provided import Provided

if TYPE_CHECKING:
    import pandas as pd

    from prompt_search.budget import Budget
    from prompt_search.llm.dask_executor import AnyExecutor


class JudgeOptions(TypedDict):
    """The options of `Judge.scores_df` and `Judge.agreement_df`, which document them."""

    answer: str
    target: str | None
    budget: Budget | int | None
    storage: str | Path | None
    max_concurrency: int
    executor: AnyExecutor | None


class AnswerJudging(Protocol):
    """What asks a judge about answers; `prompt_search.evaluation.one_prompt.judged_answers` is one."""

    def scores_df(self, judge: Any, data: Any, options: JudgeOptions) -> pd.DataFrame: ...

    def agreement_df(self, judge: Any, data: Any, human: str, options: JudgeOptions) -> pd.DataFrame: ...


asking: Provided[AnswerJudging] = Provided()
"""What asks a judge."""


class JudgesAnswers:
    """What can judge answers that are there already: a part of a `Judge`."""

    __slots__ = ()

    @told("judge.scores_df(data, answer='COLUMN')", human="use judge.agreement_df(data, human='COLUMN')")
    def scores_df(
        self,
        data: Any,
        answer: str = "answer",
        *,
        budget: Budget | int | None = None,
        storage: str | Path | None = None,
        max_concurrency: int = 16,
        executor: AnyExecutor | None = None,
        target: str | None = None,
    ) -> pd.DataFrame:
        """Judge answers that are there already, a row for each; see `agreement.scores_frame` for the columns.

        Args:
            data: the rows, a `Dataset`, a table or the path of a file.
            answer: the column with the answers, which the judge does not see as a field of the row.
            budget: limits of what may be spent, a number counts calls; answers beyond them have an error.
            storage: the storage that caches responses; None keeps everything in memory.
            max_concurrency: number of requests in flight.
            executor: as for `Study`.
            target: name of the column with right answers; default: that of a `Dataset`, else none.

        Raises:
            InputError: there is no such column, or the budget cannot be kept.
            RunError: the judge's server cannot be reached or refuses all requests.
        """
        options = JudgeOptions(
            answer=answer,
            target=target,
            budget=budget,
            storage=storage,
            max_concurrency=max_concurrency,
            executor=executor,
        )
        return asking().scores_df(self, data, options)

    @told("judge.agreement_df(data, answer='COLUMN', human='COLUMN')")
    def agreement_df(
        self,
        data: Any,
        answer: str = "answer",
        human: str = "human",
        *,
        budget: Budget | int | None = None,
        storage: str | Path | None = None,
        max_concurrency: int = 16,
        executor: AnyExecutor | None = None,
        target: str | None = None,
    ) -> pd.DataFrame:
        """How well the judge agrees with people, a measure a row; see `agreement.agreement_frame` for the columns.

        Args:
            data: rows with answers, and the ratings that people gave them.
            human: the column with the ratings: numbers on the judge's scale, or its labels; for a judge of two answers
                1 where the answer is better than the other, 0 where it is worse, 0.5 for neither. Rows without a rating
                are judged, too.
            answer, budget, storage, max_concurrency, executor, target: as for `scores_df`.

        Raises:
            InputError: as `scores_df`; or a rating is not on the scale.
            RunError: as `scores_df`.
        """
        options = JudgeOptions(
            answer=answer,
            target=target,
            budget=budget,
            storage=storage,
            max_concurrency=max_concurrency,
            executor=executor,
        )
        return asking().agreement_df(self, data, human, options)
