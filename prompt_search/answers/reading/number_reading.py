"""The number that a text gives as its answer. What is not understood is no number, never a wrong one.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from prompt_search.answers.final_part import LONGEST_TEXT
from prompt_search.answers.reading.number_context import (
    ASSIGNED,
    DENIED,
    LISTED,
    NO_ANSWER,
    RECONSIDERED,
    SIGN_WORD,
    first_problem,
    is_bookkept,
    is_part_of_more,
    is_pointer,
)
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
    r"(?<![\w^])(?<!\^-)(?<!\d\.)(?<![^\W\d_][-/+*])(?<![^\W\d_]\s[+*]\s)"
    rf"(?:10(?:\^|\*\*)\(?(?P<tens>[-+]?\d{{1,3}})\)?(?![\d.,]?\d)"
    rf"|(?P<digits>{GROUPED_DIGITS}|\d+(?:[.,'_]\d+)*|(?<![^\s$€£¥₹+\-(])\.\d+)"
    r"(?:e(?P<power>[-+]?\d+)|\s?[x×*·⋅]\s?10(?:\^|\*\*)\(?(?P<of_ten>[-+]?\d+)\)?(?![.,]?\d))?)",
    re.IGNORECASE,
)

SCALES = {
    "k": 3, "hundred": 2, "thousand": 3, "lakh": 5, "crore": 7, "million": 6, "millionen": 6, "mio": 6, "mn": 6,
    "mln": 6, "billion": 9, "bn": 9, "mrd": 9, "milliarde": 9, "milliarden": 9, "trillion": 12, "tn": 12,
    "百": 2, "千": 3, "万": 4, "萬": 4, "億": 8, "亿": 8, "兆": 12, "천": 3, "만": 4, "억": 8, "조": 12,
}  # fmt: skip

SCALE_WORD = re.compile("|".join(sorted(SCALES, reverse=True)), re.IGNORECASE)

NUMBER_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w{3,5}teen|twenty|thirty|forty|fifty|sixty|seventy"
    r"|eighty|ninety)\b"
)

WORD_SCALE = rf"(?:{'|'.join(word for word in sorted(SCALES, reverse=True) if word.isascii())})s?\b"

AFTER = re.compile(
    r"(?P<unknown>\s?[ap]\.?m\b|\.?\s?[√π^]|\s?(?:\*\*\d|pi\b)|\s?(?:mil\b|squared|cubed|factorial)|\.?(?=\((?:\d|[a-z]\s?[-+*/^)]))|[\u0300-\u036f]"
    rf"|(?:\s{WORD_SCALE})*\s(?:and\s(?:an?|one|three)\s(?:half|third|quarter)|(?:and\s)?{NUMBER_WORD}|point\s)"
    r"|\s?[-+*·×÷]\s?(?:\(|\d*(?:[b-z]|a(?!\s))\b(?!['’]))|/[nxyz]\b|\sto the (?:power|second|third|[a-z]+th)\b"
    r"|[^\W\d_]{1,30}-?\d|(?-i:[aefijnoqruxyz])\b|[yzni]\b|!(?![\s\"')\]*]|\Z))"
    rf"|\s?(?P<scale>[百千万萬億亿兆천만억조]{{1,3}}|{WORD_SCALE}(?:\s{WORD_SCALE})*)|(?P<dozen>\s?dozens?\b)"
    r"|(?P<letter>[mbt])\b|\s?[%€£¥₹]|[^\W\d_]{1,30}",
    re.IGNORECASE,
)

JOINED = re.compile(
    r" |:|\s:\s|[$\s]{0,3}(?:[-+/*×÷·⋅~±^]|\.\.+|\bto\b|\bor\b|\band\b|\bthrough\b|\bx\b|\bby\b|\bof\b|\bout of\b"
    r"|\bplus\b|\bminus\b|\btimes\b|\bmod\b|\bchoose\b|\brem(?:ainder)?\b|\br\b"
    r"|\bto the(?: power of)?\b|\bdivided by\b|\bversus\b|\bvs\b\.?|\bbis\b|\boder\b|\bund\b)[$\s]{0,3}",
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


LONGEST_POWER = 4_000


class Written(NamedTuple):
    """A number where a text has it; its value is None where it is not understood.

    ``kind`` is ``whole`` for a number of digits alone, ``spaced`` for one with spaces between groups of digits, and
    ``fraction`` for two numbers with a stroke between them. ``factor`` is what a word such as ``dozen`` makes of it.
    """

    start: int
    end: int
    value: float | None
    kind: str = ""
    factor: float = 1.0


def number_in(text: str) -> float | None:
    """The number that a text gives as its answer, as ``Number`` reads it; None where there is none.

    A text of more than `LONGEST_TEXT` characters is not read: a server could hold up a study with it.

    >>> number_in("16 - 7 is 9"), number_in("#### 1,234.5"), number_in("none"), number_in("from 3 to 4")
    (9.0, 1234.5, None, None)
    """
    if len(text) > LONGEST_TEXT:
        return None
    begun = first_problem(text)
    if begun is None:
        return answered(text)
    head, is_problem = begun
    if is_problem and (ANNOUNCED.search(head) or ("\n" not in head.strip() and written_numbers(plain_numbers(head)))):
        return answered(head)
    whole, first = answered(text), answered(head)
    if first is None or ANNOUNCED.search(text[len(head) :]):
        return whole
    # A remark may hold the result or something else; an answer of one line stands before it.
    return first if whole == first or ANNOUNCED.search(head) or "\n" not in head.strip() else None


def answered(text: str) -> float | None:
    """The number of one answer: after the last marker that numbers follow, else the last one."""
    is_dashed = re.search("[–—―]", text) is not None
    text = plain_numbers(text)
    end = len(text)
    for marker in reversed(list(ANNOUNCED.finditer(text))[-50:]):
        said, end = text[marker.end() : end], marker.start()
        minus = re.match(r"[ \t*_\"']{0,6}-[ \t]{1,2}(?=[$€£¥₹]?[\d.])", said)
        if minus and (is_dashed or marker.group()[-1] in "st"):
            return None
        said = f"-{said[minus.end() :]}" if minus else said.lstrip(" \t\r\n*_\"'")
        line = said.split("\n", 1)[0]
        if marker.group().startswith("\\boxed"):
            line = line.partition("}")[0]
        if NO_ANSWER.match(line) or len({name.lower() for name in ASSIGNED.findall(line)}) > 1:
            return None
        for part in (re.split("[=≈]", line)[-1], line):
            numbers = written_numbers(part)
            if numbers:
                return announced(part, affirmed(numbers, part))
    numbers = affirmed(written_numbers(text), text)
    if len({name.lower() for name in ASSIGNED.findall(text.strip().rpartition("\n")[2])}) > 1:
        return None
    if (
        len(numbers) > 1
        and not re.search(r"[^\W\d]", text)
        and LISTED.fullmatch(text[numbers[-2].end : numbers[-1].start])
    ):
        return None
    return chosen(numbers, -1)


def affirmed(numbers: list[Written], text: str) -> list[Written]:
    """The numbers without those that are denied, and without the names of steps where other numbers are left."""
    kept = [number for number in numbers if not DENIED.search(text, max(0, number.start - 40), number.start)]
    other = [
        number
        for number in kept
        if not is_pointer(text[max(0, number.start - 20) : number.start], text[number.end : number.end + 5])
    ]
    return other or kept


def announced(text: str, numbers: list[Written]) -> float | None:
    """The number that a text after a marker begins with, or the only one in it."""
    if not numbers:
        return None
    if len(numbers) > 1:
        between = text[numbers[0].end : numbers[1].start]
        if LISTED.fullmatch(between) or RECONSIDERED.search(between):
            return None
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
    before = text[max(0, start - 24) : start]
    if found["date"] or (after and after["unknown"] is not None) or is_in_expression(found, before):
        return Written(start, stop, None)
    digits = "1" if found["tens"] else plain_form(found["digits"])
    powers = [found["tens"] or found["power"] or found["of_ten"] or "0", scale(after, money=bool(found["currency"]))]
    # Python reads no whole number of more than 4,300 digits.
    if digits is None or None in powers or max(len(power or "") for power in powers) > LONGEST_POWER:
        return Written(start, stop, None)
    factor = 12.0 if after and after["dozen"] else float(f"1e{powers[1]}")
    value = float(f"{digits}e{sum(int(power) for power in powers if power)}") * (12 if factor == 12 else 1)
    if "-" in (found["sign"], found["inner"]) or SIGN_WORD.search(before):
        value = -value
    kind = "spaced" if " " in (found["digits"] or "") else "whole" if found.group().lstrip("-+").isdigit() else ""
    plain = stop == end or kind == "spaced" or factor != 1
    return Written(start, stop, value if math.isfinite(value) else None, kind if plain else "", factor)


def is_in_expression(found: re.Match[str], before: str) -> bool:
    """Whether a number is a part of something that is not understood: a root, a function, a bound, a pair."""
    after = found.string[found.end() : found.end() + 2]
    if before[-3:].strip("({ ").endswith("√") or is_part_of_more(before) or (found["sign"] and before.endswith("-")):
        return True
    if found["digits"] and before[-1:] in ("(", "{", "[") and before[-2:] != "d{" and after[:1] in (")", "}", "]"):
        pair = "," in found["digits"] and not re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", found["digits"])
        return pair or is_bookkept(before + (found["currency"] or ""), after)
    if before.endswith("(") and after.startswith(","):
        return True
    return bool(found["sign"]) and before.endswith("|") and after.startswith("|")


def scale(after: re.Match[str] | None, *, money: bool) -> str | None:
    """The power of ten that words or a letter after a number mean; None where it can mean more than one."""
    if after is None:
        return "0"
    if after["scale"]:
        return str(sum(SCALES[word.lower()] for word in SCALE_WORD.findall(after["scale"])))
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
        and first.factor == 1
        and text[last.start].isdigit()
        and last.value
        and first.value is not None
    ):
        value = first.value / (last.value / last.factor) * last.factor
        return Written(first.start, last.end, value, "fraction", last.factor)
    return Written(first.start, last.end, None)


def mixed(whole: Written, fraction: Written) -> Written:
    """A whole number with a fraction after it: ``1 1/2``."""
    part = None if fraction.value is None else fraction.value / fraction.factor
    if whole.value is None or whole.factor != 1 or part is None or not 0 < part < 1:
        return Written(whole.start, fraction.end, None)
    return Written(whole.start, fraction.end, (whole.value + math.copysign(part, whole.value)) * fraction.factor)


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
