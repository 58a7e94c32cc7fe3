"""The search space: factors with named options, the conditions between them, and the candidates they make.

A space is define-by-run: the template is rendered with an assignment and tells which factors it asked for
(`consult`). A factor that is asked for only under some options of others is conditional; a candidate holds
the factors its own rendering asked for and nothing else, so that equal prompts are one candidate.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from prompt_search import _html
from prompt_search.errors import InputError

if TYPE_CHECKING:
    import optuna

Kind = Literal["choice", "flag", "integer", "order", "examples", "request", "model", "answer"]

SHOWN = 20
"""How many options of one choice a notebook shows."""

_EXACT_COUNT_LIMIT = 4_096


@dataclass(frozen=True, slots=True)
class Options:
    """A choice made in Python rather than in the template; made by `choice`."""

    values: tuple[Any, ...]
    names: tuple[str, ...] | None = None


def choice(options: Sequence[Any] | Mapping[str, Any]) -> Options:
    """A choice for a request parameter, the model or the answer form; the first option is the default.

    A mapping gives each option a name, which then is what tables show.

    >>> choice([0.0, 0.7]).values
    (0.0, 0.7)
    >>> choice({"cold": 0.0, "warm": 0.7}).names
    ('cold', 'warm')

    Raises:
        InputError: there is no option, or one is given twice.
    """
    values = tuple(options.values()) if isinstance(options, Mapping) else tuple(options)
    check_options(values, "ps.choice")
    return Options(values, tuple(options) if isinstance(options, Mapping) else None)


def check_options(values: Sequence[Any], where: str) -> None:
    """Refuse an empty option list and an option given twice.

    Raises:
        InputError: with the rule, what came, and the remedy.
    """
    if not values:
        raise InputError(f"{where}: a choice needs at least one option, got none; add one or remove it")
    try:
        if len({(type(value), value) for value in values}) == len(values):
            return
    except TypeError:  # lists and dictionaries: compared one by one
        pass
    for index, value in enumerate(values):
        for other in values[:index]:
            if type(value) is type(other) and value == other:
                raise InputError(f"{where}: options must differ, but {value!r} is given twice; remove one")


def option_text(value: Any) -> str:
    """How one option reads in a table: strings as they are, an order as ``a > b``.

    >>> option_text(("text", "question"))
    'text > question'
    >>> option_text(True)
    'yes'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " > ".join(option_text(item) for item in value)
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


def option_id(index: int, text: str) -> str:
    """A short stable name for an option: its position and its first words, never a whole prompt text.

    >>> option_id(2, "Classify the sentiment of this review.")
    '2 classify the sentiment'
    """
    words = re.sub(r"[^\w]+", " ", text.casefold()).split()
    label = str(index)
    for word in words:
        if len(label) + len(word) + 1 > 26:
            break
        label += f" {word}"
    return label


@dataclass(frozen=True, slots=True)
class Condition:
    """A factor exists only while ``factor`` has one of ``options`` (positions)."""

    factor: str
    options: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One dimension: a name, its options in order (the first is the default), and when it exists."""

    name: str
    kind: Kind
    options: tuple[Any, ...]
    names: tuple[str, ...] | None = None
    line: int | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """How each option reads."""
        return self.names or tuple(option_text(option) for option in self.options)

    @property
    def ids(self) -> tuple[str, ...]:
        """Short stable names, one an option; what an Optuna study stores."""
        return tuple(option_id(index, text) for index, text in enumerate(self.texts))

    def position(self, value: Any) -> int:
        """The position of an option.

        Raises:
            InputError: there is no such option.
        """
        for index, option in enumerate(self.options):
            if type(option) is type(value) and option == value:
                return index
        for index, option in enumerate(self.options):
            if option == value or self.texts[index] == value:
                return index
        raise InputError(f"{self.name!r} has no option {value!r}; its options are {', '.join(map(repr, self.texts))}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of the space: (factor, option position) for every active factor, in the space's order."""

    positions: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, int]:
        return dict(self.positions)


