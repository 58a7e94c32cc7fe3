"""A judge: a model that scores answers, and what it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from prompt_search._first_tries import told_class
from prompt_search.answers.base import check_max_tokens
from prompt_search.answers.label import TOP_LOGPROBS
from prompt_search.data.rows import Row, listed
from prompt_search.errors import InputError
from prompt_search.evaluation.judging.arguments import (
    PAIR,
    PAIR_SAID,
    READS,
    ROOM_FOR_RATING,
    ROOM_FOR_REASON,
    check_repeats,
    check_template,
    check_weighted,
    context_of,
    parameters_of,
    reads_of,
    scale_of,
    template_of,
)
from prompt_search.evaluation.judging.given_answers import JudgesAnswers
from prompt_search.llm.given_model import check_model
from prompt_search.llm.messages import Message, Request
from prompt_search.llm.model import Model
from prompt_search.metrics.ranges import Range
from prompt_search.metrics.scale import AnyScale, Scale
from prompt_search.prompts.environment import render_messages
from prompt_search.prompts.growing.asked import target_text
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.request_template import compiled, variables_of
from prompt_search.prompts.template import Template

LOGPROBS: Final[Mapping[str, Any]] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
"""The parameters that ask for log-probabilities."""


class _Fields(dict[str, Any]):
    """The fields of a row, whose ``answer`` is the judged one where the row has no such column."""

    def __init__(self, fields: Mapping[str, Any], answer: str) -> None:
        super().__init__(fields)
        self._answer = answer

    def __missing__(self, name: str) -> str:
        if name == "answer":
            return self._answer
        raise KeyError(name)


@told_class(
    "ps.Judge('quality', model='NAME', scale=(1, 5))",
    temperature="write request={'temperature': ...}",
    labels="write scale=[...], from worst to best",
    rubric="write context={'rubric': ...}",
    prompt="write the template first",
    samples="write repeats=",
)
@dataclass(frozen=True, init=False, repr=False)
class Judge(JudgesAnswers):
    """A metric: a model that rates answers. Its calls have the role ``judge`` in budget, ledger and tables.

    A template reads ``row`` (the fields of the row, without its target), ``answer``, ``target``, ``scale`` (in words),
    ``levels`` (a list), ``explain``, ``mark`` (a text that none of the values contains) and the names of ``context``.
    ``row.answer`` is the answer, too, so that a prompt that was found by a study of judged answers is a template as it
    is. Instead of ``answer`` it may read ``first`` and ``second``: it then compares the answer with another one, and
    is asked in both orders.

    The score is 0 for the worst level and 1 for the best. Where the server gives log-probabilities and the first token
    is on the scale, it is the expected score by the probabilities of its levels (Liu et al. 2023, G-Eval), else that of
    the rating that is written. An answer of the judge without a rating is a failure of its own kind
    (`prompt_search.llm.failures`), and counts as the lowest score.

    Args:
        template: ``quality``, ``reference`` or ``pairwise``; the path of a template; its text; a `Prompt` or a
            `Template` without choices.
        model: the judge, a `Model` or its name. It may be another one, on another server, than the one that is judged.
        scale: two whole numbers, the best last; labels from worst to best, whose scores are then even; or the score of
            each label. None: that of the shipped template, else 1 to 5; for two answers A, B and tie.
        reads: what the template may read of ``row``, ``answer`` and ``target``; a template that reads more is refused.
        context: further variables of the template, such as ``rubric``.
        repeats: how often each answer is judged; the score is the mean. Every second time the scale is shown in the
            other order; with a temperature above 0, more repeats differ by chance.
        weighted: True requires scores by probability, False does without.
        explain: whether a reason is asked for, which is the explanation of the score.
        max_tokens: the most tokens of an answer; default: 160 with a reason, 8 without.
        request: other request parameters; the temperature is 0 unless given.
        against: for two answers, the column with the other one; default: the target.

    Raises:
        InputError: an argument breaks one of these rules.
        TemplateError: the template cannot be read, is broken, or does not read the answer.

    >>> judge = Judge("Rate {{ answer }} with {{ scale }}.", model="gpt-4.1", scale=["bad", "good"])
    >>> judge.name, judge.calls, judge.score_range
    ('judge', 1, Range(low=0.0, high=1.0))
    """

    template: str
    source: str
    model: Model
    scale: Scale = field(hash=False)
    reads: tuple[str, ...]
    context: Mapping[str, Any] = field(hash=False)
    repeats: int
    weighted: bool | None
    explain: bool
    max_tokens: int
    request: Mapping[str, Any] = field(hash=False)
    against: str | None

    def __init__(
        self,
        template: str | Path | Prompt | Template,
        *,
        model: Model | str,
        scale: AnyScale | None = None,
        reads: Sequence[str] = READS,
        context: Mapping[str, Any] | None = None,
        repeats: int = 1,
        weighted: bool | None = None,
        explain: bool = True,
        max_tokens: int | None = None,
        request: Mapping[str, Any] | None = None,
        against: str | None = None,
    ) -> None:
        check_model(model)
        name, source = template_of(template)
        most = (ROOM_FOR_REASON if explain else ROOM_FOR_RATING) if max_tokens is None else max_tokens
        check_max_tokens(most)
        values = {
            "template": name,
            "source": source,
            "model": Model.parse(model) if isinstance(model, str) else model,
            "reads": reads_of(reads),
            "context": context_of(context),
            "repeats": repeats,
            "weighted": weighted,
            "explain": explain,
            "max_tokens": most,
            "request": parameters_of(request),
            "against": against,
        }
        for each, value in values.items():
            object.__setattr__(self, each, value)
        check_template(source, self.name, reads=self.reads, context=self.context, against=against)
        object.__setattr__(self, "scale", scale_of(scale, name, pairwise=self.is_pairwise))
        check_weighted(weighted, self.scale)
        check_repeats(repeats, 2 if self.shows_scale and not self.is_pairwise else 1, self.request)

    @property
    def name(self) -> str:
        """The name of the metric: ``judge``, with that of its template where it has one."""
        return f"judge {self.template}" if self.template else "judge"

    @property
    def score_range(self) -> Range:
        """The lowest and the highest score."""
        return self.scale.range

    @property
    def is_pairwise(self) -> bool:
        """Whether two answers are compared."""
        return bool(self._variables & set(PAIR))

    @property
    def calls(self) -> int:
        """The number of calls that an answer takes; equal answers to a row are judged once."""
        return self.repeats * (2 if self.is_pairwise else 1)

    @property
    def shows_scale(self) -> bool:
        """Whether the template shows the scale, so that its order can change."""
        return bool(self._variables & {"scale", "levels"})

    @property
    def reads_target(self) -> bool:
        """Whether rows need a target."""
        return "target" in self._variables or (self.is_pairwise and self.against is None)

    @property
    def _variables(self) -> frozenset[str]:
        return variables_of(self.source, self.name)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of its requests."""
        weights = self.weighted is not False and self.scale.weighable
        asked = LOGPROBS if weights else {}
        return {"max_tokens": self.max_tokens, **asked, **self.request}

    def identity(self) -> dict[str, Any]:
        """What makes a study with another judge another study, as JSON.

        Raises:
            InputError: the model's address is not known.
        """
        settings = {name: getattr(self, name) for name in ("repeats", "weighted", "explain", "against", "template")}
        return {
            "model": self.model.name,
            "endpoint": self.model.endpoint,
            "source": hashlib.sha256(self.source.encode()).hexdigest(),
            "scale": dict(self.scale.scores),
            "numbers": self.scale.numbers,
            "pairwise": self.is_pairwise,
            "context": dict(self.context),
            "parameters": self.parameters,
            **settings,
        }

    def validate(self, fields: Sequence[str]) -> None:
        """Check before a run that rows with these columns have what the judge reads.

        Raises:
            InputError: the column of the other answer is missing.
        """
        if self.against is not None and self.against not in fields:
            raise InputError(
                f"the judge compares with the column {self.against!r}, which is not in the data; there are: "
                f"{listed(sorted(fields))}"
            )

    def requests(self, answer: Any, row: Row) -> Iterator[tuple[Request, bool]]:
        """The requests that an answer to a row takes, in their order, each with whether it shows the scale, or the two
        answers, in the other order."""
        for repeat in range(self.repeats):
            if self.is_pairwise:
                yield from ((self._request(answer, row, swapped, repeat), swapped) for swapped in (False, True))
            else:
                swapped = repeat % 2 == 1 and self.shows_scale
                yield self._request(answer, row, swapped, repeat // 2 if self.shows_scale else repeat), swapped

    def _request(self, answer: Any, row: Row, swapped: bool, sample: int) -> Request:
        return Request(
            endpoint=self.model.endpoint,
            model=self.model.name,
            messages=self.messages(answer, row, swapped=swapped),
            parameters=self.parameters,
            sample=sample,
        )

    def messages(self, answer: Any, row: Row, *, swapped: bool = False) -> tuple[Message, ...]:
        """The messages of a request about an answer to a row.

        Args:
            answer: the answer.
            row: the row.
            swapped: whether the scale, or the two answers, are shown in the other order.

        Raises:
            TemplateError: the template raised an error.
        """
        judged = target_text(answer)
        shown = row.fields if isinstance(row.fields, Row) else row  # a column may be called fields
        fields = {name: shown[name] for name in shown if name != self.against}
        target = None if shown is row else row.target
        values: dict[str, Any] = {"row": _Fields(fields, judged), "answer": judged, "target": target}
        if self.is_pairwise:
            other = self.other_answer(row)
            pair = (other, judged) if swapped else (judged, other)
            values = {"row": _Fields(fields, judged), **dict(zip(PAIR, pair, strict=True))}
        about = {
            "scale": self.scale.said(reverse=swapped) if not self.is_pairwise else PAIR_SAID,
            "levels": self.scale.levels[::-1] if swapped and not self.is_pairwise else self.scale.levels,
            "explain": self.explain,
            "mark": _mark(fields, judged, target),
        }
        return render_messages(compiled(self.source, self.name), {**values, **about, **self.context})

    def other_answer(self, row: Row) -> str:
        """The answer that the one to a row is compared with."""
        return target_text(row.target if self.against is None else row[self.against])

    def __call__(self, answer: Any, row: Row) -> NoReturn:
        """A judge is asked by those who keep a budget.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"a judge sends requests, so it cannot be called as a function; give metric={self!r} to ps.Study or "
            "ps.evaluate, or score answers that you have with judge.scores_df(data)"
        )

    def __repr__(self) -> str:
        return f"Judge({self.template or 'template'!r}, model={self.model.name!r})"


def _mark(*values: Any) -> str:
    """Eight characters that no text contains which was written before all of them were known."""
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:8]
