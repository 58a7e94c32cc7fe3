"""A prompt as a Python file that needs only jinja2: the messages to send, and how to read a label that comes back."""

from __future__ import annotations

import inspect
import pprint
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from prompt_search.answers import Label, from_dict
from prompt_search.answers.label_matching import begins, folded, mention, needs_boundary, spaced, whole
from prompt_search.prompts.prompt_runtime import finalize, nearest


def python_source(
    source: str,
    *,
    choices: Mapping[str, Any],
    parameters: Mapping[str, Any],
    answer: Mapping[str, Any] | None,
    model: str | None,
) -> str:
    """The file's text. It has ``read`` only for labels that one response tells, as text or by log-probabilities."""
    form = from_dict(answer) if answer else None
    labels = read = imports = ""
    if isinstance(form, Label) and form.mode != "json" and not form.needs_baseline:
        by_logprobs = form.mode == "logprobs"
        helpers = [folded, spaced, needs_boundary, *([begins] if by_logprobs else [whole, mention])]
        read = "".join(f"\n\n{_copied(helper)}\n" for helper in helpers)
        read += _READ_LOGPROBS if by_logprobs else _READ_TEXT
        labels = f"LABELS = {_literal(tuple(form.labels))}\n"
        if by_logprobs:
            weights = form.weights or [1.0] * len(form.labels)
            labels += f"WEIGHTS = {_literal(dict(zip(form.labels, weights, strict=True)))}\n"
        imports = ("import math\n" if by_logprobs else "") + "import re\nimport unicodedata\n"
        imports += ("" if by_logprobs else "from functools import lru_cache\n") + "\n"
    picker = f"\n\n\n{_copied(nearest)}" if "nearest(" in source else ""
    return _PYTHON.format(
        source=_literal(source),
        model=_literal(model),
        parameters=_literal(parameters),
        choices=_literal(choices),
        labels=labels,
        imports=imports,
        imported="read, " if read else "",
        used="\n    label = read(completion)" if read else "",
        picker=picker,
        finalize=_copied(finalize),
        nearest="nearest" if picker else "None",
        read=read,
    )


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=100, sort_dicts=False)


def _copied(function: Callable[..., Any]) -> str:
    """A function's source without the remarks that are for this package."""
    text = textwrap.dedent(inspect.getsource(function))
    return re.sub(r"  # (?:type: ignore|its source is copied).*", "", text).strip()


_READ_TEXT = '''

def read(completion):
    """The first label in a completion of the openai client; None where there is none."""
    pattern, labels = mention(LABELS)
    match = pattern.search(folded(completion.choices[0].message.content or ""))
    return labels[match.lastgroup] if match else None
'''

_READ_LOGPROBS = '''

def read(completion):
    """The likeliest label in a completion of the openai client, by its first token; None where there is none."""
    masses = dict.fromkeys(LABELS, 0.0)
    for top in completion.choices[0].logprobs.content[0].top_logprobs:
        begun = [label for label in LABELS if begins(top.token, label)]
        if len(begun) == 1:
            masses[begun[0]] += WEIGHTS[begun[0]] * math.exp(top.logprob)
    likeliest = max(LABELS, key=masses.__getitem__)
    return likeliest if masses[likeliest] > 0 else None
'''

_PYTHON = '''"""A prompt exported by prompt_search. It needs only jinja2.

    from this_file import messages, {imported}MODEL, PARAMETERS
    completion = client.chat.completions.create(model=MODEL, messages=messages(row), **PARAMETERS){used}
"""

{imports}from jinja2 import StrictUndefined, nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

MODEL = {model}
PARAMETERS = {parameters}
CHOICES = {choices}
{labels}SOURCE = {source}


class Chat(Extension):
    tags = {{"chat"}}

    def parse(self, parser):
        line = next(parser.stream).lineno
        parser.stream.expect("name:role")
        parser.stream.expect("assign")
        role = parser.parse_expression()
        body = parser.parse_statements(("name:endchat",), drop_needle=True)
        call = self.call_method("_chat", [role, nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _chat(self, role, context, caller):
        content = caller().strip()
        if content:
            context["_messages"].append({{"role": role, "content": content}})
        return ""


{finalize}{picker}


TEMPLATE = ImmutableSandboxedEnvironment(
    extensions=[Chat],
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=finalize,
).from_string(SOURCE)


def messages(row):
    """The chat messages for one row, a dictionary of its fields."""
    sent = []
    text = TEMPLATE.render(row=row, nearest={nearest}, _messages=sent).strip()
    return sent or [{{"role": "user", "content": text}}]
{read}'''
