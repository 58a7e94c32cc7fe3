"""The search space: all factors of a study, the conditions between them, and the candidates that they make.

A space is define-by-run: the template is rendered with an assignment of options, and the rendering records which
factors it used. A factor that is used only under some options of other factors is conditional. A candidate holds the
factors that its own rendering uses and no others, so that equal prompts are one candidate.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prompt_search import _html
from prompt_search._numbers import counted
from prompt_search.errors import InputError
from prompt_search.prompts.factors import Candidate, Condition, Factor, Kind, Options, choice

if TYPE_CHECKING:
    import optuna

__all__ = ["Candidate", "Condition", "Factor", "Kind", "Options", "SearchSpace", "choice"]

OPTIONS_SHOWN = 20
"""Number of options that a notebook shows of one factor."""

WRITTEN = "written"
"""The name of the choice that says which prompt was written as a whole."""

FROM_TEMPLATE = "(template)"
"""The option of `WRITTEN` for the candidates that come from the template."""

EXACT_COUNT_LIMIT = 4_096
"""Number of combinations of parent factors up to which a space is enumerated rather than estimated."""


class SearchSpace:
    """The search space of a template or study: its choices, their options and conditions. A factor is one choice.

    Args:
        factors: in the order in which the template uses them.
        active_names: a function from option values by factor name (missing ones have their default) to the names of
            the factors that a rendering with these options uses, in the order of use.
        parents: names of the factors whose options decide whether other factors are active.
    """

    def __init__(
        self,
        factors: Sequence[Factor],
        active_names: Callable[[Mapping[str, Any]], Sequence[str]],
        parents: Iterable[str] = (),
    ) -> None:
        self.factors = tuple(factors)
        self.parents = frozenset(parents)
        self.by_name = {factor.name: factor for factor in factors}
        self._active_names = active_names
        self._active_by_parents: dict[tuple[tuple[str, int], ...], tuple[str, ...]] = {}

    def with_written(self, names: Sequence[str]) -> SearchSpace:
        """The same space, and beside it prompts that were written as a whole.

        They are the options of one more choice, `WRITTEN`, whose first option stands for all candidates of this space.
        With any other of its options no further choice is active.

        Args:
            names: the names of the prompts.
        """
        written = Factor(name=WRITTEN, kind="written", options=(FROM_TEMPLATE, *names))
        others = [replace(each, conditions=(*each.conditions, Condition(WRITTEN, (0,)))) for each in self.factors]

        def active_names(values: Mapping[str, Any]) -> list[str]:
            if values.get(WRITTEN, FROM_TEMPLATE) != FROM_TEMPLATE:
                return [WRITTEN]
            own = {name: value for name, value in values.items() if name != WRITTEN}
            return [WRITTEN, *self._active_names(own)]

        return SearchSpace([*others, written], active_names, {WRITTEN, *self.parents})

    def values(self, positions: Mapping[str, int] | Candidate) -> dict[str, Any]:
        """Option values by factor name."""
        chosen = positions.to_dict() if isinstance(positions, Candidate) else positions
        return {name: self.by_name[name].options[index] for name, index in chosen.items()}

    def texts(self, candidate: Candidate) -> dict[str, str]:
        """The text of each chosen option by factor name."""
        return {name: self.by_name[name].texts[index] for name, index in candidate.positions}

    def _active_in_order(self, positions: Mapping[str, int]) -> tuple[str, ...]:
        """The names of the factors that are active under an assignment, in the order in which a rendering uses them."""
        key = tuple(sorted((name, index) for name, index in positions.items() if index and name in self.parents))
        if key not in self._active_by_parents:
            self._active_by_parents[key] = tuple(self._active_names(self.values(dict(key))))
        return self._active_by_parents[key]

    def active(self, positions: Mapping[str, int]) -> frozenset[str]:
        """The names of the factors that are active under an assignment; missing factors have their default."""
        return frozenset(self._active_in_order(positions))

    def candidate(self, positions: Mapping[str, int] | None = None) -> Candidate:
        """The candidate of an assignment, without inactive factors and with missing ones at their default."""
        positions = positions or {}
        active = self.active(positions)
        return Candidate(
            tuple((factor.name, positions.get(factor.name, 0)) for factor in self.factors if factor.name in active)
        )

    def candidate_of(self, choices: Mapping[str, Any]) -> Candidate:
        """The candidate that has the given option values, or option texts, by factor name.

        Raises:
            InputError: a factor or an option is unknown.
        """
        unknown = [name for name in choices if name not in self.by_name]
        if unknown:
            raise InputError(f"there is no choice named {unknown[0]!r}; there are {', '.join(self.by_name)}")
        return self.candidate({name: self.by_name[name].position(value) for name, value in choices.items()})

    def shows_shots(self, candidate: Candidate) -> bool:
        """Whether a candidate's prompt shows examples."""
        chosen = ((self.by_name[name], position) for name, position in candidate.positions)
        return any(factor.options[position] for factor, position in chosen if factor.kind == "examples")

    def without_shots(self, candidate: Candidate) -> Candidate:
        """The candidate with no examples, where its choices can be without any."""
        examples = [factor for factor in self.factors if factor.kind == "examples" and 0 in factor.options]
        return self.candidate({**candidate.to_dict(), **{each.name: each.options.index(0) for each in examples}})

    @property
    def default(self) -> Candidate:
        """The candidate with every factor at its first option."""
        return self.candidate()

    def _branches(self, fixed: dict[str, int], names: Container[str]) -> Iterator[dict[str, int]]:
        """Every assignment to the active factors in ``names``, once, in order.

        The factor that a rendering uses first is fixed first, because only factors used later can depend on it.
        """
        for name in self._active_in_order(fixed):
            if name in names and name not in fixed:
                for index in range(len(self.by_name[name].options)):
                    yield from self._branches({**fixed, name: index}, names)
                return
        yield fixed

    def candidates(self) -> Iterator[Candidate]:
        """All candidates, each once, the default first."""
        return (self.candidate(fixed) for fixed in self._branches({}, self.by_name))

    def size(self) -> tuple[int, bool]:
        """The number of candidates, and whether it is exact.

        Only the factors on which others depend are enumerated; the option counts of the others are multiplied. If
        there are too many combinations to enumerate, the number is an upper bound: the product of all option counts.
        """
        total = 0
        for branches, fixed in enumerate(self._branches({}, self.parents)):
            if branches >= EXACT_COUNT_LIMIT:
                return math.prod(len(factor.options) for factor in self.factors), False
            free = [name for name in self._active_in_order(fixed) if name not in self.parents]
            total += math.prod(len(self.by_name[name].options) for name in free)
        return total, True

    def sample(self, generator: random.Random) -> Candidate:
        """A candidate whose options are sampled uniformly and independently."""
        return self.candidate({factor.name: generator.randrange(factor.proposed) for factor in self.factors})

    def suggest(self, trial: optuna.trial.Trial) -> Candidate:
        """The candidate that an Optuna trial suggests.

        The trial gets every factor, also the inactive ones, which are dropped afterwards: Optuna's joint sampling
        leaves out parameters that some trials lack.
        """
        return self.candidate(
            {
                factor.name: factor.ids.index(trial.suggest_categorical(factor.name, factor.ids))
                for factor in self.factors
                if factor.proposed > 1
            }
        )

    def describe(self) -> list[dict[str, str]]:
        """One record per factor in words: ``factor, kind, options, exists_when, line``."""
        return [
            {
                "factor": factor.name,
                "kind": factor.kind,
                "options": " | ".join(text if text else "(empty)" for text in factor.texts),
                "exists_when": " and ".join(self._condition_text(c) for c in factor.conditions),
                "line": str(factor.line or ""),
            }
            for factor in self.factors
        ]

    def _condition_text(self, condition: Condition) -> str:
        texts = self.by_name[condition.factor].texts
        shown = [texts[index] or "(empty)" for index in condition.options]
        if 1 < len(shown) == len(texts) - 1:
            (other,) = set(range(len(texts))) - set(condition.options)
            return f"{condition.factor} is not {texts[other] or '(empty)'}"
        return f"{condition.factor} is {' or '.join(shown)}"

    @property
    def growing(self) -> list[str]:
        """A line for each choice whose options a proposer may add to: its name, and what its texts are for."""
        return [f"{factor.name} may grow: a text that {factor.grow}" for factor in self.factors if factor.grow]

    @property
    def _headline(self) -> str:
        count, exact = self.size()
        choices, candidates = counted(len(self.factors), "choice"), counted(count, "candidate")
        return f"SearchSpace: {choices}, {'' if exact else 'at most '}{candidates}"

    def _repr_html_(self) -> str:
        lines = [
            (
                factor.name,
                factor.kind,
                _listed([_html.clipped(text, 200) for text in factor.texts]),
                record["exists_when"],
            )
            for factor, record in zip(self.factors, self.describe(), strict=True)
        ]
        columns = ("choice", "kind", "options, the default first", "exists when")
        return _html.block(
            _html.fill("<div>{}</div>", self._headline),
            _html.table("", columns, lines),
            _html.join(_html.fill("<div>{}</div>", line) for line in self.growing),
        )

    def __repr__(self) -> str:
        lines = [self._headline]
        for record in self.describe():
            when = f"  (when {record['exists_when']})" if record["exists_when"] else ""
            options = record["options"].replace("\n", "⏎")
            lines.append(f"  {record['factor']}: {options[:100]}{'…' if len(options) > 100 else ''}{when}")
        return "\n".join([*lines, *(f"  {line}" for line in self.growing)])


def _listed(texts: list[str]) -> _html.Markup:
    """At most `OPTIONS_SHOWN` options of a factor for a notebook: short ones on one line, long ones on a line each."""
    left = len(texts) - OPTIONS_SHOWN
    shown = [*texts[:OPTIONS_SHOWN], f"and {left:,} more"] if left > 1 else texts
    if sum(map(len, shown)) <= 60:
        return _html.text(" | ".join(shown))
    return _html.join(_html.fill("<div>{}</div>", text) for text in shown)
