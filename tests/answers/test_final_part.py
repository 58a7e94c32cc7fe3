"""The final part of a response: what follows the reasoning, and what is left of leaked tokens."""

from __future__ import annotations

from typing import SupportsIndex

import pytest

from prompt_search.answers import Answer, Json, Label, Number, Regex, Text
from prompt_search.answers.final_part import after_tags, final_part
from prompt_search.llm.messages import Response
from tests.answers.conftest import reason


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("<think>Could be negative... no.</think>positive", "positive"),
        ("Could be negative... no.</think>positive", "positive"),
        ("<|channel|>analysis<|message|>neg<|channel|>final<|message|>positive", "positive"),
        (
            "<|channel|>analysis<|message|>neg<|end|><|start|>assistant<|channel|>final<|message|>positive<|return|>",
            "positive",
        ),
        ('<|start|>assistant<|channel|>final <|constrain|>json<|message|>{"a": 1}<|return|>', '{"a": 1}'),
        ("hidden neg<|end|><|start|>assistant<|channel|>final<|message|>positive", "positive"),
        ("analysisWe need neg.assistantfinalpositive", "positive"),
        ("analysisWe need neg.", None),
        ("analysis shows", "analysis shows"),
        ("<|channel|>analysis<|message|>neg", None),
        ("<|channel|>anal", None),
        ("<think>a", None),
        ("<think>\n\n</think>\n\npositive", "positive"),
        ("<think>a</think>\n<think>b</think> c", "c"),
        ("<THINK>a</THINK> c", "c"),
        ("<think foo='x'>a</think>c", "c"),
        ("<seed:think>a</seed:think>c", "c"),
        ("[THINK]a[/THINK]c", "c"),
        ("◁think▷a◁/think▷c", "c"),
        ("<|channel>thought\nabc<channel|>c", "c"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>c<|END_RESPONSE|>", "c"),
        ("Here is my thought process: a\nHere is my response: c", "c"),
        ("positive<|im_end|>", "positive"),
        ("positive</s></s> ", "positive"),
        ("positive<|im_end|>\n<|im_start|>user\nnegative", "positive"),
        ("<s>old</s>", "<s>old</s>"),
        ("<think>a</think>", ""),
        ("<think>a</think>b</think>", "b"),
        ("positive<end_of_turn>\n", "positive"),
        ("<|im_start|>assistant\npositive", "positive"),
        ("assistant\n\n<think>a</think>b", "b"),
        ("  x \n", "  x \n"),
        ("Use `<think>` and `</think>`.", "Use `<think>` and `</think>`."),
        ("<think>I must end with `</think>` ok</think>c", "c"),
        ("<analysis of data> is x", "<analysis of data> is x"),
        ("Okay. <think>a</think> b", "b"),
        ("<think>a</think>\n<answer>b</answer>", "<answer>b</answer>"),
        *((f"<{tag}>a</{tag}>b", "b") for tag in ("antThinking", "reflect", "rationale", "inner_monologue", "cot")),
        *((f"<{tag}>a</{tag}>b", "b") for tag in ("internal_monologue", "plan", "explanation", "tool_call")),
        ("<details><summary>Thinking</summary>a</details>b", "b"),
        ("<details><summary>Thinking</summary>a", None),
        ("<details><summary>Answer</summary>a</details>", "<details><summary>Answer</summary>a</details>"),
        ("&lt;think&gt;a&lt;/think&gt;b", "b"),
        ("< think >a</ think >b", "b"),
        ("> a\n\nb", "b"),
        ("> a", "> a"),
        ("b<explanation>a</explanation>", "b"),
        ("b<explanation>a", "b"),
        ("<tool_call>a</tool_call>", ""),
        ("The word assistantfinal occurs", "The word assistantfinal occurs"),
        ("We need a. assistantfinalb", "b"),
    ],
)
def test_what_follows_the_reasoning(text: str, part: str | None) -> None:
    """Tags, channels and leaked tokens of many models; None where the reasoning never ends."""
    assert final_part(text) == part


@pytest.mark.parametrize(
    "text",
    [
        "Write <think>a</think> first.",
        "Okay <think>x",
        "The tag `</think>` ends it.",
        "The word assistantfinal occurs",
        "> a\n\nb",
    ],
)
def test_free_text_may_quote_tags(text: str) -> None:
    """In free text a tag after other words is a part of the text, also where the response begins with reasoning."""
    assert final_part(text, quotes_tags=True) == text
    assert final_part(f"<think>x</think>{text}", quotes_tags=True) == text


def test_a_free_text_may_be_all_in_tags() -> None:
    """A plan or an explanation that nothing follows is itself the text."""
    assert final_part("<plan>Go.</plan>", quotes_tags=True) == "<plan>Go.</plan>"
    assert final_part("<plan>Go.</plan>Gone.", quotes_tags=True) == "Gone."


FORMS: list[tuple[Answer, str, object]] = [
    (Label(["positive", "negative"]), "positive", "positive"),
    (Label(["positive", "negative"], mode="json"), '{"label": "positive"}', "positive"),
    (Number(), "18", 18.0),
    (Text(), "positive", "positive"),
    (Regex(r"\w+"), "positive", "positive"),
    (Json({"type": "object"}), '{"a": 1}', {"a": 1}),
]


@pytest.mark.parametrize(("form", "text", "answer"), FORMS, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<think>negative? {"label": "negative"} 3</think>\n', ""),
        ('negative? {"label": "negative"} 3\n</think>\n', "<|im_end|>"),
        ("<|channel|>analysis<|message|>negative 3<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"),
        ("analysisMaybe negative, or 3.assistantfinal", ""),
    ],
)
def test_every_form_reads_the_final_part(form: Answer, text: str, answer: object, before: str, after: str) -> None:
    """Reasoning is no part of any answer."""
    assert form.parse(Response(text=f"{before}{text}{after}")) == answer


@pytest.mark.parametrize("form", [form for form, _, _ in FORMS], ids=lambda form: form.name)
def test_reasoning_that_never_ends_is_unparsed(form: Answer) -> None:
    """The reason names the remedy where the token limit cut it off."""
    text = '<think>Maybe 3 is negative, {"label": "positive"}'
    assert reason(form.parse(Response(text=text, finish_reason="length"))) == "cut off while thinking; raise max_tokens"
    assert reason(form.parse(Response(text=text))) == "cut off while thinking: the reasoning does not end"
    assert reason(form.parse(Response(text="<think>3</think>\n"))) == "nothing follows the reasoning"
    assert reason(form.parse(Response(text=" ", finish_reason="length"))) == (
        "the response is empty, as its tokens ended before the answer; raise max_tokens"
    )
    assert not form.is_ambiguous(Response(text=text))


class CountedText(str):
    """A text that counts the characters that are copied from it."""

    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        self.copied += len(part)
        return part


@pytest.mark.parametrize("quotes_tags", [False, True])
@pytest.mark.parametrize(
    "piece", ["<think>", "◁think▷", "</think>", "<think></think>", "x<think>", " <think> </think>"]
)
def test_many_tags_copy_each_character_once(piece: str, quotes_tags: bool) -> None:
    """The work grows with the length of a response, not with its square, however often its tags repeat."""
    for text in (CountedText(piece * 500 + "x"), CountedText("x" + piece * 500)):
        after_tags(text, quotes_tags=quotes_tags)
        assert text.copied <= len(text)
