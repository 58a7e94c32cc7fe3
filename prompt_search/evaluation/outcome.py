"""What is scored, and what came of it: a prompt that is ready to be sent, and its outcome on one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prompt_search.answers.base import Answer
from prompt_search.data.rows import Row
from prompt_search.llm.failures import fault_of
from prompt_search.llm.messages import Request
from prompt_search.metrics.objective import UNKNOWN_COST, RowCost
from prompt_search.prompts.prompt import Prompt
from prompt_search.storage.records import Judgement, SampleRecord, TaskCalls

CONTENT_FREE = "N/A"
"""Text in every field of the content-free row, whose response calibrates the others (Zhao et al. 2021)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPrompt:
    """A prompt, the model that it is sent to, and the answer form that parses its responses.

    Prompts that differ only in ``sample`` send the same requests again, and their responses are stored separately.
    ``shown`` has the rows that the prompt shows as examples, where the study keeps track of them.
    """

    prompt: Prompt
    answer: Answer
    model: str
    endpoint: str
    sample: int = 0
    shown: tuple[int, ...] = ()

    def request(self, row: Any) -> Request:
        """The request for one row's fields."""
        return Request(
            endpoint=self.endpoint,
            model=self.model,
            messages=self.prompt.render(row),
            parameters=self.prompt.parameters,
            sample=self.sample,
        )

    @property
    def identity(self) -> tuple[object, ...]:
        """A value that is equal for prepared prompts that send the same requests and parse responses alike."""
        parameters = sorted((name, repr(value)) for name, value in self.prompt.parameters.items())
        return (self.prompt.source, tuple(parameters), repr(self.answer), self.model, self.endpoint)

    def requests(self, row: Row) -> list[Request]:
        """Every request that a row needs; where the answer is calibrated the content-free request comes first."""
        requests = [self.request(row.fields)]
        if self.answer.needs_baseline:
            blank = {name: CONTENT_FREE if isinstance(row[name], str) else row[name] for name in row.fields}
            requests.insert(0, self.request(Row(blank)))
        return requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one prepared prompt on one row.

    ``error`` says why the request failed. A failure that is the prompt's fault (`prompt_search.llm.failures`) scores 0
    like a wrong answer; after any other the ``score`` is None, and the row is missing. An answer that could not be read
    scores 0 and is ``unparsed``; one that was the first of several in its response is ``ambiguous``. ``cached`` says
    whether the response cost nothing in this run. ``margin`` is by how much the answer is right (above 0) or wrong
    (below 0), where the response has probabilities. ``judgements`` has what a judge answered; where a request to it
    failed on the road, ``key`` is that of this request. ``cost`` is what the response took; nothing is known of a
    failure. ``calls`` has the requests that a task made for the row, None without a task; ``key`` is then that of the
    last one, or of the one that failed, "" where it made none.
    """

    row: int
    key: str
    answer: Any
    score: float | None
    explanation: str
    unparsed: bool
    error: str | None
    cached: bool
    margin: float | None = None
    ambiguous: bool = False
    judgements: tuple[Judgement, ...] = ()
    cost: RowCost = UNKNOWN_COST
    calls: TaskCalls | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the request failed on the road, so that it is worth sending again."""
        return self.error is not None and fault_of(self.error) == "road"

    def to_record(self, trial: int, split: str, target: Any) -> SampleRecord:
        """The record that the storage keeps of the outcome.

        Args:
            trial: number of the trial whose prompt it was.
            split: what the row was scored for.
            target: the row's target.
        """
        return SampleRecord(
            trial=trial,
            row=self.row,
            split=split,
            key=self.key,
            answer=self.answer,
            target=target,
            score=self.score,
            explanation=self.explanation,
            unparsed=self.unparsed,
            error=self.error,
            cached=self.cached,
            ambiguous=self.ambiguous,
            judgements=list(self.judgements),
            calls=self.calls,
        )

    @classmethod
    def failed(cls, row: int, key: str, error: str, cached: bool, wrong: float = 0.0) -> Outcome:
        """The outcome of a request that failed: a wrong answer, with the score ``wrong``, where that is the prompt's
        fault, or a judge gave no rating."""
        score = wrong if fault_of(error) in ("prompt", "judge") else None
        return cls(
            row=row, key=key, answer=None, score=score, explanation="", unparsed=False, error=error, cached=cached
        )
