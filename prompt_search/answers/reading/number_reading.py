"""The number that a text gives as its answer. What is not understood is no number, never a wrong one.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from prompt_search.answers.reading.number_text import plain_numbers

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
    rf"(?P<date>\bq[1-4]\s\d{{4}}(?!\d)|\b{MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?(?!\d)|\b{MONTH}\s\d{{4}}(?!\d)"
    rf"|(?<![\w.,])\d{{1,2}}(?:st|nd|rd|th|\.)?\s(?:of\s)?{MONTH}(?:,?\s\d{{4}}(?!\d))?)"
    r"|(?P<sign>(?<![\w)\]^%])[-+])?(?P<currency>[$€£¥₹]\s?)?(?P<inner>(?<=[$€£¥₹])-)?"
    r"(?<![\w^])(?<!\^-)(?<!\d\.)(?<![^\W\d_][-/])(?<![^\W\d_]\s[+*]\s)"
    rf"(?:10(?:\^|\*\*)\(?(?P<tens>[-+]?\d{{1,3}})\)?(?![\d.,]?\d)"
    rf"|(?P<digits>{GROUPED_DIGITS}|\d+(?:[.,'_]\d+)*|(?<![^\s$€£¥₹+\-(])\.\d+)"
    r"(?:e(?P<power>[-+]?\d+)|\s?[x×*·⋅]\s?10(?:\^|\*\*)\(?(?P<of_ten>[-+]?\d+)\)?(?![.,]?\d))?)",
    re.IGNORECASE,
)

SCALES = {
    "k": 3, "hundred": 2, "thousand": 3, "lakh": 5, "crore": 7, "million": 6, "millionen": 6, "mio": 6, "mn": 6,
    "mln": 6, "billion": 9, "bn": 9, "mrd": 9, "milliarde": 9, "milliarden": 9, "trillion": 12,
}  # fmt: skip

AFTER = re.compile(
    r"(?P<unknown>\s?(?:[ap]\.?m\b|[√π^]|\*\*\d|pi\b)|[^\W\d_]{1,30}-?\d|[yzni]\b|!(?![\s\"')\]*]|\Z))"
    rf"|\s?(?P<scale>{'|'.join(sorted(SCALES, reverse=True))})s?\b|\s?dozens?\b"
    r"|(?P<letter>[mbt])\b|\s?[%€£¥₹]|[^\W\d_]{1,30}",
    re.IGNORECASE,
)

JOINED = re.compile(
    r" |:|\s:\s|[$\s]{0,3}(?:[-+/*×÷·⋅~±^]|\.\.+|\bto\b|\bor\b|\band\b|\bthrough\b|\bx\b|\bby\b|\bof\b|\bout of\b"
    r"|\bplus\b|\bminus\b|\btimes\b|\bdivided by\b|\bversus\b|\bvs\b\.?|\bbis\b|\boder\b|\bund\b)[$\s]{0,3}",
    re.IGNORECASE,
)

UNIT = (
    r"years?|yrs?|months?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s|miles?|yards?|yd|feet|foot|ft"
    r"|inch(?:es)?|in|pounds?|lbs?|ounces?|oz|kg|g|km|cm|dollars?|cents?|euros?|pence"
)

OF_TWO_UNITS = re.compile(rf"\s?(?:{UNIT})\.?,?\s(?:and\s|und\s|&\s)?", re.IGNORECASE)

SECOND_UNIT = re.compile(rf"\s?(?:{UNIT})\b", re.IGNORECASE)

NEARLY = re.compile(
    r"(?:[^\w]|\b(?:about|approximately|approx|around|roughly|nearly|almost|exactly|only|a total of|usd|eur|gbp)\b)*",
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
    for marker in reversed(list(ANNOUNCED.finditer(text))[-50:]):
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
    at_once = NEARLY.fullmatch(text[: numbers[0].start]) is not None
    return chosen(numbers, 0) if at_once or len({number.value for number in numbers}) == 1 else None


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
        of_two_units = OF_TWO_UNITS.fullmatch(between) and SECOND_UNIT.match(text, found.end())
        if runs and len(between) <= 20 and (of_two_units or JOINED.fullmatch(between)):
            runs[-1].append(number)
        else:
            runs.append([number])
    return [joined(run, text) for run in runs]


def written(found: re.Match[str]) -> Written:
    """One number of a text, with its sign, power and scale, and what belongs to it: currency, percent sign, unit."""
    text, start, end = found.string, found.start(), found.end()
    after = None if found["date"] else AFTER.match(text, end)
    stop = after.end() if after else end
    if found["date"] or (after and after["unknown"]) or text[max(0, start - 2) : start].strip("({").endswith("√"):
        return Written(start, stop, None)
    digits = "1" if found["tens"] else plain_form(found["digits"])
    powers = [found["tens"] or found["power"] or found["of_ten"] or "0", scale(after, money=bool(found["currency"]))]
    if digits is None or None in powers:
        return Written(start, stop, None)
    value = float(f"{digits}e{sum(int(power) for power in powers if power)}")
    if after and after.group().strip().lower().startswith("dozen"):
        value *= 12
    if "-" in (found["sign"], found["inner"]):
        value = -value
    kind = "spaced" if " " in (found["digits"] or "") else "whole" if found.group().lstrip("-+").isdigit() else ""
    return Written(
        start, stop, value if math.isfinite(value) else None, kind if stop == end or kind == "spaced" else ""
    )


def scale(after: re.Match[str] | None, *, money: bool) -> str | None:
    """The power of ten that a word or letter after a number means; None where it can mean more than one."""
    if after is None:
        return "0"
    if after["scale"]:
        return str(SCALES[after["scale"].lower()])
    letter = after["letter"]
    if letter and (money or letter == "M"):
        return str({"m": 6, "b": 9, "t": 12}[letter.lower()])
    return None if letter in ("B", "T") else "0"


def plain_form(digits: str) -> str | None:
    """The digits as Python reads them, if their separators can mean one number alone.

    >>> plain_form("1,234.5"), plain_form("1.234,5"), plain_form("12,5"), plain_form("1,23,4")
    ('1234.5', '1234.5', '12.5', None)
    """
    for form, groups, point in DIGIT_FORMS:
        if form.fullmatch(digits):
            joined_digits = digits.translate(str.maketrans("", "", groups))
            return joined_digits.replace(",", ".") if "," in point else joined_digits
    return None


def joined(run: list[Written], text: str) -> Written:
    """One number, a fraction of two whole ones, or a whole number with a fraction after it; anything else is not
    understood."""
    if len(run) == 1:
        return run[0]
    first, last = run[0], run[-1]
    if len(run) == 3 and text[first.end : run[1].start] == " " and first.kind == "whole":
        fraction = joined(run[1:], text)
        return mixed(first, fraction) if fraction.kind == "fraction" else Written(first.start, last.end, None)
    stroke = len(run) == 2 and text[first.end : last.start].strip() == "/"
    is_date = any(re.match(r"0\d", text[number.start : number.end]) for number in run)
    if (
        stroke
        and not is_date
        and first.kind == "whole"
        and text[last.start].isdigit()
        and last.value
        and first.value is not None
    ):
        return Written(first.start, last.end, first.value / last.value, "fraction")
    return Written(first.start, last.end, None)


def mixed(whole: Written, fraction: Written) -> Written:
    """A whole number with a fraction after it: ``1 1/2``."""
    if whole.value is None or fraction.value is None or not 0 < fraction.value < 1:
        return Written(whole.start, fraction.end, None)
    return Written(whole.start, fraction.end, whole.value + math.copysign(fraction.value, whole.value))


def whole_number(text: str) -> float | None:
    """The number that all of a text is, without currency, unit and words around it; None for any other text.

    >>> whole_number(" 1,234.0 "), whole_number("3/4"), whole_number("18 apples"), whole_number("1_234")
    (1234.0, 0.75, None, None)
    """
    plain_text = plain_numbers(text).strip()
    numbers = written_numbers(plain_text)
    if len(numbers) != 1 or re.search(r"[^\d.,'/ e^x*+-]", plain_text.lower()) or "_" in text:
        return None
    rest = plain_text[: numbers[0].start] + plain_text[numbers[0].end :]
    return numbers[0].value if rest in ("", ".") else None
