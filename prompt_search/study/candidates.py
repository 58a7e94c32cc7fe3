"""The candidates of a study: its search space, and the prompt of every candidate in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count
from typing import Any

from prompt_search._names import check_name
from prompt_search.answers.base import Answer
from prompt_search.answers.forms import from_dict
from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import Row
from prompt_search.errors import InputError, StudyError, TemplateError
from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.llm.model import Model
from prompt_search.prompts.factors import Candidate, Factor, Kind, Options
from prompt_search.prompts.few_shot import ExamplePool, OwnAnswers, needs_own_answers, rows_shown
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.space import FROM_TEMPLATE, WRITTEN, SearchSpace
from prompt_search.prompts.static_checks import RESERVED
from prompt_search.prompts.template import Template
from prompt_search.storage.records import ProposalRecord

SIZED_ROWS = 5
"""Number of search rows over which the sizes of prompts are compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CandidatePrompts:
    """From candidates to prompts.

    Attributes:
        template: the template, with the study's context.
        data: all rows.
        search_rows: positions of the rows that the search may use, in their common order.
        pool: rows that few-shot examples come from.
        models, answers: models and answer forms to choose from.
        request: request parameters, each a value or a choice.
        settings: the choices outside of the template, those with a single option included; the first is the answer's.
        written: prompts that somebody wrote as a whole, by name.
        grown: options that a model proposed and that were accepted.
    """

    template: Template
    data: Dataset
    search_rows: Sequence[int]
    pool: ExamplePool
    models: Sequence[Model]
    answers: Sequence[Answer]
    request: Mapping[str, Any]
    settings: Sequence[Factor]
    written: Mapping[str, Prompt] = field(default_factory=dict)
    grown: Sequence[ProposalRecord] = ()

    @cached_property
    def space(self) -> SearchSpace:
        """The search space: choices of the template, and settings with more than one option."""
        extra = [factor for factor in self.settings if len(factor.options) > 1]
        own = self.template.space(self._any_row, pool=self.pool, extra=extra)
        return own.with_written(tuple(self.written)) if self.written else own

    def with_grown(self, accepted: Sequence[ProposalRecord]) -> CandidatePrompts:
        """The same candidates, and those with these options, in place of other ones that were proposed."""
        texts: dict[str, list[str]] = {}
        for each in accepted:
            texts.setdefault(each.choice, []).append(each.text)
        return replace(self, template=self.template.with_grown(texts), grown=tuple(accepted))

    def with_own_answers(self, own: OwnAnswers | None) -> CandidatePrompts:
        """The same candidates, where it is known how the model itself answers the rows of the pool."""
        return replace(self, pool=replace(self.pool, own=own))

    @property
    def needs_own_answers(self) -> bool:
        """Whether an option picks shots by what the model itself answers."""
        pickers = (factor for factor in self.space.factors if factor.name.endswith(".picker"))
        return any(needs_own_answers(map(str, factor.options)) for factor in pickers)

    @property
    def pool_rows(self) -> Sequence[int]:
        """The rows of the pool, in its order."""
        return self.search_rows[len(self.search_rows) - len(self.pool) :]

    @cached_property
    def _aside(self) -> dict[tuple[str, int], frozenset[int]]:
        """The rows that candidates with an option are not scored on, by choice and position."""
        return {(each.choice, each.position): frozenset(each.aside) for each in self.grown}

    def with_written(self, prompt: Prompt) -> CandidatePrompts:
        """The same candidates, and one more prompt that somebody wrote as a whole.

        Raises:
            InputError: the prompt has choices of its own, reads what is not there, or a choice has the name `WRITTEN`.
        """
        check_name(prompt.name, "a prompt")
        template = Template(prompt.source, name=prompt.name, context=self.template.context)
        if template.names:
            raise TemplateError(
                "a prompt that is enqueued as a whole has no choices; fill them in, or give the template to a study",
                template=prompt.name,
                line=template.lines[template.names[0]],
            )
        template.check(self.data.fields, self.data.target, exported=bool(prompt.answer))
        if WRITTEN in (*self.template.names, *self.request):
            raise StudyError(
                f"{WRITTEN!r} is a choice here and says which prompt was enqueued as a whole; rename yours"
            )
        form = from_dict(prompt.answer) if prompt.answer else self.answers[0]
        source = template.specialize({"answer": form.name}, self._any_row, pool=self.pool)
        names = chain([prompt.name], (f"{prompt.name} {number}" for number in count(2)))
        name = next(name for name in names if name not in (FROM_TEMPLATE, *self.written))
        return replace(self, written={**self.written, name: replace(prompt, source=source)})

    @property
    def _any_row(self) -> Row:
        """The fields of a row, for renderings that do not depend on which row it is."""
        return self.data.rows[self.search_rows[0]].fields

    def prepared(self, candidate: Candidate) -> PreparedPrompt:
        """The prompt of a candidate, with its model and answer form."""
        written = self.written_as(candidate)
        if written is not None:
            return self._prepared_as_written(written, self.space.texts(candidate))
        values = self.space.values(candidate)
        answer: Answer = values.get("answer", self.answers[0])
        model: Model = values.get("model", self.models[0])
        request = {key: values.get(key, options_of(value)[0]) for key, value in self.request.items()}
        parameters = {"temperature": 0, **answer.parameters, **request}
        prompt = Prompt(
            source=self.template.specialize(self._template_choices(candidate), self._any_row, pool=self.pool),
            choices=self.space.texts(candidate),
            parameters={key: value for key, value in parameters.items() if value is not None},
            answer=answer.to_dict(),
            model=model.name,
            name=self.template.name,
        )
        shown = self._pool_rows_shown(candidate)
        return PreparedPrompt(prompt=prompt, answer=answer, model=model.name, endpoint=model.endpoint, shown=shown)

    def _pool_rows_shown(self, candidate: Candidate) -> tuple[int, ...]:
        """The rows of the pool that a candidate's prompt shows to every row; none where nobody asks about the pool."""
        if self.pool.own is None:
            return ()
        shots = self._fixed_shots(candidate)
        pairs = zip(self.pool_rows, self.pool.examples, strict=True)
        return tuple(row for row, each in pairs if any(each.items() <= shot.items() for shot in shots))

    def written_as(self, candidate: Candidate) -> Prompt | None:
        """The prompt of a candidate that was written as a whole; None for those of the template."""
        return self.written.get(self.space.texts(candidate).get(WRITTEN, FROM_TEMPLATE))

    def _prepared_as_written(self, prompt: Prompt, choices: Mapping[str, str]) -> PreparedPrompt:
        """A prompt written as a whole. An exported one is sent as it was, another with the study's settings."""
        answer = from_dict(prompt.answer) if prompt.answer else self.answers[0]
        model = next((model for model in self.models if model.name == prompt.model), self.models[0])
        first = {key: options_of(value)[0] for key, value in self.request.items()}
        settings = {} if prompt.answer else {"temperature": 0, **answer.parameters, **first}
        parameters = {key: value for key, value in {**settings, **prompt.parameters}.items() if value is not None}
        sent = replace(prompt, choices=choices, parameters=parameters, answer=answer.to_dict(), model=model.name)
        return PreparedPrompt(prompt=sent, answer=answer, model=model.name, endpoint=model.endpoint)

    def prepared_with_rows(self, candidate: Candidate) -> tuple[PreparedPrompt, Sequence[int]]:
        """The prompt of a candidate, and the rows that it may be scored on."""
        return self.prepared(candidate), self.rows_for(candidate)

    def size(self, prepared: PreparedPrompt) -> float:
        """The number of bytes of a prompt's messages: the mean over the first search rows."""
        rows = [self.data.rows[row].fields for row in self.search_rows[:SIZED_ROWS]]
        messages = [message for row in rows for message in prepared.request(row).messages]
        return sum(len(each.content.encode("utf-8", "surrogatepass")) for each in messages) / len(rows)

    def rows_for(self, candidate: Candidate) -> Sequence[int]:
        """The rows that a candidate may be scored on: the search rows that its prompt does not show as examples, and
        that no proposer of its options saw. A prompt that was written as a whole shows the rows whose fields all stand
        in it."""
        aside = frozenset[int]().union(*(self._aside.get(pair, frozenset()) for pair in candidate.positions))
        rows = self._rows_not_shown(candidate)
        return [row for row in rows if row not in aside] if aside else rows

    def _rows_not_shown(self, candidate: Candidate) -> Sequence[int]:
        """The search rows that a candidate's prompt does not show as examples."""
        written = self.written_as(candidate)
        if written is not None:
            shown_rows = frozenset(rows_shown(written.source, self.data, self.search_rows))
            return [index for index in self.search_rows if index not in shown_rows]
        shown = [{name: shot[name] for name in self.data.fields} for shot in self._fixed_shots(candidate)]
        if not shown:
            return self.search_rows
        return [
            index
            for index in self.search_rows
            if {name: self.data.rows[index][name] for name in self.data.fields} not in shown
        ]

    def _fixed_shots(self, candidate: Candidate) -> Sequence[Mapping[str, Any]]:
        """The examples that a candidate of the template shows to every row."""
        values = self._template_choices(candidate)
        pickers = [str(value) for name, value in values.items() if name.endswith(".picker")]
        if not pickers or pickers == ["nearest"]:  # nearest leaves out the row itself
            return []
        return self.template.shots(values, self._any_row, self.pool)

    def _template_choices(self, candidate: Candidate) -> dict[str, Any]:
        """The values that the template sees of a candidate: its own choices, and the answer form as text."""
        own = {
            name: value
            for name, value in self.space.values(candidate).items()
            if name not in ("answer", "model", WRITTEN, *self.request)
        }
        return {**own, "answer": self.space.texts(candidate).get("answer") or self.settings[0].texts[0]}


