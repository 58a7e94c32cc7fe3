"""The exported Python file: it needs nothing of this package, and reads answers as the search read them."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from prompt_search.answers import Answer, Json, Label, Number, Regex, Text, Unparsed
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.template import Template
from tests.conftest import executed

LABELS = ("card payment", "Card_arrival", "C++", "情感")
WORDS = st.sampled_from(
    ["card", "Card", " payment", "_arrival", "C", "++", "情感", "Ａ", "x", "", " ", "-", "cardpayment"]
)
SCHEMA = Json({"type": "object", "properties": {"n": {"exclusiveMinimum": 0}}})
RESPONSES = st.lists(
    st.sampled_from(
        [
            *(
                "<think>",
                "</think>",
                "<|channel|>final<|message|>",
                "assistantfinal",
                "</s>",
                "answer: ",
                "\\boxed{",
                "}",
            ),
            *(
                "**",
                "positive",
                "negative",
                "not ",
                "A",
                "B) ",
                "1",
                ".0",
                "/2",
                "1,234",
                "10:30",
                "half ½",
                "Don’t",
                " know",
            ),
            *("\u200b", " ", "\n", "or", "-", "%", "million"),
        ]
    )
    | st.text(max_size=3),
    max_size=10,
).map("".join)
READERS: dict[str, Any] = {}
TOKENS = st.lists(st.tuples(WORDS, st.floats(-20, 0)), max_size=8)


def export(answer: Answer | None, source: str = "{{ row.text }}") -> Prompt:
    return Prompt(source=source, parameters={"max_tokens": 1}, answer=answer.to_dict() if answer else None)


def completion(text: str = "", tokens: list[tuple[str, float]] | None = None) -> Any:
    """What the openai client returns, as far as it is read."""
    top = [SimpleNamespace(token=token, logprob=logprob) for token, logprob in tokens or []]
    logprobs = SimpleNamespace(content=[SimpleNamespace(top_logprobs=top)])
    return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=text), logprobs=logprobs)])


@pytest.mark.parametrize("source", ["{{ row.text }}", "{{ nearest([{'text': 'a'}], row, 1) }}"])
@pytest.mark.parametrize("answer", [None, Label(LABELS), Label(["yes", "no"], mode="logprobs"), Number(), SCHEMA])
def test_holds_nothing_of_this_package(answer: Answer | None, source: str) -> None:
    """The file has what it needs and no more, no comment for our tools, and two blank lines between functions."""
    code = export(answer, source)._as_python()
    defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)}
    assert {"messages", "chat_messages", "finalize"} <= defined
    assert ("nearest" in defined) == ("nearest" in source)
    assert ("read" in defined) == (answer not in (None, SCHEMA))
    assert ("spaced" in defined) == isinstance(answer, Label)
    assert ("number_in" in defined) == isinstance(answer, Number)
    assert "import prompt_search" not in code
    assert "from prompt_search" not in code
    assert "type: ignore" not in code
    assert "noqa" not in code
    assert "\n\n\n\n" not in code


@pytest.mark.parametrize("answer", [None, Label(LABELS), Label(["yes", "no"], mode="logprobs")])
def test_has_the_names_that_its_first_lines_import(answer: Answer | None) -> None:
    """The names in the example at the top of the file are defined in it."""
    code = export(answer)._as_python()
    names = code.split("import ", 1)[1].split("\n", 1)[0].split(", ")
    file = executed(export(answer))
    assert names == ["messages", *(["read"] if answer else []), "MODEL", "PARAMETERS"]
    assert file["messages"]({"text": "a"}) == [{"role": "user", "content": "a"}]
    assert (file["MODEL"], file["PARAMETERS"], file["CHOICES"]) == (None, {"max_tokens": 1}, {})
    assert set(names) <= set(file)


@given(st.lists(WORDS, max_size=6).map("".join))
def test_reads_text_as_the_search_did(text: str) -> None:
    """The first label mentioned, None where the search has no answer."""
    label = Label(LABELS)
    read = executed(export(label))["read"](completion(text))
    expected = label.parse(Response(text=text))
    assert read == (None if isinstance(expected, Unparsed) else expected)


@pytest.mark.parametrize(
    "form",
    [
        Label(["positive", "negative", "A", "1.0", "don't know"]),
        Number(),
        Text(),
        Text(strip=False, first_line=True),
        Regex(r"(?P<first>\w+)|(x)", group="first"),
        Regex("positive|"),
    ],
    ids=lambda form: form.name,
)
@given(RESPONSES)
def test_reads_any_response_as_the_search_did(form: Answer, text: str) -> None:
    """Reasoning, markup, typography and numbers are read alike; None where the search has no answer."""
    read = READERS.setdefault(repr(form), executed(export(form))["read"])(completion(text))
    expected = form.parse(Response(text=text))
    assert read == (None if isinstance(expected, Unparsed) else expected)


@given(TOKENS, st.sampled_from([(), (0.25, 4.0)]))
def test_reads_log_probabilities_as_the_search_did(tokens: list[tuple[str, float]], weights: tuple[float, ...]) -> None:
    """The likeliest label, with the weights that were learned, None where no token begins one."""
    label = Label(["card payment", "C++"], mode="logprobs", calibrate="rows" if weights else None, weights=weights)
    read = executed(export(label))["read"](completion(tokens=tokens))
    response = Response(text="", logprobs=(tuple(tokens),))
    probabilities = label.probabilities(response)
    if probabilities is None:
        assert read is None
    else:
        assert math.isclose(probabilities[read], max(probabilities.values()))


@pytest.mark.parametrize("options", [{"mode": "json"}, {"mode": "logprobs", "calibrate": "content-free"}])
def test_reads_only_what_one_response_tells(options: dict[str, Any]) -> None:
    """The file has no ``read`` for JSON, and none for a content-free calibration, which needs a second response."""
    assert "read" not in executed(export(Label(["yes", "no"], **options)))


def test_checks_no_schema() -> None:
    """An answer with a schema comes without ``read``: nothing is accepted that the search would have refused."""
    assert "read" not in executed(export(SCHEMA))


def body(message: Any, finish_reason: str = "stop", **choice: Any) -> dict[str, Any]:
    """A chat completion as a server sends it."""
    head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [{"index": 0, "finish_reason": finish_reason, "message": message, **choice}]}


def said(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


OLDER = {"tokens": ["neg"], "token_logprobs": [-0.1], "top_logprobs": [{"neg": -0.1, "pos": -3.0}], "text_offset": [0]}
BARE = {"content": [{"token": "neg", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
REPLIES: list[tuple[dict[str, Any], object]] = [
    (body(said("positive")), "positive"),
    (body(said("positive"), "length"), "positive"),
    (body(said([{"type": "text", "text": "posi"}, {"type": "text", "text": "tive"}])), "positive"),
    (body(said([{"type": "thinking", "thinking": "negative"}, {"type": "text", "text": "positive"}])), "positive"),
    (body(said("positive \ud83d")), "positive"),
    (body(said(None, reasoning_content="negative")), None),
    (body(said(None, refusal="negative? I will not")), None),
    (body(said("positive", refusal="I will not")), None),
    (body(said([{"type": "refusal", "refusal": "negative"}])), None),
    (body(said("positive"), "content_filter"), None),
    (body(said("positive"), "SAFETY"), None),
    (body(said("positive"), "error"), None),
    (body(said("positive"), error={"message": "overloaded"}), None),
    (body(None, "content_filter"), None),
    (body(None), None),
    ({**body(said("")), "choices": []}, None),
    ({**body(said("")), "choices": None}, None),
    ({"error": {"message": "none"}}, None),
]


@pytest.mark.parametrize(("reply", "answer"), REPLIES)
def test_reads_what_servers_send_as_the_search_did(reply: dict[str, Any], answer: object) -> None:
    """Lists of parts are joined; a failed request, a refusal and a withheld answer are no answers."""
    completed = ChatCompletion.construct(None, **reply)
    for form in (Label(["positive", "negative"]), Regex(r"\w+tive")):
        file = executed(export(form))
        assert file["read"](completed) == file["read"](reply) == answer


def test_reads_half_characters_as_the_search_did() -> None:
    """Half of a character is replaced, as no file and no table takes it."""
    assert executed(export(Text()))["read"](ChatCompletion.construct(None, **body(said("a \ud83d")))) == "a \ufffd"


@pytest.mark.parametrize(
    ("logprobs", "answer"),
    [
        (OLDER, "negative"),
        (BARE, "negative"),
        (None, None),
        ({"content": None}, None),
        ({"content": []}, None),
        ([], None),
    ],
)
def test_reads_any_shape_of_log_probabilities(logprobs: Any, answer: str | None) -> None:
    """The older shape, tokens without alternatives, and none at all are read as the search reads them."""
    read = executed(export(Label(["positive", "negative"], mode="logprobs")))["read"]
    assert read(ChatCompletion.construct(None, **body(said("neg"), logprobs=logprobs))) == answer
    assert read(ChatCompletion.construct(None, **body(said("neg"), "content_filter", logprobs=logprobs))) is None


def test_a_prompt_takes_an_answer_form() -> None:
    """A form is kept as its dictionary, and anything else is refused in one line."""
    form = Label(["yes", "no"])
    given: Any = form
    assert Prompt(source="a", answer=given) == Prompt(source="a", answer=form.to_dict())
    wrong: Any = "label"
    with pytest.raises(InputError, match="an answer form or its dictionary, not 'label'; give one"):
        Prompt(source="a", answer=wrong)


def test_tojson_keeps_the_order_of_keys_and_every_character(tmp_path: Path) -> None:
    """In a template, in the prompt that is scored, and in the exported `.py`, `.j2` and `.json`."""
    record = {"z": "it's <b>", "a": {"y": "é & ü", "b": [1, None, True]}}
    written = '{"z": "it\'s <b>", "a": {"y": "é & ü", "b": [1, null, true]}}'
    template = Template(
        "{{ choice('cue', ['JSON', 'Text']) }} {{ row.record | tojson }} {{ form | tojson }} {{ {'c': 1} | tojson(2)}}",
        context={"form": {"k": 1, "c": "ö"}},
    )
    wanted = [{"role": "user", "content": f'JSON {written} {{"k": 1, "c": "ö"}} {{\n  "c": 1\n}}'}]
    assert template.render({}, {"record": record}) == wanted
    prompt = Prompt(source=template.specialize({}, {"record": record}))
    assert prompt.messages({"record": record}) == wanted
    assert executed(prompt)["messages"]({"record": record}) == wanted
    for name in ("prompt.j2", "prompt.json"):
        assert Prompt.read(prompt.export(tmp_path / name)).messages({"record": record}) == wanted
