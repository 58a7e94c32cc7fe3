"""Regular expressions as programs of a backtracking machine whose steps can be counted.

The expression is read by Python's own parser, and single characters and anchors are matched by ``re`` itself, so that a
program tries what ``re`` tries.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from prompt_search.errors import InputError

MOST_INSTRUCTIONS = 10_000
"""Largest program: repeats are written out."""

_SINGLE = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY)
_REFERS = (_constants.GROUPREF, _constants.GROUPREF_EXISTS)
_ENDLESS: int = _constants.MAXREPEAT


@dataclass(frozen=True, slots=True)
class Character:
    """One character, or an anchor, which takes none."""

    matcher: re.Pattern[str]
    is_anchor: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Between ``least`` and ``most`` characters of one kind."""

    matcher: re.Pattern[str]
    least: int
    most: int | None
    kind: str


@dataclass(slots=True)
class Split:
    """Goes on at ``first``, and where that fails at ``second``."""

    first: int = -1
    second: int = -1


@dataclass(frozen=True, slots=True)
class Save:
    """Keeps the place in a register."""

    register: int


@dataclass(slots=True)
class Unmoved:
    """Leaves a loop whose last turn took no character."""

    register: int
    leave: int = -1


@dataclass(frozen=True, slots=True)
class Look:
    """Another program, which is not gone back into: a look ahead or behind, or an atomic group."""

    program: list[Instruction]
    wanted: bool
    back: int
    moves: bool


@dataclass(frozen=True, slots=True)
class Again:
    """What a group holds."""

    register: int
    any_case: bool


@dataclass(slots=True)
class Unset:
    """Goes on elsewhere where a group holds nothing."""

    register: int
    go: int = -1


@dataclass(frozen=True, slots=True)
class Fail:
    """Matches nothing."""


Rare = Save | Unmoved | Look | Again | Unset
Instruction = Character | Run | Split | Fail | Rare


@dataclass(slots=True)
class Program:
    """A program; ``bound`` is the most steps that it can take on a text of a given length."""

    instructions: list[Instruction]
    registers: int
    bound: Callable[[int], float]


@dataclass(slots=True)
class _Writer:
    """Writes the program of a parsed expression."""

    keeps_groups: bool
    registers: list[int]
    written: list[int]
    code: list[Instruction] = field(default_factory=list)

    def add(self, instruction: Any) -> Any:
        self.written[0] += 1
        if self.written[0] > MOST_INSTRUCTIONS:
            raise InputError(
                f"the pattern needs more than {MOST_INSTRUCTIONS:,} steps with its repeats written out; repeat less"
            )
        self.code.append(instruction)
        return instruction

    def write(self, nodes: Iterable[tuple[Any, Any]], flags: int) -> None:
        for node in nodes:
            self._node(node, flags)

    def _node(self, node: tuple[Any, Any], flags: int) -> None:
        kind, given = node
        if kind in _SINGLE or kind is _constants.AT:
            self.add(Character(_matcher(node, flags), kind is _constants.AT))
        elif kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            self._repeat(node, flags)
        elif kind is _constants.SUBPATTERN:
            group, more, less, inner = given
            self._group(group, inner, (flags | more) & ~less)
        elif kind is _constants.BRANCH:
            self._branch(given[1], flags)
        elif kind is _constants.ATOMIC_GROUP:
            self._look(given, flags, wanted=True, back=0, moves=True)
        elif kind in (_constants.ASSERT, _constants.ASSERT_NOT):
            direction, inner = given
            back = inner.getwidth()[0] if direction < 0 else 0
            self._look(inner, flags, wanted=kind is _constants.ASSERT, back=back, moves=False)
        elif kind is _constants.GROUPREF:
            self.add(Again(2 * given, bool(flags & re.IGNORECASE)))
        elif kind is _constants.GROUPREF_EXISTS:
            self._condition(given, flags)
        else:
            self.add(Fail())

    def _repeat(self, node: tuple[Any, Any], flags: int) -> None:
        kind, (least, most, inner) = node
        lazy, possessive = kind is _constants.MIN_REPEAT, kind is _constants.POSSESSIVE_REPEAT
        if len(inner) == 1 and inner[0][0] in _SINGLE:
            every = (_constants.MAX_REPEAT, (0, _ENDLESS, inner))
            way = "lazy" if lazy else "possessive" if possessive else "greedy"
            self.add(Run(_matcher(every, flags), least, None if most == _ENDLESS else most, way))
            return
        if possessive:
            self._look([(_constants.MAX_REPEAT, (least, most, inner))], flags, wanted=True, back=0, moves=True)
            return
        for _ in range(least):
            self.write(inner, flags)
        splits = []
        for _ in range(1 if most == _ENDLESS else most - least):
            splits.append((len(self.code), self.add(Split())))
            if most == _ENDLESS:
                register = self._register()
                self.add(Save(register))
            self.write(inner, flags)
        if most == _ENDLESS:
            begin, _ = splits[0]
            unmoved = self.add(Unmoved(register))
            self.add(Split(begin, begin))
            unmoved.leave = len(self.code)
        for place, split in splits:
            ways = (place + 1, len(self.code))
            split.first, split.second = reversed(ways) if lazy else ways

    def _group(self, group: int | None, inner: Any, flags: int) -> None:
        saved = group is not None and self.keeps_groups
        if saved:
            self.add(Save(2 * (group or 0)))
        self.write(inner, flags)
        if saved:
            self.add(Save(2 * (group or 0) + 1))

    def _branch(self, ways: list[Any], flags: int) -> None:
        ends = []
        for way in ways[:-1]:
            split = self.add(Split(len(self.code) + 1))
            self.write(way, flags)
            ends.append(self.add(Split()))
            split.second = len(self.code)
        self.write(ways[-1], flags)
        for end in ends:
            end.first = end.second = len(self.code)

    def _condition(self, given: tuple[int, Any, Any], flags: int) -> None:
        group, yes, no = given
        unset = self.add(Unset(2 * group))
        self.write(yes, flags)
        end = self.add(Split())
        unset.go = len(self.code)
        self.write(no or [], flags)
        end.first = end.second = len(self.code)

    def _look(self, inner: Any, flags: int, *, wanted: bool, back: int, moves: bool) -> None:
        writer = _Writer(self.keeps_groups, self.registers, self.written)
        writer.write(inner, flags)
        self.add(Look(writer.code, wanted, back, moves))

    def _register(self) -> int:
        self.registers[0] += 1
        return self.registers[0] - 1


