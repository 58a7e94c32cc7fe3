"""What a judge's response says: a rating on its scale with the reason for it, or why there is none."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from prompt_search.answers.base import Unparsed, final_text, quoted
from prompt_search.answers.final_part import LONGEST_TEXT
from prompt_search.answers.label import Label
from prompt_search.answers.reading.label_matching import label_masses
from prompt_search.llm.messages import Response
from prompt_search.metrics.scale import Scale

LEAST_MASS: Final = 0.5
"""Share of the probability of the first token that has to be on the scale, unless weights are required: a judge that
begins with other words has not rated yet."""

_NUMBER: Final = r"(?P<number>-?\d{1,6}(?:[.,]\d{1,2})?)(?![\d.,]*\d)"
_OF: Final = r"(?:\s*(?:/|out of|of)\s*(?P<of>\d{1,6})\b)?"
_BETWEEN: Final = r"[\s*_:=\"'`]{0,6}"
_MARKED: Final = re.compile(
    rf"\b(?:rating|score|grade|points?)\b{_BETWEEN}(?:is|of|would be)?{_BETWEEN}{_NUMBER}{_OF}", re.IGNORECASE
)
_FIRST: Final = re.compile(rf"[\s*_#\"'`(\[]{{0,8}}{_NUMBER}{_OF}")
_SPAN: Final = re.compile(r"\s*(?:-|–|—|to|or)\s*\d", re.IGNORECASE)
_LEADING: Final = re.compile(r"^[\s.:,;)\]*_`\"'–—-]+")
"""What may stand between a rating and its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """A rating on a scale.

    Attributes:
        score: its score; the expected score where it is ``weighted`` by the probabilities of the levels.
        level: the rating as the judge wrote it, or the most probable level.
        reason: what else the judge wrote.
        weighted: whether the score is weighted.
    """

    score: float
    level: str
    reason: str = ""
    weighted: bool = False


@dataclass(frozen=True, slots=True)
class Unrated:
    """A response without a rating: its ``error`` as ``kind: explanation``, see `prompt_search.llm.failures`."""

    error: str


def read_rating(scale: Scale, response: Response, *, weighted: bool | None) -> Rating | Unrated:
    """The rating in a response without error.

    Args:
        scale: the scale.
        response: the response.
        weighted: True: the score is the expected one by the probabilities of the first token, which are required.
            None: where the response has them, and they are on the scale; else the rating that is written counts.
            False: never.
    """
    if weighted is not False and scale.weighable:
        found = _weighted(scale, response, least=0.0 if weighted else LEAST_MASS)
        if isinstance(found, Rating) or weighted:
            return found
    text = final_text(response)
    if isinstance(text, Unparsed):
        cut = response.finish_reason == "length"
        return Unrated(f"{'judge_cut' if cut else 'judge_empty'}: {text.reason}")
    if len(text) > LONGEST_TEXT:
        return Unrated(f"judge_unreadable: {len(text):,} characters, and a rating is looked for in {LONGEST_TEXT:,}")
    found = _number(scale, text) if scale.numbers else _label(scale, text)
    if isinstance(found, Unrated) and found.error.startswith("judge_unreadable") and response.finish_reason == "length":
        return Unrated(f"judge_cut: no rating before the answer was cut off, {quoted(text)}; raise max_tokens")
    return found


def _weighted(scale: Scale, response: Response, least: float) -> Rating | Unrated:
    """The expected score by the first token, if levels of the scale have that share of its probability."""
    if not response.logprobs:
        return Unrated("judge_logprobs: the response has no log-probabilities; write weighted=None for such a server")
    masses = label_masses(response.logprobs[0], scale.levels)
    total = math.fsum(masses.values())
    if not total > least:
        tokens = ", ".join(repr(token) for token, _ in response.logprobs[0][:5])
        return Unrated(f"judge_unreadable: the most probable first tokens are not on the scale: {tokens}")
    shares = {level: mass / total for level, mass in masses.items()}
    likeliest = max(scale.levels, key=shares.__getitem__)
    text = final_text(response)
    reason = "" if isinstance(text, Unparsed) else _after_number(text) if scale.numbers else _after(text, likeliest)
    return Rating(score=scale.expected(shares), level=likeliest, reason=reason, weighted=True)


def _number(scale: Scale, text: str) -> Rating | Unrated:
    """The rating in a text by a scale of numbers."""
    marked = [*_MARKED.finditer(text)]
    found = marked[-1] if marked else _FIRST.match(text)
    if found is None:
        label = Label(scale.levels).parse(Response(text=text)) if len(scale.levels) <= 100 else Unparsed("none")
        if isinstance(label, Unparsed):
            return Unrated(f"judge_unreadable: no rating in {quoted(text)}")
        return Rating(score=scale.scores[label], level=label, reason=text.strip())
    if _SPAN.match(text, found.end()):
        return Unrated(f"judge_unreadable: several ratings in {quoted(text)}")
    value = float(found["number"].replace(",", "."))
    another_scale = found["of"] is not None and int(found["of"]) != scale.highest
    if another_scale or not scale.lowest <= value <= scale.highest:
        return Unrated(f"judge_scale: {quoted(found.group().strip())} is not {scale.said()}")
    before, after = text[: found.start()].strip(), _LEADING.sub("", text[found.end() :]).strip()
    return Rating(score=scale.score(value), level=f"{value:g}", reason=after or (before if " " in before else ""))


def _label(scale: Scale, text: str) -> Rating | Unrated:
    """The rating in a text by a scale of labels."""
    label = Label(scale.levels).parse(Response(text=text))
    if isinstance(label, Unparsed):
        return Unrated(f"judge_unreadable: no label of the scale in {quoted(text)}")
    return Rating(score=scale.scores[label], level=label, reason=_after(text, label))


def _after_number(text: str) -> str:
    found = _FIRST.match(text)
    return _LEADING.sub("", text[found.end() if found else 0 :]).strip()


def _after(text: str, label: str) -> str:
    """A text without the label that it begins with."""
    text = text.strip().lstrip("*_`#\"'")
    return _LEADING.sub("", text[len(label) :] if text.casefold().startswith(label.casefold()) else text).strip()
