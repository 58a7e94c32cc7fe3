"""Places of labels in a response that are no answers: lists with a value for each label, examples that follow.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import re
from itertools import pairwise

from prompt_search.answers.reading.label_matching import mentions_of

NEGATION = re.compile(
    r"(?:\b(?:not|never|neither|nor|non|no|nothing|cannot|nicht|kein\w*|pas|except|without|hardly|barely|unlike"
    r"|lack(?:s|ed|ing)?|(?:lack|absence|opposite|contrary|reverse) of)|n't"
    r"|\b(?:rather|other) than|\b(?:instead of|far from|anything but|no longer)|\brules? out)"
    r"(?:[\s_-]+(?:an?|the|at all|be|is|it|it's|this|that|to|think|believe|say|as|of|very|really|clearly|strictly|so"
    r"|any|in|considered|classified|label+ed|ein\w*|de|un\w*|quite|entirely|particularly|necessarily|overly|exactly|fully"
    r"|completely|totally|truly|overwhelmingly|especially|explicitly|purely|wholly|much|too|all|remotely|even"
    r"|seem|seems|sound|sounds|appear|appears|look|looks|feel|feels|read|express|expresses|convey|conveys|show|shows|see"
    r"|find|contain|contains|have|has|display|displays|indicate|indicates|suggest|suggests|carry|call|describe"
    r"|anything|something|like|from|i|would))*[\s\"'*_(\[-]*\Z"
)

NEGATION_BEFORE = re.compile(
    r"(?:\b(?:not(?!\s(?:only|just)\b)|never|neither|nor|no(?!\s(?:doubt|question|wonder)\b)|none|nothing|cannot|without"
    r"|hardly|barely|lack\w*|absence|opposite|hard to|less"
    r"|false|nicht|kein\w*)|n't)(?:\s+(?!but\b)[\w'*\"-]+){0,8}[\s\"'*_(\[-]*\Z"
)

OR_ANOTHER = re.compile(r"[\s\"'*_)\]]{0,9}(?:/|\bn?or\b)[\s\"'*_(\[]{0,9}(?:an?\s)?")

VALUE_FOLLOWS = re.compile(
    r"[\"'*_`)\]]{0,6}\s{0,3}(?:[:=](?!=)|(?:->|=>|→|\|)\s{0,3}(?=[\d.]|yes|no|true|false))"
    r"[\"'*_`\s]{0,6}(?P<value>(?:(?![.!?]\s)[^\n,;{}|]){0,300})"
)

DASH_FOLLOWS = re.compile(r"[\"'*_`)\]]{0,6}\s{1,3}-\s{1,3}(?P<value>[^\n]{0,300})")

LINE_BEGINS = re.compile(r"(?:\A|\n)[\s\"'*_`#>-]{0,9}\Z")

KEY_BEGINS = re.compile(r"(?:\A|[\n,;{(|])[\s\"'*_`#>(\[-]{0,9}\Z")

TRUE_WORDS = ("true", "yes", "1", "✓", "✔", "✅", "x")

FALSE_WORDS = ("false", "no", "0", "✗", "✘", "❌", "✖")

NEXT_INPUT = re.compile(
    r"(?:\A|\n)[ \t]*(?:#{1,6}[ \t]*)?[*_]{0,3}(?:(?:new|next|another)\s)?"
    r"(?:text|input|question|review|sentence|message|tweet|query|passage|premise|example|user|human|instruction|comment"
    r"|title|article|document|email|statement|context|headline|q|\[inst\])(?:[ \t]?\d{1,4})?[*_]{0,3}[ \t]*(?::|\n)",
    re.IGNORECASE,
)


def values_of_labels(words: str, labels: tuple[str, ...]) -> tuple[int, int, dict[str, str]] | None:
    """Where a folded text gives values to several labels, and the value of each; None where it does not.

    >>> values_of_labels('{"positive": 0.1, "negative": 0.9}', ("positive", "negative"))
    (2, 33, {'positive': '0.1', 'negative': '0.9'})
    """
    given: dict[str, str] = {}
    begin = end = 0
    for found in mentions_of(labels).find(words):
        before = words[max(0, found.start - 12) : found.start]
        follows = VALUE_FOLLOWS.match(words, found.end)
        if follows and found.end - found.start == 1 and not KEY_BEGINS.search(before):
            continue
        if follows is None and LINE_BEGINS.search(before):
            follows = DASH_FOLLOWS.match(words, found.end)
        if follows:
            begin = begin if given else found.start
            end = follows.end()
            given.setdefault(found.label, follows["value"].strip(" \"'*_`)]."))
    return (begin, end, given) if len(given) > 1 else None


def only_true(given: dict[str, str]) -> str | None:
    """The one label whose value is true where the values of all others are false."""
    true = [label for label, value in given.items() if value in TRUE_WORDS]
    false = [label for label, value in given.items() if value in FALSE_WORDS]
    return true[0] if len(true) == 1 and len(true) + len(false) == len(given) else None


def by_example(text: str) -> list[str]:
    """The parts of a response that begin with another input, as a model writes that goes on with more examples."""
    starts = [0, *(found.start() for found in NEXT_INPUT.finditer(text)), len(text)]
    return [text[start:stop] for start, stop in pairwise(starts)]


def negations(words: str, labels: tuple[str, ...]) -> list[tuple[str, bool, bool]]:
    """The labels that a folded text mentions as whole words, in order, the longest at one place.

    Returns:
        For each mention the label, whether it is negated, and whether that is in doubt.
    """
    found: list[tuple[str, bool, bool]] = []
    end, negated = 0, False
    for mention in mentions_of(labels).find(words):
        before = words[max(0, mention.start - 60) : mention.start]
        joined_by_or = OR_ANOTHER.fullmatch(words[end : mention.start]) if found and mention.start - end < 24 else None
        negated = NEGATION.search(before) is not None or (negated and joined_by_or is not None)
        found.append((mention.label, negated, NEGATION_BEFORE.search(before) is not None))
        end = mention.end
    return found
