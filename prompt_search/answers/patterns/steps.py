"""Whether a regular expression ends soon on a text.

``re`` goes back and tries again without a limit: some expressions take years on a text of twenty words, and neither a
time limit nor Ctrl-C ends them. Steps are counted before ``re`` is asked; a time limit would read the same response in
another way on a slower machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from prompt_search.answers.base import clipped, quoted
from prompt_search.answers.patterns.program import (
    Again,
    Character,
    Fail,
    Instruction,
    Look,
    Program,
    Rare,
    Run,
    Save,
    Split,
    Unmoved,
    program_of,
)
from prompt_search.errors import InputError

MOST_STEPS = 500_000
"""Number of steps that an expression may take on a text: about half a second of counting."""
FEW_STEPS = 10_000_000
"""Number of steps of ``re`` that are taken without counting: about a tenth of a second."""
CHARACTERS_A_STEP = 100
"""Number of characters that ``re`` passes in the time of one step that is counted."""

_Registers = tuple[int, ...]


class _TooLongError(Exception):
    """The steps are used up."""


@lru_cache(maxsize=256)
def _program(pattern: str) -> Program:
    return program_of(pattern)


def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """The compiled expression, whose steps can be counted.

    Raises:
        InputError: it is no text, does not compile, or is too large.
    """
    if not isinstance(pattern, str):
        raise InputError(f"a pattern must be a text, not {pattern!r}; write it in quotes")
    try:
        compiled = re.compile(pattern)
        _program(pattern)
    except RecursionError:
        raise InputError(f"the pattern {clipped(pattern)!r} is nested too deeply; simplify it") from None
    except (re.error, OverflowError) as error:
        raise InputError(f"the pattern {clipped(pattern)!r} does not compile: {error}; correct it") from None
    return compiled


def took_too_long(pattern: str, text: str) -> str:
    """The reason for a text on which an expression does not end soon."""
    return (
        f"the pattern {clipped(pattern)!r} takes more than {MOST_STEPS:,} steps on {quoted(text)}; let it match a text "
        "in one way only"
    )


@lru_cache(maxsize=256)
def ends_soon(pattern: str, text: str) -> bool:
    """Whether a search for the first match of an expression in a text takes at most `MOST_STEPS` steps.

    >>> ends_soon(r"^((?:\\w+\\s?)*)$", "word " * 20), ends_soon(r"^((?:\\w+\\s?)*)$", "word " * 20 + "!")
    (True, False)
    """
    program = _program(pattern)
    return program.bound(len(text)) <= FEW_STEPS or search(program, text) != "too long"


def search(program: Program, text: str) -> tuple[int, int] | Literal["too long"] | None:
    """Where the first match begins and ends, None without one, or that the steps did not suffice."""
    machine = _Machine(text)
    try:
        for start in _starts(program.instructions, text):
            found = machine.run(program.instructions, start, (-1,) * program.registers)
            if found is not None:
                return start, found[0]
    except _TooLongError:
        return "too long"
    return None


def _starts(code: list[Instruction], text: str) -> Iterator[int]:
    """The places where a match can begin."""
    first = code[0] if code else None
    if isinstance(first, Character):
        return (found.start() for found in first.matcher.finditer(text))
    return iter(range(len(text) + 1))


class _Machine:
    """Runs programs on one text and counts their steps."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.left = MOST_STEPS

    def pay(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooLongError

    def run(self, code: list[Instruction], place: int, registers: _Registers) -> tuple[int, _Registers] | None:
        """Where the program ends, and its registers; None where it fails."""
        waiting: list[tuple[int, Iterator[int], _Registers]] = [(0, iter((place,)), registers)]
        while waiting:
            at, places, registers = waiting[-1]
            moved = next(places, None)
            if moved is None:
                waiting.pop()
                continue
            place = moved
            while at < len(code):
                self.pay(1)
                instruction = code[at]
                at += 1
                if isinstance(instruction, Character):
                    found = instruction.matcher.match(self.text, place)
                    if found is None:
                        break
                    place = found.end()
                elif isinstance(instruction, Run):
                    waiting.append(
                        (at, self._ends(instruction, place, code[at] if at < len(code) else None), registers)
                    )
                    break
                elif isinstance(instruction, Split):
                    if instruction.first != instruction.second:
                        waiting.append((instruction.second, iter((place,)), registers))
                    at = instruction.first
                elif isinstance(instruction, Fail):
                    break
                else:
                    stepped = self._step(instruction, at, place, registers)
                    if stepped is None:
                        break
                    at, place, registers = stepped
            else:
                return place, registers
        return None

    def _ends(self, run: Run, place: int, follows: Instruction | None) -> Iterator[int]:
        """The places where a run can end, in the order in which they are tried."""
        text = self.text
        most = len(text) if run.most is None else min(len(text), place + run.most)
        found = run.matcher.match(text, place, most)
        end = place if found is None else found.end()
        self.pay((end - place) // CHARACTERS_A_STEP)
        least = place + run.least
        if end < least:
            return iter(())
        if run.kind == "possessive":
            return iter((end,))
        if isinstance(follows, Character) and not follows.is_anchor:  # `re` passes other places at once, too
            self.pay((end - least) // CHARACTERS_A_STEP)
            places = (found.start() for found in follows.matcher.finditer(text, least, min(end + 1, len(text))))
            if run.kind == "lazy":
                return places
            listed = list(places)
            self.pay(len(listed) // 50)
            return reversed(listed)
        every = range(least, end + 1)
        return iter(every) if run.kind == "lazy" else reversed(every)

    def _step(
        self, instruction: Rare, at: int, place: int, registers: _Registers
    ) -> tuple[int, int, _Registers] | None:
        """The next instruction, place and registers after a rarer instruction; None where it fails."""
        if isinstance(instruction, Save):
            kept = instruction.register
            return at, place, (*registers[:kept], place, *registers[kept + 1 :])
        if isinstance(instruction, Unmoved):
            return (instruction.leave if registers[instruction.register] == place else at), place, registers
        if isinstance(instruction, Look):
            start = place - instruction.back
            found = self.run(instruction.program, start, registers) if start >= 0 else None
            if (found is not None) != instruction.wanted:
                return None
            return (at, place if not instruction.moves or found is None else found[0], found[1] if found else registers)
        if isinstance(instruction, Again):
            begin, end = registers[instruction.register : instruction.register + 2]
            said = self.text[begin:end]
            self.pay(len(said) // CHARACTERS_A_STEP)
            next_said = self.text[place : place + len(said)]
            same = next_said.lower() == said.lower() if instruction.any_case else next_said == said
            if min(begin, end) < 0 or not same:
                return None
            return at, place + len(said), registers
        begin, end = registers[instruction.register : instruction.register + 2]
        return (instruction.go if min(begin, end) < 0 else at), place, registers