def program_of(pattern: str) -> Program:
    """The program of a regular expression that compiles.

    Raises:
        InputError: the program would be too large.
    """
    parsed = _parser.parse(pattern)
    registers = [2 * parsed.state.groups]
    writer = _Writer(any(kind in _REFERS for kind in _kinds(parsed)), registers, [0])
    writer.write(parsed, parsed.state.flags)

    def bound(length: int) -> float:
        size, ways = _bound(parsed, length)
        return size * ways * (length + 1)

    return Program(writer.code, registers[0], bound)


def _matcher(node: tuple[Any, Any], flags: int) -> re.Pattern[str]:
    """What ``re`` makes of one part of an expression."""
    state = _parser.State()
    state.flags = flags
    made: re.Pattern[str] = _compiler.compile(_parser.SubPattern(state, [node]), flags)
    return made


def _kinds(nodes: Any) -> Iterable[Any]:
    """The kinds of all parts of a parsed expression."""
    if isinstance(nodes, tuple) and len(nodes) == 2:
        yield nodes[0]
    if isinstance(nodes, (tuple, list, _parser.SubPattern)):
        for inner in nodes:
            yield from _kinds(inner)


def _bound(nodes: Iterable[tuple[Any, Any]], length: int) -> tuple[float, float]:
    """The most parts that one way through an expression meets in a text of a length, and the most ways through it."""
    size, ways = 1.0, 1.0
    for kind, given in nodes:
        more_size, more_ways = _bound_of(kind, given, length)
        size, ways = size + more_size, ways * more_ways
    return size, ways


def _bound_of(kind: Any, given: Any, length: int) -> tuple[float, float]:
    if kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
        least, most, inner = given
        size, ways = _bound(inner, length)
        times = min(most, least + length)
        same = ways == 1 and inner.getwidth()[0] > 0
        power = 1.0 if same else math.inf if times * math.log2(ways + 1) > 60 else ways**times
        return size * times, (min(most - least, length) + 1) * power
    if kind is _constants.BRANCH:
        sizes, every = zip(*(_bound(way, length) for way in given[1]), strict=True)
        return sum(sizes), sum(every)
    if kind in (_constants.SUBPATTERN, _constants.ASSERT, _constants.ASSERT_NOT):
        return _bound(given[-1], length)
    if kind is _constants.ATOMIC_GROUP:
        return _bound(given, length)
    if kind is _constants.GROUPREF_EXISTS:
        (size, ways), (more, others) = _bound(given[1], length), _bound(given[2] or [], length)
        return size + more, ways + others
    return (length + 1, 1) if kind is _constants.GROUPREF else (1, 1)