class SearchSpace:
    """All factors of a study.

    Args:
        factors: in the order in which the template asks for them.
        consult: from option values by factor name (missing: the default) to the names of the factors that a
            rendering with these options asks for.
        parents: the factors on whose options it depends whether others exist.
    """

    def __init__(
        self,
        factors: Sequence[Factor],
        consult: Callable[[Mapping[str, Any]], Sequence[str]],
        parents: Iterable[str] = (),
    ) -> None:
        self.factors = tuple(factors)
        self.parents = frozenset(parents)
        self.by_name = {factor.name: factor for factor in factors}
        self._consult = consult
        self._asked_for: dict[tuple[tuple[str, int], ...], tuple[str, ...]] = {}

    def values(self, positions: Mapping[str, int] | Candidate) -> dict[str, Any]:
        """Option values by factor name."""
        chosen = positions.to_dict() if isinstance(positions, Candidate) else positions
        return {name: self.by_name[name].options[index] for name, index in chosen.items()}

    def texts(self, candidate: Candidate) -> dict[str, str]:
        """How each chosen option reads, by factor name."""
        return {name: self.by_name[name].texts[index] for name, index in candidate.positions}

    def _asked(self, positions: Mapping[str, int]) -> tuple[str, ...]:
        """The factors that exist under an assignment, in the order in which the rendering asks for them."""
        key = tuple(sorted((name, index) for name, index in positions.items() if index and name in self.parents))
        if key not in self._asked_for:
            self._asked_for[key] = tuple(self._consult(self.values(dict(key))))
        return self._asked_for[key]

    def active(self, positions: Mapping[str, int]) -> frozenset[str]:
        """The names of the factors that exist under an assignment (missing factors: the default)."""
        return frozenset(self._asked(positions))

    def candidate(self, positions: Mapping[str, int] | None = None) -> Candidate:
        """The candidate of an assignment: inactive factors dropped, missing ones at their default."""
        positions = positions or {}
        active = self.active(positions)
        return Candidate(
            tuple((factor.name, positions.get(factor.name, 0)) for factor in self.factors if factor.name in active)
        )

    def candidate_of(self, choices: Mapping[str, Any]) -> Candidate:
        """The candidate of option values or texts by factor name.

        Raises:
            InputError: an unknown factor or option.
        """
        unknown = [name for name in choices if name not in self.by_name]
        if unknown:
            raise InputError(f"there is no choice named {unknown[0]!r}; there are {', '.join(self.by_name)}")
        return self.candidate({name: self.by_name[name].position(value) for name, value in choices.items()})

    @property
    def default(self) -> Candidate:
        """Every factor at its first option."""
        return self.candidate()

    def _branches(self, fixed: dict[str, int], names: Container[str]) -> Iterator[dict[str, int]]:
        """Assignments over those of the active factors that are in ``names``, each once, in order.

        The factor asked for first is fixed first: what is asked for later can depend on it, never the
        reverse.
        """
        for name in self._asked(fixed):
            if name in names and name not in fixed:
                for index in range(len(self.by_name[name].options)):
                    yield from self._branches({**fixed, name: index}, names)
                return
        yield fixed

    def candidates(self) -> Iterator[Candidate]:
        """Every candidate once, the default first."""
        return (self.candidate(fixed) for fixed in self._branches({}, self.by_name))

    def size(self) -> tuple[int, bool]:
        """The number of candidates, and whether it is exact.

        Only the factors on which others depend are enumerated, the rest multiplies. Where even those are too
        many the product of all option counts is given, an upper bound.
        """
        total = 0
        for branches, fixed in enumerate(self._branches({}, self.parents)):
            if branches >= _EXACT_COUNT_LIMIT:
                return math.prod(len(factor.options) for factor in self.factors), False
            free = [name for name in self._asked(fixed) if name not in self.parents]
            total += math.prod(len(self.by_name[name].options) for name in free)
        return total, True

    def sample(self, generator: random.Random) -> Candidate:
        """A candidate with every option drawn uniformly."""
        return self.candidate({factor.name: generator.randrange(len(factor.options)) for factor in self.factors})

    def suggest(self, trial: optuna.trial.Trial) -> Candidate:
        """Ask an Optuna trial for every factor and drop what is inactive.

        The suggestion is flat: Optuna's joint sampling leaves out parameters that some trials lack.
        """
        return self.candidate(
            {
                factor.name: factor.ids.index(trial.suggest_categorical(factor.name, factor.ids))
                for factor in self.factors
                if len(factor.options) > 1
            }
        )

    def describe(self) -> list[dict[str, str]]:
        """One record a factor, for people: ``factor, kind, options, exists_when, line``."""
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
    def _headline(self) -> str:
        count, exact = self.size()
        return f"SearchSpace: {len(self.factors)} choices, {'' if exact else 'at most '}{count:,} candidates"

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
        return _html.block(_html.fill("<div>{}</div>", self._headline), _html.table("", columns, lines))

    def __repr__(self) -> str:
        lines = [self._headline]
        for record in self.describe():
            when = f"  (when {record['exists_when']})" if record["exists_when"] else ""
            options = record["options"].replace("\n", "⏎")
            lines.append(f"  {record['factor']}: {options[:100]}{'…' if len(options) > 100 else ''}{when}")
        return "\n".join(lines)


