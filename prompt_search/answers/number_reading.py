"""The number that a text gives as its answer. What is not understood is no number, never a wrong one.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import NamedTuple

from prompt_search.answers.number_text import plain_numbers

ANNOUNCED = re.compile(
    r"####|\\boxed\s{0,3}\{|<(?:final[_ ]?)?(?:answer|number|result)>"
    r"|(?<![^\W_])(?:answer|antwort|réponse|respuesta|resposta|risposta|ответ)(?![^\W_])[\"'*_\s]{0,6}"
    r"(?:(?:is|ist|est|es|é|è)(?![^\W_])|[:=])|\"(?:number|value|result)\"\s{0,3}:|(?:答案|回答|答え)\s{0,3}(?::|是|为|為|は)",
    re.IGNORECASE,
)

GROUPED_DIGITS = r"\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?![\d_'])"

MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)

WRITTEN = re.compile(
    rf"(?P<date>\b{MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?(?!\d)|\b{MONTH}\s\d{{4}}(?!\d)"
    rf"|(?<![\w.,])\d{{1,2}}(?:st|nd|rd|th|\.)?\s(?:of\s)?{MONTH}(?:,?\s\d{{4}}(?!\d))?)"
    r"|(?P<sign>(?<![\w)\]^])[-+])?(?P<currency>[$€£¥₹]\s?)?(?P<inner>(?<=[$€£¥₹])-)?"
    r"(?<![\w^])(?<!\^-)(?<!\d\.)(?<![^\W\d_][-/])"
    rf"(?P<digits>{GROUPED_DIGITS}|\d+(?:[.,'_]\d+)*|(?<![^\s$€£¥₹+\-(])\.\d+)"
    r"(?:e(?P<power>[-+]?\d+)|\s?[x×*·⋅]\s?10(?:\^|\*\*)\(?(?P<power10>[-+]?\d+)\)?(?![\d.,]))?",
    re.IGNORECASE,
)

SCALES = {
    "k": 1e3, "hundred": 100, "thousand": 1e3, "dozen": 12, "lakh": 1e5, "crore": 1e7, "million": 1e6, "mio": 1e6,
    "mn": 1e6, "mln": 1e6, "billion": 1e9, "bn": 1e9, "mrd": 1e9, "milliard": 1e9, "trillion": 1e12,
}  # fmt: skip

AFTER = re.compile(
    r"(?P<unknown>\s?(?:[ap]\.?m\b|[√π^!]|\*\*\d|pi\b)|[^\W\d_]{1,30}\d|[yzni]\b)"
    r"|\s?(?P<scale>k|hundred|thousand|dozen|lakh|crore|million(?:en)?|mio|mn|mln|billion|bn|mrd|milliarde?n?|trillion)s?\b"
    r"|\s?[%€£¥₹]|[^\W\d_]{1,30}",
    re.IGNORECASE,
)

JOINED = re.compile(
    r":|\s:\s|[$\s]{0,3}(?:[-+/*×÷·⋅~±^]|\.\.+|\bto\b|\bor\b|\band\b|\bthrough\b|\bx\b|\bby\b|\bof\b|\bout of\b|\bplus\b"
    r"|\bminus\b|\btimes\b|\bdivided by\b|\bversus\b|\bvs\b\.?|\bbis\b|\boder\b|\bund\b)[$\s]{0,3}",
    re.IGNORECASE,
)

NEARLY = re.compile(
    r"(?:[^\w]|\b(?:about|approximately|approx|around|roughly|nearly|almost|exactly|only|just|a total of|usd|eur|gbp)\b)*",
    re.IGNORECASE,
)

DIGIT_FORMS = (
    (re.compile(r"\d+(?:\.\d*)?|\.\d+"), "", "."),
    (re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?"), ",", "."),
    (re.compile(r"[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d*)?"), ",", "."),
    (re.compile(r"[1-9]\d{0,2}(?:\.\d{3}){2,}|[1-9]\d{0,2}(?:\.\d{3})+,\d+"), ".", ","),
    (re.compile(r"\d+,\d+"), "", ","),
    (re.compile(r"[1-9]\d{0,2}(?:([_' ])\d{3})(?:\1\d{3})*(?:[.,]\d+)?"), "_' ", ".,"),
)


class Written(NamedTuple):
    """A number where a text has it; its value is None where it is not understood.

    ``kind`` is ``whole`` for a number of digits alone, ``spaced`` for one with spaces between groups of digits, and
    ``fraction`` for two numbers with a stroke between them.
    """

    start: int
    end: int
    value: float | None
    kind: str = ""


def number_in(text: str) -> float | None:
    """The number that a text gives as its answer, as ``Number`` reads it; None where there is none.

    >>> number_in("16 - 7 is 9"), number_in("#### 1,234.5"), number_in("none"), number_in("from 3 to 4")
    (9.0, 1234.5, None, None)
    """
    text = plain_numbers(text)
    end = len(text)
    for marker in reversed(list(ANNOUNCED.finditer(text))):
        said, end = text[marker.end() : end].lstrip(" \t\r\n*_\"'"), marker.start()
        line = said.split("\n", 1)[0]
        if marker.group().startswith("\\boxed"):
            line = line.partition("}")[0]
        for part in (re.split("[=≈]", line)[-1], line):
            numbers = written_numbers(part)
            if numbers:
                return announced(part, numbers)
    return chosen(written_numbers(text), -1)


def announced(text: str, numbers: list[Written]) -> float | None:
    """The number that a text after a marker begins with, or the only one in it."""
    begins = NEARLY.fullmatch(text[: numbers[0].start]) is not None
    return chosen(numbers, 0) if begins or len({number.value for number in numbers}) == 1 else None


def chosen(numbers: list[Written], place: int) -> float | None:
    """The number at a place; groups of digits with spaces between them can be several numbers."""
    if not numbers or (numbers[place].kind == "spaced" and len(numbers) > 1):
        return None
    return numbers[place].value


def written_numbers(text: str) -> list[Written]:
    """All numbers of a text in order. Numbers that are joined to others are not understood, fractions apart."""
    runs: list[list[Written]] = []
    for found in WRITTEN.finditer(text):
        number = written(found)
        between = text[runs[-1][-1].end : number.start] if runs else ""
        if runs and len(between) <= 20 and JOINED.fullmatch(between):
            runs[-1].append(number)
        else:
            runs.append([number])
    numbers: list[Written] = []
    for number in (joined(run, text) for run in runs):
        before = numbers[-1] if numbers else None
        if before and number.kind == "fraction" and before.kind == "whole" and number.start == before.end + 1:
            numbers[-1] = mixed(before, number, text)
        else:
            numbers.append(number)
    return numbers


def written(found: re.Match[str]) -> Written:
    """One number of a text with its sign, power and scale, and with what belongs to it: currency, percent sign, unit."""
    text, start, end = found.string, found.start(), found.end()
    if found["date"]:
        return Written(start, end, None)
    value = number_of_digits(found["digits"])
    power = found["power"] or found["power10"]
    after = AFTER.match(text, end)
    known = not text[:start].endswith(("√", "√(", "√{")) if start else True
    tens = re.compile(r"(?:\^|\*\*)\(?([-+]?\d{1,3})\)?(?![\d.,])").match(text, end)
    if found["digits"] == "10" and tens:
        power, value, end, after = tens[1], 1.0, tens.end(), None
    if value is None or not known or (after and after["unknown"]):
        return Written(start, after.end() if after else end, None)
    if power:
        value = scaled(found["digits"] if not tens else "1", power)
    if after and after["scale"]:
        value *= scale_of(after["scale"], money=bool(found["currency"]))
    return Written(start, end, value)
