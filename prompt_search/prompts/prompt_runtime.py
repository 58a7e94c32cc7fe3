"""The functions that an exported prompt runs on.

The package itself uses them, and `prompt_search.prompts.export.python_source` pastes into a ``.py`` file those that
the prompt needs. Therefore this module imports the standard library, jinja2 and modules that are pasted in the same
way, and nothing else, and has no comments for the package's own tools.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, Template, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prompt_search.answers.final_part import final_part
from prompt_search.answers.reading.label_matching import label_masses
from prompt_search.llm.replies.bodies import mapping
from prompt_search.llm.replies.completion_reading import Completion, NotUnderstood, read_choice


class ChatBlock(Extension):
    """``{% chat role="user" %}…{% endchat %}``: one chat message (the tag of the ``banks`` library)."""

    tags = {"chat"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        if parser.stream.current.test("name:role"):
            next(parser.stream)
            parser.stream.expect("assign")
            role = parser.parse_expression()
        else:
            parser.fail('a chat block names its role; write {% chat role="user" %}', line)
        body = parser.parse_statements(("name:endchat",), drop_needle=True)
        call = self.call_method("_chat", [role, nodes.ContextReference()], lineno=line)
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _chat(self, role: str, context: Context, caller: Callable[[], str]) -> str:
        content = caller().strip()
        if content:
            context["_messages"].append({"role": role, "content": content})
        return ""


def finalize(value: object) -> object:
    """The value that ``{{ value }}`` prints: a missing value as nothing, a list or dictionary as JSON."""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else value


def tojson(value: object, indent: int | None = None) -> str:
    """The filter ``tojson``: JSON with the keys in their order, in which no character is escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def compiled(source: str) -> Template:
    """A prompt's source as a template that `chat_messages` renders."""
    environment = ImmutableSandboxedEnvironment(
        extensions=[ChatBlock],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters["tojson"] = tojson
    return environment.from_string(source)


def chat_messages(
    template: Template, row: Mapping[str, Any], picker: Callable[..., Any] | None
) -> list[dict[str, str]]:
    """The chat messages for one row; without any chat block the whole text is one user message."""
    messages: list[dict[str, str]] = []
    text = template.render(row=row, nearest=picker, _messages=messages).strip()
    return messages or [{"role": "user", "content": text}]


def nearest(pool: Sequence[Mapping[str, Any]], row: Mapping[str, Any], count: int) -> list[Mapping[str, Any]]:
    """The ``count`` examples of ``pool`` that are most similar to ``row``, the most similar last.

    The similarity is the cosine of TF-IDF weights over words (Salton and Buckley 1988). An example whose fields all
    equal those of the row is the row itself and left out. Fields that the examples lack are not compared.
    """
    names = [name for name in row if not pool or name in pool[0]]
    others = [example for example in pool if any(example[name] != row[name] for name in names)]
    texts = [_words(example, names) for example in others]
    document_counts: dict[str, int] = {}
    for text in texts:
        for word in set(text):
            document_counts[word] = document_counts.get(word, 0) + 1
    wanted = _tf_idf(_words(row, names), document_counts, len(texts))
    similarities = []
    for index, text in enumerate(texts):
        vector = _tf_idf(text, document_counts, len(texts))
        similarities.append((sum(weight * vector.get(word, 0.0) for word, weight in wanted.items()), -index))
    best = sorted(similarities, reverse=True)[:count]
    return [others[-index] for _, index in reversed(best)]


def _words(fields: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The words of the named fields, with repetitions."""
    return re.findall(r"\w+", " ".join(str(fields[name]) for name in names).casefold())


def _tf_idf(words: Iterable[str], document_counts: Mapping[str, int], documents: int) -> dict[str, float]:
    """The TF-IDF weight of each word, scaled to a vector of length 1."""
    vector: dict[str, float] = {}
    for word in words:
        vector[word] = vector.get(word, 0.0) + math.log((1 + documents) / (1 + document_counts.get(word, 0))) + 1
    norm = math.sqrt(sum(weight * weight for weight in vector.values())) or 1.0
    return {word: weight / norm for word, weight in vector.items()}


def answer_of(completion: Any) -> Completion | None:
    """The answer in a completion of the openai client, or in its JSON; None where there is none.

    A request that failed, a refusal and an answer that a filter withheld are no answers, whatever text they bring.
    """
    choices = mapping(json_of(completion)).get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    try:
        answer = read_choice(choices[0])
    except NotUnderstood:
        return None
    failed = mapping(choices[0]).get("error") or answer.finish_reason in ("error", "content_filter")
    return None if failed or answer.refusal else answer


def json_of(value: Any, depth: int = 20) -> Any:
    """A value as JSON has it: an object of a client as the dictionary of its fields; None below a depth."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if not depth:
        return None
    if isinstance(value, (list, tuple)):
        return [json_of(each, depth - 1) for each in value]
    # Clients keep fields that they do not know apart.
    fields = (
        value
        if isinstance(value, Mapping)
        else getattr(value, "__dict__", {}) | (getattr(value, "model_extra", None) or {})
    )
    return {name: json_of(each, depth - 1) for name, each in fields.items()}


def answer_text(completion: Any, *, quotes_tags: bool = False) -> str | None:
    """The text of a completion of the openai client after its reasoning; None without one."""
    answer = answer_of(completion)
    text = final_part(answer.text, quotes_tags=quotes_tags) if answer else None
    return text if text and text.strip() else None


def read_first_token(completion: Any, weights: Mapping[str, float]) -> str | None:
    """The likeliest label in a completion of the openai client, by its first token, or None without one."""
    answer = answer_of(completion)
    if answer is None or not answer.logprobs:
        return None
    masses = label_masses(answer.logprobs[0], tuple(weights))
    weighted = {label: mass * weights[label] for label, mass in masses.items()}
    likeliest = max(weighted, key=weighted.__getitem__)
    return likeliest if weighted[likeliest] > 0 else None
