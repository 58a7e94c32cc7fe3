"""The rows of a preflight, the most suspicious first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from prompt_search.data.rows import Row
from prompt_search.evaluation.outcome import Outcome
from prompt_search.llm.failures import kind_of
from prompt_search.metrics import Fields
from prompt_search.report.row_answers import AnsweredRow
from prompt_search.report.wording import instead_of
from prompt_search.results.frames import answer_text


def answered_rows(
    outcomes: Iterable[Outcome],
    rows: Sequence[Row],
    fields: Sequence[str],
    responses: Mapping[str, str],
    metric: object = None,
) -> tuple[AnsweredRow, ...]:
    """The rows of some outcomes, the most suspicious first: those on which prompts agree and are wrong.

    Args:
        outcomes: the outcomes.
        rows: all rows.
        fields: the fields that are shown.
        responses: the text of each response, by its key: what an answer is shown as that could not be read.
        metric: the study's metric; where it is `Fields`, answers are shown as the fields that are not right.
    """
    compared = metric if isinstance(metric, Fields) else None
    of_row: defaultdict[int, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_row[outcome.row].append(outcome)
    found = [_answered(rows[row], row, each, fields, responses, compared) for row, each in of_row.items()]
    return tuple(sorted(found, key=_trust))


def _answered(
    data: Row,
    row: int,
    outcomes: Sequence[Outcome],
    fields: Sequence[str],
    responses: Mapping[str, str],
    metric: Fields | None,
) -> AnsweredRow:
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    counted = Counter(_said(outcome, data, responses, metric) for outcome in outcomes)
    return AnsweredRow(
        row=row,
        text=" | ".join(answer_text(data[name]) for name in fields),
        target=answer_text(data.target),
        answers=tuple(counted.most_common()),
        score=sum(scores) / len(scores) if scores else None,
    )


def _said(outcome: Outcome, data: Row, responses: Mapping[str, str], metric: Fields | None) -> str:
    """An answer as text, or what is not right in it, or why there is none."""
    if outcome.error is not None:
        return f"request failed: {kind_of(outcome.error)}"
    if outcome.unparsed:
        return f"unread: {responses.get(outcome.key) or '(empty)'}"
    if metric is None:
        return answer_text(outcome.answer)
    found = metric.compared(outcome.answer, data.target if metric.column is None else data[metric.column])
    wrong = [(path, field) for path, field in found.items() if field.outcome != "right"]
    return ", ".join(f"{path}: {instead_of(field.given, field.wanted)}" for path, field in wrong) or "all fields right"


def _trust(found: AnsweredRow) -> tuple[float, float, int]:
    """What rows are sorted by: how right the answers are, how little wrong ones agree, the position."""
    agreement = found.answers[0][1] if found.answers else 0
    return (1.0 if found.score is None else found.score), -agreement, found.row