def _listed(texts: list[str]) -> _html.Markup:
    """A choice's options for a notebook: short ones in a line, long ones below each other, many cut off."""
    more = [f"and {len(texts) - SHOWN:,} more"] if len(texts) > SHOWN else []
    shown = texts[:SHOWN] + more
    if sum(map(len, shown)) <= 60:
        return _html.text(" | ".join(shown))
    return _html.join(_html.fill("<div>{}</div>", text) for text in shown)


_Consult = Callable[[Mapping[str, Any]], Mapping[str, Factor]]


def discover(
    names: Sequence[str], consult: _Consult, parents: Iterable[str] | None = None
) -> tuple[SearchSpace, list[str]]:
    """Find all factors of a define-by-run template and the conditions between them.

    All combinations of the parents are tried where there are no more than a few thousand, so that nothing can
    hide. Beyond that every option of every factor is tried in the context in which the factor first appeared,
    and what still hides behind a combination is looked for among random assignments.

    Args:
        names: the factors that the source mentions.
        consult: from option values to the factors that the rendering asked for, in the order of asking.
        parents: every factor that may decide whether another exists, as the source shows; by default any.

    Returns:
        The space, and the names mentioned in the source that no rendering reached.
    """
    suspects = frozenset(names if parents is None else parents)
    exploration = _Exploration(consult, suspects)
    if not exploration.everywhere():
        exploration = _Exploration(consult, suspects)
        exploration.around_defaults()
        exploration.at_random(names)
    factors = exploration.factors
    position = {name: index for index, name in enumerate(names)}
    ordered = sorted(factors, key=lambda name: position.get(name.split(".")[0], len(names)))
    space = SearchSpace(
        [replace(factors[name], conditions=exploration.conditions(name)) for name in ordered],
        lambda values: list(consult(values)),
        exploration.parents & factors.keys(),
    )
    return space, [name for name in names if name not in factors]


class _Exploration:
    """The factors found so far, and the assignment under which each was found."""

    def __init__(self, consult: _Consult, parents: frozenset[str]) -> None:
        self.consult = consult
        self.parents = parents
        self.factors: dict[str, Factor] = {}
        self.contexts: dict[str, dict[str, Any]] = {}

    def look(self, context: dict[str, Any]) -> Mapping[str, Factor]:
        found = self.consult(context)
        for name, factor in found.items():
            if name not in self.factors:
                self.factors[name] = factor
                self.contexts[name] = context
        return found

    def everywhere(self) -> bool:
        """Try all combinations of the parents; False where there are too many."""
        looked = 0
        stack: list[dict[str, Any]] = [{}]
        while stack:
            context = stack.pop()
            found = self.look(context)
            looked += 1
            for name, factor in found.items():
                if name in self.parents and name not in context:
                    context = {**context, name: factor.options[0]}
                    stack += [{**context, name: option} for option in reversed(factor.options[1:])]
            if looked + len(stack) > _EXACT_COUNT_LIMIT:
                return False
        return True

    def around_defaults(self) -> None:
        self.look({})
        explored: set[str] = set()
        while new := [name for name in self.factors if name not in explored]:
            for name in new:
                explored.add(name)
                for option in self.factors[name].options[1:]:
                    self.look({**self.contexts[name], name: option})

    def at_random(self, names: Sequence[str]) -> None:
        generator = random.Random(0)
        for _ in range(500):
            if all(name in self.factors for name in names):
                return
            context = {name: generator.choice(factor.options) for name, factor in self.factors.items()}
            known = set(self.factors)
            for name in [name for name in self.look(context) if name not in known]:
                self.contexts[name] = self._needed(name, context)

    def _needed(self, name: str, context: dict[str, Any]) -> dict[str, Any]:
        """The part of an assignment without which a factor is not reached."""
        needed = dict(context)
        for other in context:
            without = {key: value for key, value in needed.items() if key != other}
            if name in self.consult(without):
                needed = without
        return needed

    def conditions(self, name: str) -> tuple[Condition, ...]:
        """Which options of each parent keep a factor alive where it was found."""
        conditions = []
        for parent in [factor for factor in self.factors if factor in self.parents and factor != name]:
            options = self.factors[parent].options
            alive = tuple(
                index
                for index, value in enumerate(options)
                if name in self.consult({**self.contexts[name], parent: value})
            )
            if len(alive) < len(options):
                conditions.append(Condition(parent, alive))
        return tuple(conditions)
