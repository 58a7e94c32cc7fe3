"""One prompt's scores on labelled rows, and reading of the stored rows that they come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from prompt_search import _html
from prompt_search._json import ELSEWHERE, reading
from prompt_search.errors import StorageError
from prompt_search.llm.failures import fault_of
from prompt_search.metrics.ranges import UNBOUNDED, Range
from prompt_search.prompts.prompt import Prompt
from prompt_search.results import tables, wording
from prompt_search.results.breakdowns import below_full_score
from prompt_search.results.frames import answer_text, mean_of, with_columns_of
from prompt_search.results.lines import titles
from prompt_search.results.verdict import AnswerCounts, MeanScore
from prompt_search.results.view import Column, View, to_html
from prompt_search.storage.database import shown_url
from prompt_search.storage.records import FailedCall, Version
from prompt_search.storage.store import Store, open_to_read

SHOWN_FAILURES = 5
"""Number of failing rows that a notebook shows of an evaluation."""

SHOWN_CHARACTERS = 200
"""Number of characters of a target, answer or response that a notebook shows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The scores of one prompt on labelled rows, as `evaluate` and `Result.evaluation` return them.

    Args:
        prompt: the prompt.
        scores: the scores of the rows that have one; a failure that is the prompt's fault scores 0.
        errors: number of requests that failed.
        unparsed: number of answers that could not be parsed.
        ambiguous: number of answers that were the first of several in their response.
        failures: number of requests that failed, by kind of error.
        read: a function that returns the table of all scored rows, see `tables.scored_frame`; called on first use.
        name: its name in a comparison.
        metric: the name of the metric, where known: scores by different metrics are not compared.
        score_range: the range of the metric, which intervals keep to: (lowest, highest).
        texts: a function that gives what the prompt shows of rows, by row; None where that is not known.
        requests: keys of the requests of the rows that have a score: rows with the same one count as one in intervals.
    """

    prompt: Prompt
    scores: Sequence[float]
    errors: int
    unparsed: int
    read: Callable[[], pd.DataFrame]
    ambiguous: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    name: str = "evaluation"
    metric: str | None = None
    score_range: Range = UNBOUNDED
    texts: Callable[[Collection[int]], Mapping[int, str]] | None = None
    requests: Sequence[Hashable] = ()

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        scored: pd.DataFrame,
        name: str,
        metric: str | None,
        score_range: Range = UNBOUNDED,
    ) -> Evaluation:
        """An evaluation made of a prompt and the table of its rows."""
        counts = AnswerCounts.of(scored)
        return cls(
            prompt=prompt,
            scores=scored["score"].dropna().tolist(),
            requests=scored["key"][scored["score"].notna()].tolist(),
            errors=counts.errors,
            unparsed=counts.unparsed,
            read=lambda: scored,
            ambiguous=counts.ambiguous,
            failures=counts.failures,
            name=name,
            metric=metric,
            score_range=score_range,
        )

    def only(self, rows: Collection[int], splits: Collection[str]) -> Evaluation:
        """The evaluation of the same prompt on some rows and splits alone."""
        kept = self.scored["row"].isin(rows) & self.scored["split"].isin(splits)
        scored = self.scored[kept].reset_index(drop=True)
        return replace(self.of(self.prompt, scored, self.name, self.metric, self.score_range), texts=self.texts)

    @property
    def score(self) -> float:
        """The mean of the scores; NaN without scores."""
        return mean_of(self.scores)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of the mean: (low, high)."""
        _, low, high, _ = self._mean
        return low, high

    @property
    def _mean(self) -> MeanScore:
        return MeanScore.of(self.scores, self.score_range, self.requests)

    @property
    def counts(self) -> AnswerCounts:
        """What came of the requests."""
        missing = sum(count for kind, count in self.failures.items() if fault_of(kind) not in ("prompt", "judge"))
        return AnswerCounts(
            requests=len(self.scores) + missing,
            failures=self.failures,
            unparsed=self.unparsed,
            ambiguous=self.ambiguous,
        )

    @cached_property
    def scored(self) -> pd.DataFrame:
        """Everything known of each row; see `tables.scored_frame`.

        Raises:
            StorageError: the storage that holds it is gone or was cleared.
        """
        return self.read()

    @with_columns_of(tables.samples_frame)
    def samples_df(self) -> pd.DataFrame:
        """One row per scored data row."""
        return tables.samples_frame(self.scored)

    def _repr_html_(self) -> str:
        low, high = self.interval
        return _html.block(
            _html.fill("<div>{} {}</div>", repr(self), _html.bar(self.score, low, high)),
            to_html(failing_view(self)),
            _html.details(titles.THE_PROMPT, _html.messages(self.prompt.turns)),
        )

    def __repr__(self) -> str:
        return wording.evaluation_text(self._mean, self.counts)


def failing_view(evaluation: Evaluation, limit: int = SHOWN_FAILURES) -> View:
    """The rows with less than full score, failed requests first, then the worst."""
    failing = below_full_score(evaluation.samples_df())
    texts = {} if evaluation.texts is None else evaluation.texts(failing.head(limit)["row"].tolist())
    view = View(
        title=titles.failing_title(len(failing), limit),
        columns=(
            Column("row", "number"),
            Column(titles.ROW_TEXT, lines=4),
            Column("target"),
            Column("answer"),
            Column("score", "number", ".3f"),
            Column("response or error"),
        ),
        rows=tuple(
            (
                record["row"],
                _html.clipped(texts.get(record["row"], ""), SHOWN_CHARACTERS),
                _html.clipped(answer_text(record["target"]), SHOWN_CHARACTERS),
                "(none)"
                if record["answer"] is None
                else _html.clipped(answer_text(record["answer"]), SHOWN_CHARACTERS),
                record["score"],
                _html.clipped(record["error"] or record["response"], SHOWN_CHARACTERS),
            )
            for record in failing.head(limit).to_dict("records")
        ),
    )
    return view if texts else view.without(titles.ROW_TEXT)


def stored_calls(store: Store, study: str, end: int | None = None, failed: Sequence[FailedCall] = ()) -> pd.DataFrame:
    """The stored calls of a study, or those of a finished version of it; see `tables.calls_frame` and
    `Responses.call_columns`."""
    with reading(f"the calls of study {study!r}", ELSEWHERE):
        return tables.calls_frame(store.responses.call_columns(study, end, failed))


def stored_rows(store: Store, version: Version, calls: pd.DataFrame) -> pd.DataFrame:
    """The stored scored rows of a version of a study; see `tables.scored_frame`."""
    with reading(f"the scored rows of study {version.label!r}"):
        return tables.scored_frame(store.samples(version), calls)


def evaluated(storage: str | Store, name: str, rows: int) -> pd.DataFrame:
    """The stored rows of an evaluation; see `tables.scored_frame`.

    Raises:
        StorageError: fewer rows are stored.
    """
    if isinstance(storage, str):
        with closing(open_to_read(storage, "evaluate again")) as store:
            return evaluated(store, name, rows)
    scored = stored_rows(storage, Version(study=name), stored_calls(storage, name))
    if len(scored) < rows:
        raise StorageError(
            f"storage {shown_url(storage.url)!r} has {len(scored)} of the {rows} rows of this evaluation: it was "
            f"cleared or replaced; evaluate again"
        )
    return scored
