"""The texts in a reply, in whatever form a model writes them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.prompts.growing.reading import MOST_TEXTS, texts_in

TAGS = ["<option>", "</option>", "<option", "<think>", "</think>", "</s>", "```", "```json\n", '"', "“", "”", "**"]
LISTS = ["1. ", "\n2) ", "\n\n", "- ", "[", "]", "{", "}", '", "', "Option 1:"]
PIECES = st.sampled_from([*TAGS, *LISTS, "Sort it.", "…", " ", "\u200b", "\ud800", "Sure!"])
REPLIES = st.lists(PIECES | st.text(max_size=8), max_size=30).map("".join)
PLAIN = st.from_regex(r"[A-Za-z]{2,9}( [a-z]{1,9}){0,9}\.", fullmatch=True)


@pytest.mark.parametrize(
    ("reply", "texts"),
    [
        ("<option>A b.</option><option>C d.</option>", ("A b.", "C d.")),
        ("Sure!\n\n<option>\nA b.\n</option>\n\nHope it helps.", ("A b.",)),
        ("<Option>A b.</ OPTION>\n< option >C d.</option>", ("A b.", "C d.")),
        ("<option_1>A b.</option_1><option 2>C d.</option>", ("A b.", "C d.")),
        ("<options>\n<option>A b.</option>\n</options>", ("A b.",)),
        ("<option>A b.\n<option>C d.\n\nLet me know!", ("A b.", "C d.")),
        ("A b.</option>\nC d.</option>", ("A b.", "C d.")),
        ('<option>1. "A b."</option>', ("A b.",)),
        ("<option>```\nA b.\n```</option>", ("A b.",)),
        ("```xml\n<option>A b.</option>\n```", ("A b.",)),
        ("<option>A <text> b.</option>", ("A <text> b.",)),
        ("<option>Do:\n1. A b.\n2. C d.</option>", ("Do:\n1. A b.\n2. C d.",)),
        ("<option>1. A b.\n2. C d.</option>", ("1. A b.\n2. C d.",)),
        ("<option>A b.</option><option>a  B.</option>", ("A b.",)),
        ("<option>A\r\nb</option>", ("A\nb",)),
        ("<think>Perhaps <option>no</option></think><option>A b.</option>", ("A b.",)),
        ("<think>Perhaps <option>no</option>", ()),
        ("<option>A b.</option><|im_end|>", ("A b.",)),
        ("<version1>\nA b.\n</version1>\n\n<version2>\nC d.\n</version2>", ("A b.", "C d.")),
        ("<text>A b.</text>\n<text>C d.</text>", ("A b.", "C d.")),
        ("Classify <text> and then </text> now.", ("Classify <text> and then </text> now.",)),
        ("Sort in steps:\n1. Read.\n2. Answer.", ("Sort in steps:\n1. Read.\n2. Answer.",)),
        (
            "Take these steps.\n\n1. Read.\n2. Sort.\n\nIf you need more, ask!",
            ("Take these steps.\n\n1. Read.\n2. Sort.",),
        ),
        ("1. A b.\n2. C d.\n\nFeel free to ask.", ("A b.", "C d.")),
        ("1. A b.\n2. C d.", ("A b.", "C d.")),
        ("Here are two:\n\n1) A b.\n   more\n\n2) C d.\n\nThese options are short.", ("A b.\n   more", "C d.")),
        ("**Option 1:** A b.\n**Option 2:** C d.", ("A b.", "C d.")),
        ("### Option 1\nA b.\n\n### Option 2\nC d.", ("A b.", "C d.")),
        ("- A b.\n- C d.", ("A b.", "C d.")),
        ('["A b.", "C d."]', ("A b.", "C d.")),
        ('```json\n["A b.", "C d."]\n```', ("A b.", "C d.")),
        ('Here you are:\n["A b.", "C d."]\nBye.', ("A b.", "C d.")),
        ('{"options": [{"option": "A b."}, {"text": "C d."}]}', ("A b.", "C d.")),
        ('{"option 1": "A b.", "option 2": "C d."}', ("A b.", "C d.")),
        ("```\nA b.\n```\n```\nC d.\n```", ("A b.", "C d.")),
        ("“A b.”\n\n„C d.“", ("A b.", "C d.")),
        ("Here is a better text:\n\nA b.\n\nI hope this helps!", ("A b.",)),
        ("How about this sentence:\n\nA b.", ("A b.",)),
        ('You might say:\n\n"A b."\n\nThat is shorter.\n\n"C d."', ("A b.", "C d.")),
        ("One thought.\n\nAnother thought.", ()),
        ("1.5 sentences are enough.", ("1.5 sentences are enough.",)),
        ('Say "yes" or "no"', ('Say "yes" or "no"',)),
        ('Answer with one of ["a", "b"].', ('Answer with one of ["a", "b"].',)),
        ("", ()),
        (" \n\u200b", ()),
        ("<option>…</option>\n<option> </option>", ()),
        ("I'm sorry, I can't help with that.", ()),
        ("[1, 2]", ("[1, 2]",)),
    ],
)
def test_every_form_of_a_reply_is_read(reply: str, texts: tuple[str, ...]) -> None:
    """Tags, missing tags, numbers, bullets, JSON, fences, quotes, reasoning, talk, and nothing at all."""
    assert texts_in(reply) == texts


@pytest.mark.parametrize(
    ("reply", "texts"),
    [
        ("<option>A b.</option><option>C d", ("A b.",)),
        ("<option>A b", ()),
        ("1. A b.\n2. C d", ("A b.",)),
        ("A b", ()),
    ],
)
def test_a_reply_that_was_cut_off_loses_its_last_text(reply: str, texts: tuple[str, ...]) -> None:
    """Half a text would be tried as if it were meant so."""
    assert texts_in(reply, cut_off=True) == texts


@given(reply=REPLIES, cut_off=st.booleans())
def test_any_reply_is_read(reply: str, cut_off: bool) -> None:
    """Nothing is raised; a text has a letter or a digit, no space around it, and comes once."""
    texts = texts_in(reply, cut_off=cut_off)

    assert all(text == text.strip() and any(map(str.isalnum, text)) for text in texts)
    assert len(set(texts)) == len(texts) <= MOST_TEXTS


@given(texts=st.lists(PLAIN, min_size=1, max_size=6, unique_by=str.casefold), before=st.sampled_from(["", "Sure!\n"]))
def test_what_is_between_tags_is_read_whatever_stands_around_it(texts: list[str], before: str) -> None:
    """The form that is asked for is read without loss."""
    reply = before + "\n".join(f"<option>{text}</option>" for text in texts)

    assert texts_in(reply) == tuple(texts)


ENDLESS = [*TAGS, *LISTS, "<option>a", "<think>a</think>", "<text>\n", "<text>a</text>", "- a\n", "[[", '[{"option":"']


@pytest.mark.parametrize("piece", ENDLESS)
def test_a_reply_without_end_is_read_in_time(piece: str) -> None:
    """A model that repeats itself up to the largest reply holds nothing up."""
    started = time.perf_counter()

    assert len(texts_in(piece * (300_000 // len(piece)))) <= MOST_TEXTS
    assert time.perf_counter() - started < 5
