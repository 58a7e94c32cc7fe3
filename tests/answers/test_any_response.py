"""Whatever a server sends, every answer form gives an answer or says why there is none, and soon."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers import Answer, Json, Label, Number, Regex, Text, Unparsed
from prompt_search.answers.final_part import LONGEST_RESPONSE, LONGEST_TEXT, final_part
from prompt_search.answers.reading.label_reading import read_label
from prompt_search.llm.messages import Response
from prompt_search.llm.transport import LONGEST_REPLY

FORMS: list[Answer] = [
    Label(["positive", "negative", "not sure"]),
    Label(["A", "B", "1", "-1", "C++", "是", "情感", "_this_", ":)"]),
    Label(["positive", "1.0"], mode="json"),
    Number(),
    Text(),
    Text(first_line=True, strip=False),
    Regex("a|(b)"),
    Json({"type": ["object", "array", "number"]}),
]

PIECES = [
    *("<think>", "</think>", "<Thinking a=1>", "</THINKING>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷"),
    *("<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "<|channel|>", "<|end|>", "<|start|>assistant"),
    *("analysisWe", "assistantfinal", "<|channel>thought", "<channel|>", "<|return|>", "</s>", "<s>", "<|im_end|>"),
    *("<|im_start|>user", "Here is my thought process:", "Here is my response:", "answer:", "Answer is", "####", "**"),
    *("\\boxed{", "\\frac{1}{2}", "\\text{", "}", "{", "[", "]", '"', "'", "`", "```json\n", "```", "\n", " ", "\t"),
    *(
        "positive",
        "negative",
        "not ",
        "n't ",
        "or",
        "A",
        "B)",
        "1",
        "-",
        "1,234",
        "1.234,5",
        "3/4",
        "10:30",
        "2e9999",
        "×10^",
    ),
    *(
        "½",
        "³",
        "١",
        "\u00a0",
        "\u200b",
        "\ufeff",
        "\u0307",
        "İ",
        "ß",
        "ﬁ",
        "💡",
        "情感",
        "是",
        "\x00",
        "\x85",
        "\u2028",
    ),
    *(
        '{"label": ',
        '"positive"}',
        "NaN",
        "true",
        "null",
        "1e400",
        ":",
        ",",
        "=",
        "$",
        "%",
        "may 1",
        "million",
        "√",
        "^",
    ),
]

RESPONSES = st.builds(
    lambda pieces, finish_reason: Response(text="".join(pieces), finish_reason=finish_reason),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12),
    st.sampled_from(["stop", "length", ""]),
)


@given(RESPONSES)
def test_any_response_is_read_or_unparsed(response: Response) -> None:
    """The answer is a label, a finite number, a text, JSON that can be stored, or a reason on one line."""
    for form in FORMS:
        answer = form.parse(response)
        if isinstance(answer, Unparsed):
            assert answer.reason
            assert "\n" not in answer.reason
        elif isinstance(form, Label):
            assert answer in form.labels
        elif isinstance(form, Number):
            assert math.isfinite(answer)
        else:
            json.dumps(answer, allow_nan=False)
        assert form.is_ambiguous(response) in (True, False)


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        ("<think>", "</think>"),
        ("", "</think>"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("analysisWe ", "assistantfinal"),
    ],
)
@given(text=st.text(st.characters(exclude_characters="<[◁◂"), max_size=30).map(str.strip))
def test_reasoning_changes_no_answer(begins: str, ends: str, text: str) -> None:
    """What a form reads in a text it reads after reasoning, too."""
    for form in FORMS:
        alone, after = (form.parse(Response(text=part + text)) for part in ("", f"{begins}B or negative, or 7?{ends}"))
        assert isinstance(alone, Unparsed) == isinstance(after, Unparsed)
        assert isinstance(alone, Unparsed) or alone == after


def test_responses_without_end_are_not_read() -> None:
    """No form reads the longest reply that is received, and a prompt exported as Python does not either."""
    for form in FORMS:
        answer = form.parse(Response(text='{"label": "positive"} ' * (LONGEST_REPLY // 22)))
        assert isinstance(answer, Unparsed)
        assert answer.reason == "15,999,984 characters, and an answer is looked for in at most 1,000,000"
    assert final_part("A" * LONGEST_RESPONSE) == "A" * LONGEST_RESPONSE
    assert final_part("A" * (LONGEST_RESPONSE + 1)) is None


def test_a_label_is_looked_for_in_as_many_characters_as_a_number() -> None:
    """Reasoning in tags does not count; a longer answer has no label, nor has it in a prompt exported as Python."""
    form = Label(["positive", "negative"])
    longest = "positive" + " " * (LONGEST_TEXT - 8)
    assert form.parse(Response(text=f"<think>{longest}</think>{longest}")) == "positive"
    answer = form.parse(Response(text=longest + " "))
    assert isinstance(answer, Unparsed)
    assert answer.reason == "100,001 characters, and a label is looked for in at most 100,000"
    assert not form.is_ambiguous(Response(text=longest + " "))
    assert read_label(longest + " ", ("positive", "negative")) == (None, False)


@pytest.mark.parametrize("piece", PIECES)
def test_long_responses_are_read_soon(piece: str) -> None:
    """Five thousand characters of anything are read; a detour that grows with their cube would not end soon."""
    for end in ("", "x", "positive 1"):
        response = Response(text=piece * (5_000 // len(piece)) + end)
        for form in FORMS:
            form.parse(response)
