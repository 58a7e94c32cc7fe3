"""What speaks against a proposed text: the reasons that tables show.

A text that copies a row or an answer is right for the row that was shown and for no other. A text that lost a
placeholder, holds Jinja syntax or the tokens of a chat template breaks the prompt that it becomes a part of.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prompt_search._names import has_half_character
from prompt_search._printable import named
from prompt_search.answers.final_part import REASONING_BEGINS, REASONING_ENDS, TURN_ENDS
from prompt_search.prompts.growing.asked import ShownRow
from prompt_search.prompts.growing.language import foreign_script, other_language
from prompt_search.prompts.growing.likeness import COPIED_WORDS, holds, is_near, runs, words_of
from prompt_search.prompts.growing.placeholders import (
    PLACEHOLDER,
    added_placeholder,
    placeholders_in,
    shared_placeholders,
)

WHOLE_FIELD: Final = 5
"""Number of words from which on the whole of a shorter value of a row counts as copied."""

_JINJA = re.compile(r"\{[{%#]")
_MARKUP = re.compile(
    r"<\|[^<>|\n]{0,60}\|?>|<[^<>|\n]{0,60}\|>|<｜[^<>\n]{0,60}｜>|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|THINK)\]|<</?SYS>>"
    r"|</?s>|<(?:bos|eos|pad|unk)>|</?(?:start|end)_of_turn>|<unused\d+>|</?(?:tool_call|tool_response|function_call)>"
    r"|◁/?think▷|^\s*(?:\#{2,}\s*)?(?:human|user|assistant|system)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_MARKUPS: Final = (_MARKUP, REASONING_BEGINS, REASONING_ENDS)
_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def reason_against(
    text: str,
    *,
    existing: Sequence[str],
    parents: Sequence[str],
    rows: Sequence[ShownRow],
    labels: Sequence[str],
    longest: int,
) -> str:
    """Why a proposed text is refused, or "" where it is accepted.

    Args:
        text: the proposed text.
        existing: all options that the choice has.
        parents: the options that the model was shown; what they have may stay.
        rows: the rows that the model was shown.
        labels: the possible answers, which a text may name.
        longest: the number of characters that a text may have.

    >>> shown = ShownRow(fields={"text": "My card was charged twice for a single order yesterday."}, target="refund")
    >>> given = {"existing": ["Sort it."], "parents": ["Sort it."], "rows": [shown], "labels": ["refund"]}
    >>> reason_against("Say refund if the card was charged twice for a single order.", longest=200, **given)
    'copies eight words of a row'
    >>> reason_against("Name the department that can help.", longest=200, **given)
    ''
    """
    if not any(character.isalnum() for character in text):
        return "is empty"
    if len(text) > longest:
        return f"has {len(text)} characters, more than {longest}"
    return (
        _broken(text)
        or _jinja(text)
        or _markup(text, parents)
        or _placeholders(text, parents, rows)
        or _repeated(text, existing)
        or _copied(text, parents, rows)
        or _leaked(text, parents, rows, labels)
        or _foreign(text, parents, labels)
    )


def _broken(text: str) -> str:
    """A character that no request can carry, or that nobody can see."""
    if has_half_character(text) or "\N{REPLACEMENT CHARACTER}" in text:
        return "has half a character"
    for character in text:
        shown = character.isprintable() or character in ("\n", "\t", *_JOINERS)
        if not shown and unicodedata.category(character) != "Zs":
            return f"has the control character {named(character)}"
    return ""


def _jinja(text: str) -> str:
    """Jinja syntax, and a brace at the end, which makes some with what follows it."""
    found = _JINJA.search(text)
    if found:
        return f"has Jinja syntax: {found[0]}"
    return "ends with {, which may begin Jinja syntax" if text.rstrip().endswith("{") else ""


def _markup(text: str, parents: Sequence[str]) -> str:
    """Tokens of chat templates, tags of reasoning and names of roles, other than those that a parent has."""
    found = [match[0].strip() for pattern in _MARKUPS for match in pattern.finditer(text)]
    found += [token for token in TURN_ENDS if token in text]
    return next((f"has chat markup: {each}" for each in found if not any(each in parent for parent in parents)), "")


def _placeholders(text: str, parents: Sequence[str], rows: Sequence[ShownRow]) -> str:
    """A placeholder that all parents have and the text has not, or one that it adds and nothing fills in."""
    has = placeholders_in(text)
    for place in shared_placeholders(parents):
        if place not in has:
            return f"has lost {place}"
    added = added_placeholder(text, parents, [row.fields for row in rows])
    return f"adds the placeholder {added}" if added else ""


def _repeated(text: str, existing: Sequence[str]) -> str:
    words = words_of(text)
    for other in existing:
        if text == other:
            return "is an option already"
        if words == words_of(other) and words:
            return "is an option already, but for case and punctuation"
    return "is nearly the same as an option" if any(is_near(text, other) for other in existing) else ""


def _copied(text: str, parents: Sequence[str], rows: Sequence[ShownRow]) -> str:
    """Words of a row or of an answer to it, other than those that a parent has already."""
    words = words_of(text)
    own = [words_of(parent) for parent in parents]
    copied = {*runs(words)}.difference(*(runs(parent) for parent in own))
    for row in rows:
        sources = [(value, "a row") for value in _texts_of(row.fields)]
        sources += [(row.target, "an answer"), (row.answer, "a model's answer")]
        for value, where in sources:
            there = words_of(value)
            if not copied.isdisjoint(runs(there)):
                return f"copies eight words of {where}"
            if where == "a row" and WHOLE_FIELD <= len(there) < COPIED_WORDS and _new(there, words, own):
                return "copies a whole field of a row"
    return ""


def _leaked(text: str, parents: Sequence[str], rows: Sequence[ShownRow], labels: Sequence[str]) -> str:
    """The answer to one row that was shown. What answers two rows is no answer to one, but a kind of answer."""
    words, own = words_of(text), [words_of(parent) for parent in parents]
    named_labels = {words_of(label) for label in labels}
    times = Counter(target for row in rows for target in {words_of(each) for each in _targets(row.target)})
    for target, count in times.items():
        if count == 1 and target not in named_labels and _is_specific(target) and _new(target, words, own):
            return "gives away the answer to a row"
    return ""


def _new(part: tuple[str, ...], words: tuple[str, ...], own: Iterable[tuple[str, ...]]) -> bool:
    """Whether the words of a part are in a text and in none of its parents."""
    return holds(words, part) and not any(holds(parent, part) for parent in own)


def _is_specific(target: tuple[str, ...]) -> bool:
    """Whether the words of an answer cannot be in a text by accident: two words, a long one, or a long number."""
    joined = "".join(target)
    digits = sum(each.isdigit() for each in joined)
    if digits == len(joined):
        return digits >= 3
    return len(joined) >= 5


def _targets(target: str) -> list[str]:
    """The answers in a target: the members of JSON, else the target itself."""
    if target.lstrip()[:1] in ("{", "["):
        try:
            return [*_texts_of(json.loads(target))]
        except (ValueError, RecursionError):
            pass
    return [target]


def _texts_of(value: Any) -> Iterator[str]:
    """All texts and numbers in a value of lists and dictionaries."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (list, tuple)):
            waiting += each
        elif each is not None and not isinstance(each, bool):
            yield str(each)


def _foreign(text: str, parents: Sequence[str], labels: Sequence[str]) -> str:
    """Another script or another language than that of the parents; labels may be in any."""
    without = _without(text, labels)
    others = [_without(parent, labels) for parent in parents]
    script = foreign_script(without, others)
    if script:
        return f"is in another script: {script.capitalize() if script != 'CJK' else 'Chinese characters'}"
    language = other_language(without, others)
    return f"is in another language: {language}" if language else ""


def _without(text: str, labels: Sequence[str]) -> str:
    """A text without placeholders and labels."""
    for label in sorted(filter(None, labels), key=len, reverse=True):
        text = text.replace(label, " ")
    return PLACEHOLDER.sub(" ", text)
