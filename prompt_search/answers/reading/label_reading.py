"""The label that a response states: as all of it, after a marker such as ``Answer:``, or as the one that it mentions.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from prompt_search.answers.final_part import LONGEST_TEXT
from prompt_search.answers.reading.label_matching import label_of_words, mentions_of, spaced
from prompt_search.answers.reading.label_places import by_example, negations, only_true, values_of_labels
from prompt_search.answers.reading.plain_text import cleaned, folded, unaccented

AROUND = " \t\r\n\"'`*_~#>()[]{}<|.,:;!?=$\\¿¡•▪●◦‣→➡✓✔✅👉、。「」『』【】《》〈〉"
"""What may stand around a label without a meaning of its own."""

AROUND_A_QUESTION = " \"'*_`)"

LED = re.compile(rf"\A[{re.escape(AROUND)}]*(?:-\s[{re.escape(AROUND)}]*)?")

MARKER_WORDS = (
    r"answer|label|category|class|classification|sentiment|intent|topic|prediction|verdict|decision|choice|option"
    r"|result|output|conclusion|rating|score|grade|emotion|tag|antwort|kategorie|klasse|réponse|catégorie|respuesta"
    r"|etiqueta|categoría|resposta|categoria|risposta|ответ|категория|метка"
)

MARKER = re.compile(
    rf"(?<![^\W_])(?:{MARKER_WORDS})(?![^\W_])"
    r"[\"'`*_)\]]{0,6}(?:\s{1,3}[(\[][^()\[\]\n]{0,200}[)\]])?[\"'`*_]{0,6}\s{0,3}"
    r"(?:(?:is|would be|should be|must be|ist|est|es|é|è)(?![^\W_])|[:=]|->|=>|→|-(?=\s))"
    rf"|<(?:final[_ ]?)?(?:{MARKER_WORDS})>|\\boxed\s{{0,3}}\{{|\#\#\#\#"
    r"|(?:答案|标签|標籤|类别|類別|分类|分類|情感|回答|答え|ラベル)\s{0,3}(?::|是|为|為|は)",
    re.IGNORECASE,
)

LAST_MARKERS = 50

WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s{0,3}(?=\{)")

ANOTHER = re.compile(
    r"[\s\"'*_)\]]{0,9}(?:/|,|\||&|\bor\b|\band\b|\boder\b|\bund\b|\bou\b)[\s\"'*_(\[]{0,9}(?:or\b|and\b)?\s{0,3}"
)

SENTENCE_ENDS = re.compile(
    r"[\"'*_`)\]}]{0,6}(?:\s*\Z|[.:;!?)\]}<|]|\s{0,3}\n|\s{1,3}-\s"
    r"|\s{1,3}is (?:the )?(?:most )?(?:correct|right|best)\b|,?\s{1,3}(?:because|since)\b)"
)

LETTER_GOES_ON = re.compile(r"[\"'*_`)\]]{0,6}(?:,|\s{0,3}\(|\s{1,3}(?:because|since|as|is|for|due|with)\b)")

TAKEN_BACK = re.compile(
    r"\b(?:wrong|incorrect|mistaken|on reflection|on second thoughts?|wait(?=\s{0,3}(?:[,.!:-]|no\b))|correction"
    r"|scratch that|reconsider\w*|chang\w+ my mind|(?:is|be) (?:right|correct)"
    r"|(?:correct|right|final|real|true|better) (?:one|answer|label) is"
    r"|no(?=[,:.!])|if it were|otherwise|looking again|i was wrong|i take that back)"
)

NOUN_GOES_ON = re.compile(
    r"[\"'*_`)\]}]{0,6}(?:\s{1,3}(?:sentiment|label|class|category|review|tone|emotion|text|message|overall|one|intent))*"
)

SHORT_STATED = re.compile(
    r"(?<![^\W_])(?:is|be|it's|as|choose|chose|pick|select|option|choice|class|category|rating|score|grade|level|label|answer|think|guess|say|with"
    r"|to|an?)[\s:=\"'*_(\[`]{1,9}|=\s{0,3}"
)


@lru_cache(maxsize=16)
def read_label(text: str, labels: tuple[str, ...]) -> tuple[str | None, bool]:
    """The label that a text states, and whether that is a guess; None without one.

    The whole text is a label, or its first line is; or a label follows the last marker that one follows, or is the last
    line, or the first sentence; or the text mentions no other. Of several the first is taken, as a guess. A negated
    label is none, and a list with a value for each label says nothing. Where other examples follow, the answer stands
    before them. Labels of one letter or digit have to be stated: they occur in any text. A text of more
    than `LONGEST_TEXT` characters is not read.

    >>> labels = ("positive", "negative")
    >>> read_label("The options are positive and negative. Answer: **Negative**", labels)
    ('negative', False)
    >>> read_label("Not negative: positive", labels), read_label("positive, then negative", labels)
    (('positive', False), ('positive', True))
    """
    if len(text) > LONGEST_TEXT:
        return None, False
    text = WRAPPED.sub("", cleaned(text))
    read = read_example(text, labels)
    if read[0] is not None:
        return read
    bare = label_of_bare(labels)
    if not bare or (unaccented(text) == text and tuple(bare) == labels):
        return read
    label, guessed = read_example(unaccented(text), tuple(bare))
    return (bare[label] if label else None), guessed


@lru_cache(maxsize=64)
def label_of_bare(labels: tuple[str, ...]) -> dict[str, str]:
    """The labels by their text without accents; none where two of them differ by accents alone."""
    bare = {unaccented(label): label for label in labels}
    return bare if len(set(map(spaced, bare))) == len(labels) else {}


def read_example(text: str, labels: tuple[str, ...]) -> tuple[str | None, bool]:
    """The label of a cleaned text that may go on with other examples: the answer stands before them."""
    whole = whole_label(text, labels)
    if whole is not None:
        return whole, False
    head, *others = by_example(text)
    if not others:
        return read_answer(text, labels)
    read = (None, False) if not head.strip() else stated_label(head, labels)
    for other in others:
        if read[0] is None:
            read = marked_label(other, labels)
    if read[0] is None:
        return read_answer(text, labels)
    label, guessed = read
    # What a model says in one line is its answer; of more lines, those after the example may be its conclusion.
    certain = head.strip() and "\n" not in head.strip()
    return label, guessed or (not certain and read_answer(text, labels)[0] != label)


def read_answer(text: str, labels: tuple[str, ...]) -> tuple[str | None, bool]:
    """The label of one answer, and whether that is a guess."""
    listed = values_of_labels(folded(text), labels)
    if listed is not None:
        begin, end, given = listed
        words = folded(text)
        parts = [read_answer(part, labels) for part in (words[end:], words[:begin]) if whole_words_in(part)]
        said = [read for read in parts if read[0] is not None]
        if said:
            return said[0][0], any(guessed for _, guessed in said) or len({label for label, _ in said}) > 1
        return only_true(given), False
    read = stated_label(text, labels)
    if read[0] is not None:
        return read
    mentions = [(label, doubt) for label, doubt in mentioned(folded(text), labels).items() if not is_short(label)]
    if not mentions:
        short = short_stated(text, labels)
        return (short[0] if short else None), len(short) > 1
    return mentions[0][0], len(mentions) > 1 or mentions[0][1]


def stated_label(text: str, labels: tuple[str, ...]) -> tuple[str | None, bool]:
    """The label that the first line, a marker, the last line or the first sentence states, and whether in doubt."""
    first = first_line_label(text, labels)
    marked, doubted = marked_label(text, labels)
    stated = marked or last_line_label(text, labels) or leading(text[:1000], labels, sentence=True)
    label = first or stated
    if label is None:
        return None, False
    differ = None not in (first, stated) and first != stated
    return label, differ or (doubted and not first) or (not marked and is_taken_back(text, label, labels))


def is_taken_back(text: str, label: str, labels: tuple[str, ...]) -> bool:
    """Whether a text that states a label corrects itself and names another one."""
    words = folded(text[:3000])
    if all(other == label for other in mentioned(words, labels)):
        return False
    return any(takes_back(found, label, labels) for found in TAKEN_BACK.finditer(words))


def takes_back(correction: re.Match[str], label: str, labels: tuple[str, ...]) -> bool:
    """Whether words of a correction are about the label: that another one is wrong confirms it, and that another one
    is right does not."""
    place = correction.start()
    begin = max(0, place - 30)
    before = list(mentions_of(labels).find(correction.string[begin:place], max(0, place - 25 - begin)))
    of_another = bool(before) and before[-1].label != label
    if correction.group().startswith(("wrong", "incorrect", "mistaken")):
        return not of_another
    return of_another or not correction.group().startswith(("is ", "be "))


def whole_words_in(text: str) -> bool:
    """Whether a text has a letter or digit."""
    return any(character.isalnum() for character in text)


def whole_label(text: str, labels: tuple[str, ...]) -> str | None:
    """The label that is all of a text but for what stands around it."""
    by_text = label_of_text(labels)
    plain = text.strip()
    for candidate in (plain, plain.removeprefix("- "), plain.removeprefix("- ").strip(AROUND)):
        label = by_text.get(spaced(candidate))
        if label is not None:
            return label
    return None


@lru_cache(maxsize=64)
def label_of_text(labels: tuple[str, ...]) -> dict[str, str]:
    """The label of each text that is one, with what stands around it or without."""
    found = {spaced(label): label for label in labels}
    for label in labels:
        bare = spaced(label).strip(AROUND)
        if bare:
            found.setdefault(bare, label)
    return found


def marked_label(text: str, labels: tuple[str, ...]) -> tuple[str | None, bool]:
    """The label after the last marker that one follows, and whether what is said there leaves a doubt."""
    end = len(text)
    denied: set[str] = set()
    for marker in reversed(list(MARKER.finditer(text))[-LAST_MARKERS:]):
        said = text[marker.end() : min(end, marker.end() + 1000)]
        stands_alone, end = marker.group()[-1] in "#{>", marker.start()
        label = leading(said, labels)
        if label is not None:
            said = text[marker.end() : marker.end() + 3000]
            return label, label in denied or (not stands_alone and is_doubted(said, label, labels))
        line = folded(said.strip().split("\n", 1)[0])
        found = mentioned(line, labels)
        clear = {label for label in found if not is_short(label)} or set(short_stated(line, labels))
        if len(clear) == 1:
            label = clear.pop()
            return label, label in denied or found.get(label, False) or is_taken_back(said, label, labels)
        denied |= {label for label, _, _ in negations(line, labels)}
    return None, False


def is_doubted(said: str, label: str, labels: tuple[str, ...]) -> bool:
    """Whether a text that begins with a label names another one after a question mark, after a correction, or where
    the label is only the beginning of what is said."""
    words = folded(said)
    found = next(mentions_of(labels).find(words), None)
    if found is None or all(other == label for other in mentioned(words, labels)):
        return False
    rest = NOUN_GOES_ON.sub("", words[found.end :], count=1)
    ends = SENTENCE_ENDS.match(rest) or LETTER_GOES_ON.match(rest) or rest.startswith(",")
    return not ends or rest.startswith("?") or is_taken_back(said, label, labels)


def first_line_label(text: str, labels: tuple[str, ...]) -> str | None:
    """The label that is the first line; models that go on with another example write theirs after it."""
    line = text.strip().split("\n", 1)[0].rstrip()
    return None if line.endswith("?") else whole_label(line, labels)


def last_line_label(text: str, labels: tuple[str, ...]) -> str | None:
    """The label that is the last line, or what follows a colon there."""
    line = text.strip().rpartition("\n")[2]
    return whole_label(line, labels) or whole_label(line.rpartition(":")[2], labels)


def leading(text: str, labels: tuple[str, ...], *, sentence: bool = False) -> str | None:
    """The label that a text begins with; None where another one is joined to it, as in a list."""
    mentions = mentions_of(labels)
    for said in (text.lstrip(), LED.sub("", text, count=1)):
        words = folded(said)
        found = mentions.at(words)
        if found is None:
            continue
        label, rest = found.label, words[found.end :]
        list_goes_on = ANOTHER.match(rest)
        other = mentions.at(rest, list_goes_on.end()) if list_goes_on else None
        if other and other.label != label:
            return None
        # A label with a question mark is put up for discussion.
        ends = SENTENCE_ENDS.match(rest) is not None and not (
            sentence and rest.lstrip(AROUND_A_QUESTION).startswith("?")
        )
        if ends or (not sentence and (not is_short(label) or short_goes_on(said, label, rest))):
            return label
    return None


def short_goes_on(said: str, label: str, rest: str) -> bool:
    """Whether a label of one character is meant as such though the sentence goes on: ``A`` and ``I`` are words, too."""
    if not label.isalpha() or LETTER_GOES_ON.match(rest):
        return True
    return said[:1] == label and label.isupper() and label not in "AI"


def is_short(label: str) -> bool:
    """Whether a label is one letter or digit."""
    word = spaced(label)
    return len(word) == 1 and word.isalnum()


def mentioned(words: str, labels: tuple[str, ...]) -> dict[str, bool]:
    """The labels that a folded text mentions as whole words, in order, none negated; and whether that is in doubt, as a
    negation stands before each mention."""
    found: dict[str, bool] = {}
    for label, negated, doubt in negations(words, labels):
        if not negated:
            found[label] = found.get(label, True) and doubt
    return found


def short_stated(text: str, labels: tuple[str, ...]) -> list[str]:
    """Labels of one letter or digit that end a sentence after a word such as ``is`` or ``option``."""
    words = folded(text)
    found: dict[str, None] = {}
    by_words = label_of_words(labels)
    for cue in SHORT_STATED.finditer(words):
        label = by_words.get(words[cue.end() : cue.end() + 1])
        after = cue.end() + 1
        if (
            label is not None
            and is_short(label)
            and not words[after : after + 1].isalnum()
            and SENTENCE_ENDS.match(words, after)
        ):
            found[label] = None
    return list(found)


def label_of_value(value: Any, labels: Iterable[str]) -> str | None:
    """The label that a JSON value is: a text, or a number or truth value that is written so.

    >>> label_of_value(1, ("0", "1")), label_of_value(1.0, ("0", "1")), label_of_value(True, ("False", "True"))
    ('1', '1', 'True')
    """
    if isinstance(value, (str, bool, int, float)):
        return label_of_words(tuple(labels)).get(spaced(str(value)))
    return None