def settings_factors(
    answer: object, answers: Sequence[Answer], model: object, models: Sequence[Model], request: Mapping[str, Any]
) -> list[Factor]:
    """The choices outside of the template: answer form, model and request parameters.

    Args:
        answer, model: what the user gave, which may name the options.
        answers, models: the options.
        request: request parameters, each a value or a choice.

    Raises:
        InputError: two options of one choice have the same name.
    """
    return [
        _factor("answer", "answer", answer, answers),
        _factor("model", "model", model, models),
        *(_factor(key, "request", value, options_of(value)) for key, value in request.items()),
    ]


def _factor(name: str, kind: Kind, given: Any, values: Sequence[Any]) -> Factor:
    names = given.names if isinstance(given, Options) else None
    factor = Factor(name=name, kind=kind, options=tuple(values), names=names)
    if len(set(factor.texts)) < len(values):
        raise InputError(
            f"the options of {name!r} need different names, got {', '.join(factor.texts)}; name them: "
            f'ps.choice({{"name": …}})'
        )
    return factor


def options_of(value: Any) -> list[Any]:
    """The options of a choice; of any other value itself alone."""
    return list(value.values) if isinstance(value, Options) else [value]


def checked_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """Request parameters that can be sent.

    Raises:
        StudyError: a parameter is set elsewhere, or is not JSON.
    """
    for key, value in request.items():
        if key in ("answer", "messages", "model", "stream"):
            raise StudyError(f"request[{key!r}] cannot be given here; use the template, model= or answer=")
        if not isinstance(key, str):
            raise StudyError(f"the name of a request parameter must be a text, not {key!r}; write it in quotes")
        check_name(key, "a request parameter", StudyError)
        try:
            json.dumps(options_of(value), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StudyError(f"request[{key!r}] must be JSON: {error}; got {value!r}") from None
        if key in RESERVED and len(options_of(value)) > 1:
            raise StudyError(
                f"request[{key!r}] cannot be a choice, because the result tables have a column of that name; give it "
                f"one value"
            )
    return dict(request)


def check_apart(template: Template, request: Mapping[str, Any]) -> None:
    """Refuse a choice of the template that has the name of a request parameter: one value would be taken for both.

    Raises:
        TemplateError: there is such a choice.
    """
    for name, line in template.lines.items():
        if name in request:
            raise TemplateError(
                f"{name!r} is a choice here and in the study's settings; rename this one",
                template=template.name,
                line=line,
            )


def check_grows(space: SearchSpace, proposer: Proposer) -> None:
    """Refuse a proposer that nothing would be asked of, and show where the template may say that a choice grows.

    Raises:
        StudyError: no choice may grow.
    """
    if any(factor.grow for factor in space.factors):
        return
    own = [each for each in space.factors if each.kind == "choice" and "." not in each.name]
    texts = [each for each in own if all(isinstance(option, str) for option in each.options)]
    longest = max(texts, key=lambda each: max(map(len, each.texts)), default=None)
    name = "instruction" if longest is None else longest.name
    raise StudyError(
        f"no choice of the template may grow, so that {proposer.model.name} would propose nothing; write "
        f'choice("{name}", [...], grow="...") with what its texts are for, such as grow="tells the model what to do", '
        "or leave out the proposer"
    )
