"""The texts in the reply of a model that was asked for new options.

The reply is asked for with each text between tags. Small models number the texts instead, put them into quotes, fences
or a JSON list, or forget an end tag: all of these are read. What cannot be told from talk about the texts is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any, Final

from prompt_search.answers.final_part import final_part

MOST_TEXTS: Final = 50
"""Number of texts that are read in one reply; a model that repeats itself writes more."""

MOST_WRAPPERS: Final = 5
"""Number of times that what stands around a text is taken away: a fence, quotes, a number."""

LONGEST_REPLY: Final = 200_000
"""Number of characters of a reply that are read."""

_TAG = re.compile(r"<\s{0,3}(/?)\s{0,3}options?(?:[_-]?\d{1,3}|\s[^<>\n]{0,60})?>", re.IGNORECASE)
_OTHER_TAG = re.compile(
    r"(?:^[ \t]*<|<(/))(?:version|text|instruction|new|first|second|third|result)(?:[ _-]?\d{1,3})?>",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*\n(.*?)(?:^[ \t]*(?:```|~~~)[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_KIND = r"(?:option|text|version|variant)"
_NUMBER = rf"(?:#{{1,6}}[ \t]+)?(?:\*\*)?(?:{_KIND}[ \t]*)?\(?\d{{1,2}}(?:[.):]|\*\*)(?:\*\*)?:?(?:[ \t]+|$)"
_HEADING = rf"(?:#{{1,6}}[ \t]+|\*\*){_KIND}[ \t]*\d{{1,2}}(?:\*\*)?:?[ \t]*$"
_NUMBERED = re.compile(rf"^[ \t]*(?:{_NUMBER}|{_HEADING})", re.IGNORECASE | re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*[-*•–][ \t]+", re.MULTILINE)
_LED = re.compile(rf"(?:{_NUMBER}|(?:\*\*)?option:(?:\*\*)?[ \t]*|[-*•–][ \t]+)", re.IGNORECASE)
_JSON_BEGINS = re.compile(r"^[ \t]*\[", re.MULTILINE)
_TALK = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here (?:is|are)|here's|i'm sorry|i am sorry|sorry|i cannot|i can't|as an ai"
    r"|these (?:options|texts)|this (?:option|text)|note:|explanation:|let me know"
    r"|i hope|feel free|if you (?:need|have|would)|please let|please provide a)\b",
    re.IGNORECASE,
)
_STEPS = re.compile(r"\b(?:steps?|guidelines?|rules?|as follows)\b", re.IGNORECASE)
_QUOTES: Final = ('""', "''", "“”", "„“", "„”", "‘’", "«»", "»«", "「」", "``")
_WRAPPED: Final = ("**", "__")
_KEYS: Final = ("option", "text", "prompt", "instruction", "content", "value")


def texts_in(reply: str, *, cut_off: bool = False) -> tuple[str, ...]:
    r"""The different texts in a reply, in their order; none where the reply has none.

    Args:
        reply: the reply, which may begin with reasoning.
        cut_off: whether the token limit ended the reply, so that a last text without an end tag is half a text.

    >>> texts_in("Sure!\n<option>Sort the message.</option>\n<option>Which label fits?")
    ('Sort the message.', 'Which label fits?')
    >>> texts_in('1. "Sort the message."\n2. "Which label fits?"')
    ('Sort the message.', 'Which label fits?')
    >>> texts_in("<think>Hm, <option>no</option>")
    ()
    """
    cut_off = cut_off or len(reply) > LONGEST_REPLY
    part = final_part(reply[:LONGEST_REPLY], quotes_tags=True)
    if part is None:
        return ()
    lines = part.replace("\r\n", "\n").replace("\r", "\n")
    found: dict[str, str] = {}
    for text in map(_cleaned, _found(lines, cut_off=cut_off)):
        if any(character.isalnum() for character in text):
            found.setdefault(" ".join(text.casefold().split()), text)
        if len(found) == MOST_TEXTS:
            break
    return tuple(found.values())


def _found(reply: str, *, cut_off: bool) -> Iterable[str]:
    """The texts in the first form that the reply has."""
    others = [*_OTHER_TAG.finditer(reply)]
    pairs = [reply[tag.end() : end.start()] for tag, end in pairwise(others) if end[1] and not tag[1]]
    tags = [*_TAG.finditer(reply)]
    if tags:  # a small model repeats the current option, and gives its texts other tags
        return [*_tagged(reply, tags, cut_off=cut_off), *pairs]
    if pairs:
        return pairs
    fenced = [block[1] for block in _FENCE.finditer(reply)]
    begins = _JSON_BEGINS.search(reply)
    within = reply[begins.start() : reply.rfind("]") + 1] if begins else ""
    for text in (reply, *fenced[:MOST_TEXTS], within):
        listed = _listed(text)
        if listed:
            return listed
    for listed in (fenced, _items(reply, _NUMBERED), _items(reply, _BULLET)):
        if listed:
            return listed[:-1] if cut_off else listed
    return () if cut_off else _paragraphs(reply)


def _tagged(reply: str, tags: list[re.Match[str]], *, cut_off: bool) -> Iterator[str]:
    """What stands between tags; an end tag alone ends what stands before it."""
    only_ends = all(tag[1] for tag in tags)
    begin: int | None = 0 if only_ends else None
    for tag in tags:
        if begin is not None:
            piece = reply[begin : tag.start()]
            yield piece if tag[1] else _without_talk(piece)
        begin = tag.end() if only_ends or not tag[1] else None
    if begin is not None and not only_ends and not cut_off:
        yield _without_talk(reply[begin:])


def _listed(text: str) -> list[str]:
    """The texts of a JSON list or of an object that holds one; none where the text is no JSON."""
    stripped = text.strip()
    if stripped[:1] not in ("[", "{"):
        return []
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return []
    if isinstance(value, dict):
        lists = [member for member in value.values() if isinstance(member, list)]
        value = lists[0] if len(lists) == 1 else [value] if _text_of(value) else list(value.values())
    return [text for text in map(_text_of, value) if text]


def _text_of(value: Any) -> str:
    """The text that a member of a JSON list stands for, or ""."""
    if isinstance(value, dict):
        named = (value[key] for key in _KEYS if isinstance(value.get(key), str))
        return next(named, "")
    return value if isinstance(value, str) else ""


def _items(reply: str, begins: re.Pattern[str]) -> list[str]:
    """The items of a list of two or more, without what stands before it and without talk after it.

    Steps that a text itself tells the model to take are no list of texts.
    """
    starts = [*islice(begins.finditer(reply), 2 * MOST_TEXTS)]
    ends = [*(start.start() for start in starts[1:]), len(reply)]
    if len(starts) < 2 or _STEPS.search(reply[: starts[0].start()]):
        return []
    return [_without_talk(reply[start.end() : end]) for start, end in zip(starts, ends, strict=True)]


def _paragraphs(reply: str) -> list[str]:
    """What is quoted as a whole paragraph, or the reply if it is one paragraph besides talk."""
    paragraphs = [each.strip() for each in reply.split("\n\n")]
    quoted = [each for each in paragraphs if _unquoted(each) != each]
    if quoted:
        return quoted
    rest = _untalked([each for each in paragraphs if each])
    return rest if len(rest) == 1 else ["\n\n".join(rest)] if rest and _STEPS.search(rest[0]) else []


def _without_talk(text: str) -> str:
    return "\n\n".join(_untalked(text.split("\n\n")))


def _untalked(paragraphs: list[str]) -> list[str]:
    """The paragraphs without those that talk about the texts, at the beginning and at the end."""
    kept = list(paragraphs)
    while kept and _talks(kept[0]):
        del kept[0]
    while kept and _talks(kept[-1]):
        del kept[-1]
    return kept


def _talks(paragraph: str) -> bool:
    """Whether a paragraph is one line about the texts, or one that leads to something."""
    stripped = paragraph.strip()
    return "\n" not in stripped and (bool(_TALK.match(stripped)) or (stripped.endswith(":") and " " in stripped))


def _cleaned(text: str) -> str:
    """A text without what stands around it: fences, quotes, its number."""
    cleaned = text.strip()
    for _ in range(MOST_WRAPPERS):
        fence = _FENCE.fullmatch(cleaned)
        if fence:
            cleaned = fence[1].strip()
        led = _LED.match(cleaned)
        # A text of several lines may itself be a list.
        if led and "\n" not in cleaned and led.end() < len(cleaned):
            cleaned = cleaned[led.end() :].strip()
        cleaned = _unquoted(cleaned)
    return cleaned


def _unquoted(text: str) -> str:
    """A text without one pair of marks that encloses all of it, and is not found inside of it."""
    for begin, end in _QUOTES:
        inner = text[1:-1]
        if len(text) > 2 and text[0] == begin and text[-1] == end and begin not in inner and end not in inner:
            return inner.strip()
    for mark in _WRAPPED:
        inner = text[2:-2]
        if len(text) > 4 and text.startswith(mark) and text.endswith(mark) and mark not in inner:
            return inner.strip()
    return text
