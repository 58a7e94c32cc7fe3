"""Answers that are there already, judged without a study."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import Row, listed
from prompt_search.data.unlabelled import rows_of
from prompt_search.errors import BudgetExceeded, InputError
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.judging.arguments import FIRST_BETTER, PAIR_SCALE
from prompt_search.evaluation.judging.given_answers import JudgeOptions
from prompt_search.evaluation.judging.judge import Judge
from prompt_search.evaluation.judging.judging import Judged, Judging, judging_of
from prompt_search.evaluation.one_prompt.prompt_run import SPLIT, prompt_run
from prompt_search.evaluation.own_thread import in_own_thread
from prompt_search.results.frames import answer_text
from prompt_search.results.judged import agreement
from prompt_search.results.judged.agreement import JudgedAnswer

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE: Final = 500
"""Number of answers that are judged at the same time, as far as requests in flight allow."""

UNASKED: Final = "budget: the budget left no room for this answer"
NO_ANSWER: Final = "unparsed: there is no answer"
"""The errors of answers that the judge was not asked about."""


def scores_df(judge: Judge, data: Any, options: JudgeOptions) -> pd.DataFrame:
    """See `Judge.scores_df`."""
    return agreement.scores_frame(_JudgedAnswers.of(judge, data, options).judged(options))


def agreement_df(judge: Judge, data: Any, human: str, options: JudgeOptions) -> pd.DataFrame:
    """See `Judge.agreement_df`."""
    answers = _JudgedAnswers.of(judge, data, options, human)
    if sum(not math.isnan(each) for each in answers.human) < agreement.LEAST_ANSWERS:
        raise InputError(
            f"the column {human!r} has fewer than {agreement.LEAST_ANSWERS} ratings of people; write more into it"
        )
    kind: agreement.ScaleKind = "pair" if judge.is_pairwise else "numbers" if judge.scale.numbers else "labels"
    return agreement.agreement_frame(answers.judged(options), kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class _JudgedAnswers:
    """Answers to judge, and what people think of them.

    Attributes:
        judge: the judge.
        rows: the rows, without the columns of answers and of people's ratings.
        answers: the answer to each row.
        human: people's scores; NaN where they gave none.
    """

    judge: Judge
    rows: Sequence[Row]
    answers: Sequence[Any]
    human: Sequence[float]

    @classmethod
    def of(cls, judge: Judge, data: Any, options: JudgeOptions, human: str | None = None) -> _JudgedAnswers:
        """The answers in a table, see `Judge.scores_df`.

        Raises:
            InputError: a column is missing, or a rating is not on the judge's scale.
        """
        given, answer, target = rows_of(data), options["answer"], options["target"]
        right = data.target if isinstance(data, Dataset) and target is None else target
        own = {answer, human} - {None}
        right = None if right in own else right
        for name, what in ((answer, "answer"), (human, "human"), (right, "target"), (judge.against, "against")):
            if name is not None and name not in given.names:
                there = listed(given.names)
                raise InputError(f"{what}= names the column {name!r}, which is not there; there are: {there}")
        if right is None and judge.reads_target:
            raise InputError(
                f"{judge!r} reads the target, and the data has none; give target='COLUMN', the one with right answers"
            )
        rows = [
            Row({name: row[name] for name in row if name not in own}, target=right if right in row else None)
            for row in given.rows
        ]
        columns = given.columns
        ratings = [None] * len(rows) if human is None else columns[human]
        return cls(
            judge=judge,
            rows=rows,
            answers=columns[answer],
            human=[_human(judge, rating, place) for place, rating in enumerate(ratings)],
        )

    def judged(self, run: JudgeOptions) -> list[JudgedAnswer]:
        """What the judge says of each answer."""
        judge = self.judge
        with prompt_run(
            judge.model,
            self.rows,
            metric=judge,
            budget=run["budget"],
            count=len(self.rows),
            storage=run["storage"],
            max_concurrency=run["max_concurrency"],
            executor=run["executor"],
        ) as opened:

            async def work() -> list[Judged | None]:
                async with opened.connected() as evaluator:
                    return await self._ask(evaluator, judging_of(opened.settings, evaluator.responder))

            try:
                found = in_own_thread(work, opened.stop)
            finally:
                opened.store.close()
        return [self._made(place, judged) for place, judged in enumerate(found)]

    async def _ask(self, evaluator: Evaluator, judging: Judging | None) -> list[Judged | None]:
        """What the judge says of each answer, with what was lost on the road asked again; None where the budget left no
        room."""
        assert judging is not None  # the metric of the run is the judge
        places = [*range(len(self.rows))]
        found: dict[int, Judged | None] = {}
        for start in range(0, len(places), AT_ONCE):
            found |= await self._ask_some(judging, places[start : start + AT_ONCE])
        evaluator.responder.check_answered()
        lost = {place: judged.lost[0] for place, judged in found.items() if judged is not None and judged.lost}
        evaluator.responder.send_again(set(lost.values()))
        found |= {place: now or found[place] for place, now in (await self._ask_some(judging, [*lost])).items()}
        return [found[place] for place in places]

    async def _ask_some(self, judging: Judging, places: Sequence[int]) -> dict[int, Judged | None]:
        async def ask(place: int) -> Judged | None:
            try:
                return await judging.judged(self.answers[place], self.rows[place], SPLIT)
            except BudgetExceeded:
                return None

        asked = [place for place in places if self.answers[place] is not None]
        found = await asyncio.gather(*map(ask, asked), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        made = [None if isinstance(each, BaseException) else each for each in found]
        return {**dict.fromkeys(places), **dict(zip(asked, made, strict=True))}

    def _made(self, place: int, judged: Judged | None) -> JudgedAnswer:
        human = self.human[place]
        if judged is None:
            error = UNASKED if self.answers[place] is not None else NO_ANSWER
            judged = Judged(judgements=(), lost=("", error))
        levels = [each.level for each in judged.judgements if each.score is not None]
        if self.judge.is_pairwise and judged.score is not None:
            levels = [self._level(judged.score)]  # of both orders together
        return JudgedAnswer(
            row=place,
            score=judged.score,
            level="".join(levels[:1]),
            reason=judged.reason,
            error=judged.error,
            judgements=judged.judgements,
            human=human,
            human_level="" if math.isnan(human) else self._level(human),
            length=self._length(place),
        )

    def _level(self, score: float) -> str:
        """The level of a score, the nearest one; for two answers, who is better."""
        if self.judge.is_pairwise:
            return FIRST_BETTER[(score > 0.5) - (score < 0.5)]
        scores = self.judge.scale.scores
        return min(scores, key=lambda level: abs(scores[level] - score))

    def _length(self, place: int) -> float:
        length = math.log2(max(1, len(answer_text(self.answers[place]))))
        if not self.judge.is_pairwise:
            return length
        return length - math.log2(max(1, len(self.judge.other_answer(self.rows[place]))))


def _human(judge: Judge, rating: Any, place: int) -> float:
    """The score that people gave; NaN where there is none.

    Raises:
        InputError: it is not on the scale.
    """
    if rating is None or rating == "" or rating != rating:
        return math.nan
    try:
        if not judge.is_pairwise:
            return judge.scale.score(rating)
        value = float(rating)
        if value in PAIR_SCALE.scores.values():
            return value
    except InputError as error:
        raise InputError(f"row {place}: {error}") from None
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"row {place}: people's rating of two answers is 1 where the answer is better than the other one, 0 where it "
        f"is worse, 0.5 for neither, not {rating!r}; correct it"
    )
