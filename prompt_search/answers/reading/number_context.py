"""Words and signs beside a number that change what it says: functions, bounds, negations, examples that follow.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import re

PART_OF_MORE = re.compile(
    r"(?:(?<![^\W\d_])(?:sqrt|cbrt|root|log|ln|lg|exp|sin|cos|tan|cot|sec|csc|arc(?:sin|cos|tan)|sinh|cosh|tanh|gcd|lcm)"
    r"(?:_\{?\w{1,9}\}?|\^\{?-?\w{1,9}\}?|10|2)?(?:\s|[({\[]){1,3}"
    r"|(?<![^\W\d_])(?:[a-z]|max|min|abs|floor|ceil|round|mod|choose|gcd|lcm)[({\[]\s?(?:-?[\d.]{1,12}\s?,\s?)?"
    r"|[(\[{]\s?-?[\d.]{1,12}\s?,\s?|\d\.?\("
    r"|\b(?:half|third|quarter|fraction|multiple|(?:square|cube|cubic)(?: root)?|factorial|percent|sum|product|power)"
    r" of\s"
    r"|\b(?:twice|thrice|double|triple|quadruple|half)\s"
    r"|\b(?:at least|at most|(?:more|less|fewer|greater|larger|smaller|bigger|higher|lower|other) than|up to|over|under"
    r"|above|below|exceed(?:s|ing)?|as (?:many|much) as|(?:minimum|maximum) of|beyond|mindestens|höchstens|mehr als"
    r"|weniger als)\s"
    r"|[≥≤≧≦⩾⩽±≠≉]\s?|(?<![-=])(?<![-=]\s)[<>]=?\s?)[$€£¥₹(]?\s?\Z",
    re.IGNORECASE,
)

TAG_ENDS = re.compile(r"<[^<>\s][^<>]{0,40}>\s?\Z")

SIGN_WORD = re.compile(r"(?<![\w$)])(?<!\d\s)(?:minus|negative)\s[$€£¥₹]?\Z", re.IGNORECASE)

DENIED = re.compile(
    r"(?:\b(?:not|never|nor)|n't|\brather than|\binstead of)\s(?:(?:be|equal|equals|to|a|an|the|just|only|about"
    r"|simply)\s|\$){0,3}[$*_\"'(]{0,3}\Z",
    re.IGNORECASE,
)

POINTER = re.compile(
    r"\b(?:steps?|sections?|parts?|figures?|tables?|examples?|questions?|problems?|notes?|footnotes?|versions?|pages?|chapters?"
    r"|equations?|lines?|options?|case)\s\(?\Z",
    re.IGNORECASE,
)

LIST_INDEX = re.compile(r"[.)]\s{1,3}[^\W\d]")

NO_ANSWER = re.compile(
    r"[\s\"'*_(]*(?:no\b(?!\.)|none\b|unknown|undefined|undetermined|indeterminate|cannot|can't|impossible|infinit"
    r"|does not|n/a\b|nan\b|dne\b|there (?:is|are) no\b|unclear)",
    re.IGNORECASE,
)

RECONSIDERED = re.compile(
    r"\b(?:wait|correction|scratch that|i mean|actually|sorry|no,|my mistake|oops)", re.IGNORECASE
)

NEXT_PROBLEM = re.compile(
    r"\n[ \t]*(?:#{1,6}[ \t]*(?!\d))?[*_]{0,3}(?:(?:new|next|another)\s)?"
    r"(?P<kind>question|input|problem|exercise|example|human|user|instruction|q"
    r"|note|notes|confidence|sources?|remark|p\.?s\.?|explanation|references?|hint|tip|disclaimer|verification|check)"
    r"(?:[ \t]?\d{1,4})?[*_]{0,3}[ \t]*:",
    re.IGNORECASE,
)

ASSIGNED = re.compile(r"(?<![\w)])([a-z](?:_\{?\w\}?)?)\s?=\s?[-+]?[\d.$]", re.IGNORECASE)

LISTED = re.compile(r"[)\]}*$]{0,3}\s{0,2}(?:[,;&]|,?\s?(?:and|or)\b)\s{0,3}(?:and\b|or\b)?\s{0,2}", re.IGNORECASE)


def is_part_of_more(before: str) -> bool:
    """Whether what stands before a number makes it a part of an expression, or a bound.

    >>> is_part_of_more("log "), is_part_of_more("at least $"), is_part_of_more("<b>"), is_part_of_more("it is ")
    (True, True, False, False)
    """
    tail = before.rstrip(" $€£¥₹")[-8:]
    if not any(character.isalpha() or character in "([{<>≥≤≧≦⩾⩽±≠≉" for character in tail):
        return False
    return PART_OF_MORE.search(before) is not None and TAG_ENDS.search(before) is None


def is_bookkept(before: str, after: str) -> bool:
    """Whether an amount stands in brackets as accounts write negative ones: ``($500)``."""
    if not after.startswith(")"):
        return False
    return re.search(r"(?:\A|[:=]|\bis|\bof|\bloss)\s{0,3}[$€£¥₹*]{0,2}\([$€£¥₹]\Z|[$€£¥₹]\s?\(\Z", before) is not None


def is_pointer(before: str, after: str) -> bool:
    """Whether a number only names a step, a section or an item of a list."""
    begins_line = not before.strip(" \t#*_-") or before.rstrip(" \t#*_-").endswith("\n")
    return POINTER.search(before) is not None or (begins_line and LIST_INDEX.match(after) is not None)


def first_problem(text: str) -> tuple[str, bool] | None:
    """The part of a response before another problem or a remark, and whether it is another problem; None without."""
    found = next((found for found in NEXT_PROBLEM.finditer(text) if text[: found.start()].strip()), None)
    if found is None:
        return None
    kinds = ("question", "input", "problem", "exercise", "example", "human", "user", "instruction", "q")
    return text[: found.start()], found["kind"].lower() in kinds
