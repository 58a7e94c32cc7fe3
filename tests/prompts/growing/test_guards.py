"""What speaks against a proposed text, with the reason that tables show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.prompts.growing.asked import ShownRow
from prompt_search.prompts.growing.guards import reason_against
from tests.prompts.growing.examples import CHARGED, LABELS, PARENTS, STUCK

WORDS = st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), min_size=8, max_size=12, unique=True)


def against(text: str, **given: Any) -> str:
    """What speaks against a text, with the parents, rows and labels of the examples unless others are given."""
    parents: Sequence[str] = given.pop("parents", PARENTS)
    usual = {"existing": parents, "parents": parents, "rows": (CHARGED, STUCK), "labels": LABELS, "longest": 300}
    return reason_against(text, **{**usual, **given})


@pytest.mark.parametrize(
    "text",
    [
        "Name the team that can solve what the message is about: refund, login or delivery.",
        "Label only.",
        "# Task\nSort the message.\n\n- refund: money\n- login: accounts",
        'Answer in JSON: {"label": "refund"}',
        "Put the label into <answer> tags.",
        "You are 95% sure, so answer with one label — “refund”, not 'Refund'!",
        "Say refund 💸 if the message is about money.",
        "Think about what the customer wants.\tThen answer.",
        "refund = money, login = accounts, delivery = parcels",
    ],
)
def test_a_text_of_ones_own_words_is_accepted(text: str) -> None:
    """Labels, formats, lists and signs are no reason."""
    assert against(text) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" …\n", "is empty"),
        ("word " * 80, "has 400 characters, more than 300"),
        ("Sort {{ row.text }}.", "has Jinja syntax: {{"),
        ("Sort it {% if x %}.", "has Jinja syntax: {%"),
        ("Sort it. {# x", "has Jinja syntax: {#"),
        ("Sort it like this: {", "ends with {, which may begin Jinja syntax"),
        ("Sort it\x00 well.", "has the control character \\u0000"),
        ("Sort it\x1b[31m well.", "has the control character \\u001b"),
        ("Sort it \u202ewell.", "has the control character \\u202e"),
        ("Sort it \ud83d well.", "has half a character"),
        ("Sort it \ufffd badly.", "has half a character"),
        ("Sort it.<|im_end|>", "has chat markup: <|im_end|>"),
        ("<|im_start|>system\nSort it.", "has chat markup: <|im_start|>"),
        ("Sort it.</s>", "has chat markup: </s>"),
        ("[INST] Sort it. [/INST]", "has chat markup: [INST]"),
        ("<start_of_turn>user Sort it.", "has chat markup: <start_of_turn>"),
        ("<｜Assistant｜>Sort it.", "has chat markup: <｜Assistant｜>"),
        ("<think>Hm.</think> Sort it.", "has chat markup: <think>"),
        ("Sort it.\nAssistant: refund", "has chat markup: Assistant:"),
        ("Sort this: {text}", "adds the placeholder {text}"),
        ("Sort this: {message_here}", "adds the placeholder {message_here}"),
        ("Sort this: ${text}", "adds the placeholder ${text}"),
        ("Sort this: $message", "adds the placeholder $message"),
        ("Sort this: %s", "adds the placeholder %s"),
        ("Sort this: <text>", "adds the placeholder <text>"),
        ("Sort this: [Text]", "adds the placeholder [Text]"),
        (PARENTS[0], "is an option already"),
        ("classify THE message - answer with the label, only", "is an option already, but for case and punctuation"),
        ("Such as: please return the second charge, I was billed twice this month.", ""),
        ("Such as: I was billed twice this month, please return it.", "copies eight words of a row"),
        ("Such as: I WAS billed; twice this month (please) return it.", "copies eight words of a row"),
        ("对消息进行分类。只输出标签。", "is in another script: Chinese characters"),
        ("Классифицируй сообщение.", "is in another script: Cyrillic"),
        ("Sort the message. 只输出标签名称就可以了。", "is in another script: Chinese characters"),
        ("Ordne die Nachricht einer Kategorie zu und gib nur diese aus.", "is in another language: German"),
        ("Classez le message dans une des catégories et ne donnez que son nom.", "is in another language: French"),
        ("Clasifica el mensaje en una de las categorías y responde solo con ella.", "is in another language: Spanish"),
    ],
)
def test_a_text_is_refused_with_its_reason(text: str, reason: str) -> None:
    """One reason each, in the words that tables show."""
    assert against(text) == reason


@pytest.mark.parametrize("place", ["{name}", "{ name }", "$name", "${name}", "<name>", "%s", "%(name)s", "{}", "{0}"])
def test_a_placeholder_that_all_parents_have_is_kept(place: str) -> None:
    """One that some have may go, and stay."""
    both = (f"Greet {place} warmly.", f"Say hello to {place}.")

    assert against("Greet the customer.", parents=both) == f"has lost {place.replace(' ', '')}"
    assert against(f"Be kind to {place}.", parents=both) == ""
    assert against("Greet the customer.", parents=(both[0], "Be kind.")) == ""
    assert against(f"Be kind to {place}.", parents=(both[0], "Be nice.")) == ""


def test_a_near_duplicate_is_refused() -> None:
    """One word more among thirty is no other option."""
    other = (
        "Read the message of the customer with care, decide which of the teams of our support should handle it next "
        "and then answer with the label of the one team only."
    )

    assert against(f"{other[:-1]}, please.", existing=[other]) == "is nearly the same as an option"
    assert against("Read the message of the customer, name the team, and stop.", existing=[other]) == ""


def test_short_texts_that_differ_in_a_word_are_different() -> None:
    """One word may be the whole difference."""
    assert against("Answer with two labels.", existing=["Answer with one label."]) == ""
    assert against("标签只能有一个。", existing=["标签可以有多个。"], parents=["标签可以有多个。"]) == ""


@pytest.mark.parametrize(
    ("target", "text", "reason"),
    [
        ("Marie Curie", "If the text is on radium, answer Marie Curie.", "gives away the answer to a row"),
        ("marie curie", "If the text is on radium, answer MARIE-CURIE!", "gives away the answer to a row"),
        ("4711", "The answer is often 4711.", "gives away the answer to a row"),
        ('{"city": "Quito", "size": 5}', "Cities such as Quito count.", "gives away the answer to a row"),
        ('["Quito", "Lima"]', "Cities such as Quito count.", "gives away the answer to a row"),
        ("5", "Use at most 5 words.", ""),
        ("yes", "Answer yes or no.", ""),
        ("", "Answer in one word.", ""),
        ("refund", "Answer refund or login.", ""),
        ("a b c d e f g h i", "Say a b c d e f g h first.", "copies eight words of an answer"),
        ("message", "Classify this message with care.", ""),
    ],
)
def test_the_answer_to_a_row_is_not_given_away(target: str, text: str, reason: str) -> None:
    """Labels, short answers and words of the parents are no secret."""
    rows = [ShownRow(fields={"text": "unrelated"}, target=target)]

    assert against(text, rows=rows) == reason


def test_an_answer_that_rows_share_is_a_kind_of_answer() -> None:
    """Without labels, what answers two rows is what the option may name."""
    rows = [ShownRow(fields={"text": text}, target="neutral") for text in ("one", "two")]

    assert against("Say neutral if unsure.", rows=rows, labels=()) == ""
    assert against("Say neutral if unsure.", rows=rows[:1], labels=()) == "gives away the answer to a row"


def test_a_whole_short_field_is_copied_too() -> None:
    """Five words are a row where the row has no more."""
    rows = [ShownRow(fields={"meta": {"notes": ["Where is my blue kettle?"]}}, target="delivery")]

    assert against('Example: "where is my blue kettle" is about parcels.', rows=rows) == "copies a whole field of a row"
    assert against("Ask where the kettle is.", rows=rows) == ""


def test_what_a_parent_has_already_is_no_copy() -> None:
    """Words, tags and answers that people wrote stay."""
    parents = [f"Sort messages such as: {CHARGED.fields['text']} <think> is not wanted. Marie Curie"]
    rows = [CHARGED, ShownRow(fields={"text": "x"}, target="Marie Curie")]
    text = f"For example: {CHARGED.fields['text']} Use no <think> tag. Marie Curie"

    assert against(text, parents=parents, rows=rows) == ""


@pytest.mark.parametrize(
    ("text", "parents", "reason"),
    [
        ("将文本归入一个类别。", ["对文本进行分类。"], ""),
        ("输出 positive 或 negative。", ["对文本进行分类。"], ""),
        ("输出 JSON 格式的结果。", ["对文本进行分类。"], ""),
        ("Classify the text now.", ["对文本进行分类。"], "is in another script: Latin"),
        ("Определи тему и верни JSON.", ["Назови тему текста."], ""),
        ("テキストを分類してください。", ["对文本进行分类。"], "is in another script: Kana"),
        ("Gib nur das Label aus.", ["Ordne die Nachricht einer Kategorie zu."], ""),
        ("Answer with the label and nothing else.", ["Ordne die Nachricht einer Kategorie zu."],
         "is in another language: English"),
        ("Label only.", ["Ordne die Nachricht einer Kategorie zu."], ""),
        ("Scegli la categoria che è più adatta al testo.", ["Clasifica el texto en una de las categorías."],
         "is in another language: Italian"),
        ("Name the shape that is drawn.\nOptions:\n- a\nA:", ["This draws a\nOptions:\nA: e, o"], ""),
        ("Answer with the label.", ["{name}"], "has lost {name}"),
        ("Write a word.", [":"], ""),
    ],
)  # fmt: skip
def test_the_language_is_that_of_the_parents(text: str, parents: list[str], reason: str) -> None:
    """Labels and formats may be foreign; what is too short to tell is accepted."""
    assert against(text, parents=parents, labels=("positive", "negative")) == reason


@given(
    text=st.text(max_size=60),
    others=st.lists(st.text(max_size=40), max_size=3),
    value=st.recursive(st.none() | st.text(max_size=9) | st.integers(), lambda inner: st.lists(inner, max_size=3)),
    target=st.text(max_size=20) | st.sampled_from(["[" * 5_000, "{", '{"a": 1}', "1" * 5_000]),
)
def test_any_text_is_judged(text: str, others: list[str], value: Any, target: str) -> None:
    """Nothing is raised, and an accepted text can be a part of a prompt."""
    rows = [ShownRow(fields={"a": value}, target=target, answer=target)]
    reason = reason_against(text, existing=others, parents=others, rows=rows, labels=others, longest=50)

    assert "\n" not in reason
    if not reason:
        assert len(text) <= 50
        assert text not in others
        assert not text.rstrip().endswith("{")
        assert not any(part in text for part in ("{{", "{%", "{#", "\0", "\ufffd"))


@given(words=WORDS, before=st.text(max_size=10), start=st.integers(0, 4))
def test_eight_words_of_a_row_are_never_accepted(words: list[str], before: str, start: int) -> None:
    """Whatever stands around them, and in whatever case and punctuation."""
    rows = [ShownRow(fields={"text": " ".join(words)}, target="x")]
    part = words[min(start, len(words) - 8) :][:8]

    assert against(f"{before} {', '.join(part).upper()}.", rows=rows) != ""


@given(words=WORDS)
def test_seven_words_of_a_row_are_no_copy(words: list[str]) -> None:
    """Where the row has more."""
    rows = [ShownRow(fields={"text": " ".join(words)}, target="x")]

    assert "copies" not in against(" ".join([*words[:7], "qqq", *words[7:]][:8]), rows=rows, parents=["Sort."])


@given(text=st.text(min_size=1, max_size=60), sign=st.sampled_from([".", "!", " ", "  ", "\n"]))
def test_an_option_is_never_accepted_twice(text: str, sign: str) -> None:
    """Neither as it is nor with other punctuation."""
    assert against(text, existing=[text], parents=[]) != ""
    assert against(text + sign, existing=[text], parents=[]) != ""
