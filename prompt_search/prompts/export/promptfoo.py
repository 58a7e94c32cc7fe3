"""A prompt as the configuration of promptfoo (``promptfooconfig.yaml``): provider, chat messages, tests.

Promptfoo renders the messages with Nunjucks, which reads ``{{ row.field }}`` as Jinja does. So a test has one variable,
``row``, with the fields of a row, each as the text that the prompt shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from prompt_search.data.rows import references
from prompt_search.errors import InputError
from prompt_search.prompts.export.outline import needs_template
from prompt_search.prompts.prompt_runtime import finalize

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset

_SETTINGS: Final = frozenset(
    {
        "temperature", "max_tokens", "max_completion_tokens", "top_p", "frequency_penalty", "presence_penalty", "seed",
        "stop", "response_format", "reasoning_effort",
    }
)  # fmt: skip
"""The request parameters that promptfoo's OpenAI provider knows by name; others are passed through."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def promptfoo_text(
    source: str,
    messages: Sequence[Mapping[str, str]],
    settings: Mapping[str, Any],
    name: str,
    data: Dataset | None,
) -> str:
    """The configuration as YAML.

    Args:
        source: the prompt's Jinja source.
        messages: its messages, with ``{{ row.field }}`` in them.
        settings: its choices, parameters, answer form and model.
        name: its name.
        data: labelled rows, each of which becomes a test; None for no tests.

    Raises:
        InputError: the prompt names no model, or its messages depend on the row in a way that promptfoo cannot render.
    """
    if needs_template(source):
        raise InputError(
            f"{name}: promptfoo renders fields alone, and in this prompt the row decides more (a condition, a loop, a "
            "filter, or examples near the row); export .py, whose messages(row) a prompt function of promptfoo can call"
        )
    if any(_CONTROLS.search(message["content"]) for message in messages):
        raise InputError(f"{name}: the prompt has control characters, which promptfoo cannot render; remove them")
    if settings["model"] is None:
        raise InputError(f"{name}: the prompt names no model, which promptfoo needs; export the winner of a study")
    config: dict[str, Any] = {"description": f"{name}, exported by prompt_search"}
    config["providers"] = [{"id": f"openai:chat:{settings['model']}", "config": _provider(settings["parameters"])}]
    config["prompts"] = [{"label": name, "raw": json.dumps(list(messages), ensure_ascii=False)}]
    answer = settings["answer"] or {}
    labels = answer.get("labels")
    if labels:
        config["defaultTest"] = {"assert": [{"type": "icontains-any", "value": list(labels)}]}
    elif answer.get("kind") == "json":
        config["defaultTest"] = {"assert": [{"type": "contains-json"}]}
    config["tests"] = [] if data is None else [_test(row.fields, row.target, bool(labels)) for row in data.rows]
    return "\n".join(_lines(config)) + "\n"


def _provider(parameters: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in parameters.items() if key in _SETTINGS}
    others = {key: value for key, value in parameters.items() if key not in _SETTINGS}
    return known | ({"passthrough": others} if others else {})


def _test(fields: Any, target: Any, labelled: bool) -> dict[str, Any]:
    """One row as a test: its fields, and the accepted answers."""
    accepted = [_shown(answer) for answer in references(target)]
    kind = "icontains-any" if labelled or len(accepted) > 1 else "equals"
    value: Any = accepted if kind == "icontains-any" else accepted[0]
    row = {name: _shown(fields[name]) for name in fields}
    return {"vars": {"row": row}, "assert": [{"type": kind, "value": value}]}


def _shown(value: Any) -> str:
    """A value as the prompt shows it."""
    return str(finalize(value))


def _lines(value: Any, indent: str = "") -> Iterator[str]:
    """A value as lines of YAML; texts are in double quotes, with JSON's escapes, which are YAML's too."""
    items = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in items:
        head = f"{indent}-" if key is None else f"{indent}{_scalar(str(key))}:"
        if isinstance(item, (Mapping, list, tuple)) and item:
            if key is None:
                first, *rest = _lines(item, f"{indent}  ")
                yield f"{head} {first.strip()}"
                yield from rest
            else:
                yield head
                yield from _lines(item, f"{indent}  ")
        else:
            yield f"{head} {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z_]*", value) and value.lower() not in _WORDS:
        return value
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Words that YAML does not read as text."""
