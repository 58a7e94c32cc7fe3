"""The study file and the template that ``prompt-search init`` writes for a file of labelled rows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prompt_search._files import write_whole
from prompt_search.answers import Label
from prompt_search.answers.inferred_schema import schema_of
from prompt_search.answers.reading.number_reading import number_in
from prompt_search.answers.target_kinds import TargetKind, json_object, target_kind
from prompt_search.cli.scaffold.target_column import tells_rows_apart
from prompt_search.cli.scaffold.template_text import template_text
from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import listed, references
from prompt_search.errors import InputError
from prompt_search.llm.model import Model
from prompt_search.prompts.template import Template
from prompt_search.study.study import Study

_STUDY = '''"""The search for the prompt to ship. Run it with: prompt-search run {file}"""

from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent

data = ps.Dataset.read(HERE / {data}, target={target})
{before}
study = ps.Study(
    template=ps.Template.read(HERE / "template.j2"),
    data=data,
    model=ps.Model.local(),  # or ps.Model("gpt-4o-mini"), with OPENAI_API_KEY set
    answer={answer},
    metric={metric},
{context}    name="{name}",
    storage=f"sqlite:///{{HERE / '{name}.db'}}",
)
'''

_LABEL_ANSWERS = """ps.choice(
        {
            "text": ps.Label(data.labels),
            # OpenAI allows no more than 20 top_logprobs, the default.
            "logprobs": ps.Label(data.labels, mode="logprobs", top_logprobs=200),
            "calibrated": ps.Label(data.labels, mode="logprobs", top_logprobs=200, calibrate="rows"),
        }
    )"""

CHARACTERS_A_TOKEN = 2
"""Number of characters of an answer that surely fit into a token, on average."""

LEAKING_SHARE = 0.9
"""Share of rows in which a field says the target, so that it is left out."""


class Scaffold(NamedTuple):
    """What was written, and what the targets were taken for.

    Attributes:
        study_file, template_file: the files.
        seen: one line: what the target holds, and what was chosen for it.
    """

    study_file: Path
    template_file: Path
    seen: str


class _Chosen(NamedTuple):
    """The parts of a study file that depend on the target."""

    answer: str
    metric: str
    words: str
    before: str = ""
    context: str = ""
    schema: Mapping[str, Any] | None = None


def scaffold(data_file: Path, target: str, folder: Path) -> Scaffold:
    """Write ``study.py`` and ``template.j2`` into ``folder``; the data file stays where it is.

    Raises:
        InputError: the data cannot be searched, or a file exists already or cannot be written.
    """
    data = Dataset.read(data_file, target=target)
    kind = target_kind([row.target for row in data.rows])
    chosen = _choose(data, kind)
    study_file, template_file = folder / "study.py", folder / "template.j2"
    for file in (study_file, template_file):
        if file.exists():
            raise InputError(f"{file}: the file already exists; remove it or give another folder with --output")
    left_out = _left_out(data, kind)
    shown = [name for name in data.fields if name not in left_out]
    template = template_text(data, kind, shown, chosen.schema)
    context = {"labels": data.labels}
    Study(template=Template(template, name=template_file.name, context=context), data=data, model=Model.local()).space()
    name = re.sub(r"\W+", "_", data_file.stem).strip("_") or "study"
    study = _STUDY.format(
        file=study_file.name,
        data=_quoted(_seen_from(folder, data_file)),
        target=_quoted(target),
        before=chosen.before,
        answer=chosen.answer,
        metric=f"ps.metrics.{chosen.metric}",
        context=chosen.context,
        name=name,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(template_file, [template.encode()])
        write_whole(study_file, [study.encode()])
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write the study: {error.strerror}; give another folder with --output"
        ) from None
    return Scaffold(study_file, template_file, _seen(data, kind, chosen, left_out))


def _seen(data: Dataset, kind: TargetKind, chosen: _Chosen, left_out: Mapping[str, str]) -> str:
    """What the target holds and what was chosen for it, in one line."""
    held = f"{len(data.labels)} labels" if kind == "labels" else kind
    line = f"{data.target!r} holds {held} in {len(data)} rows: {chosen.words}"
    if left_out:
        line += f"; not shown: {', '.join(f'{name} ({reason})' for name, reason in left_out.items())}"
    return " ".join(line.split())


def _choose(data: Dataset, kind: TargetKind) -> _Chosen:
    """Answer form, metric and what they need, as Python.

    Raises:
        InputError: there is only one label.
    """
    if kind == "labels":
        context = "" if data.is_categorical else '    context={"labels": data.labels},\n'
        words = "a template like classify, answers are ps.Label, the metric is exact"
        return _Chosen(_label_answers(data), "exact", words, context=context)
    if kind == "numbers":
        words = "a template like solve, answers are ps.Number, the metric is numeric"
        return _Chosen("ps.Number(max_tokens=256)", "numeric", words)
    if kind == "JSON objects":
        objects = [json_object(value) or {} for row in data.rows for value in references(row.target)]
        schema = schema_of(objects)
        tokens = _max_tokens([json.dumps(each, ensure_ascii=False) for each in objects], 256)
        fields = listed(list(schema.get("properties", {}))[:6])
        words = f"a template like extract, answers are ps.Json with {fields}, the metric is fields"
        before = f"\nSCHEMA = {_schema_source(schema)}\n"
        return _Chosen(f"ps.Json(SCHEMA, max_tokens={tokens})", "fields", words, before, schema=schema)
    tokens = _max_tokens([str(value) for row in data.rows for value in references(row.target)], 64)
    words = "a template like rewrite, answers are ps.Text, the metric is token_f1"
    return _Chosen(f"ps.Text(max_tokens={tokens})", "token_f1", words)


def _label_answers(data: Dataset) -> str:
    Label(data.labels)
    try:
        Label(data.labels, mode="logprobs")
    except InputError:  # labels that begin alike cannot be told apart by their first token
        return "ps.Label(data.labels)"
    return _LABEL_ANSWERS


def _schema_source(schema: Mapping[str, Any]) -> str:
    """A schema as Python, with a line for each property."""
    parts = {name: _source(part) for name, part in schema.items()}
    if schema.get("properties"):
        lines = "".join(f"        {_source(name)}: {_source(part)},\n" for name, part in schema["properties"].items())
        parts["properties"] = f"{{\n{lines}    }}"
    return "{\n" + "".join(f"    {_source(name)}: {part},\n" for name, part in parts.items()) + "}"


def _source(value: Any) -> str:
    """A part of a schema as Python, on one line and in double quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_source(name)}: {_source(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_source, value)) + "]"
    return repr(value) if isinstance(value, bool) else _quoted(value)


def _max_tokens(texts: list[str], least: int) -> int:
    """A limit that every one of these answers keeps."""
    longest = max(map(len, texts)) // CHARACTERS_A_TOKEN
    return max(least, -(-longest // 64) * 64)


def _left_out(data: Dataset, kind: TargetKind) -> dict[str, str]:
    """The fields that a prompt should not show, each with the reason; empty if no field were left."""
    found: dict[str, str] = {}
    for name in data.fields:
        values = [row[name] for row in data.rows]
        told = [str(value) in str(row.target) for value, row in zip(values, data.rows, strict=True)]
        if tells_rows_apart(name, values) and 2 * sum(told) < len(told):
            found[name] = "it only tells rows apart"
        elif _says_target(data, kind, name):
            found[name] = "it says the target"
    return found if len(found) < len(data.fields) else {}


def _says_target(data: Dataset, kind: TargetKind, name: str) -> bool:
    """Whether a field holds the target in other words: as a number of the label, or at the end of a solution."""
    pairs = [(str(row[name]).strip(), str(row.target).strip()) for row in data.rows]
    if kind == "labels":
        values = {value for value, _ in pairs}
        return len(pairs) >= 20 and len(values) == len(data.labels) == len(set(pairs))
    if kind == "numbers":
        hits = [len(value) > len(target) and _last_number(value) == number_in(target) for value, target in pairs]
    else:
        hits = [value == target for value, target in pairs]
    return len(pairs) >= 10 and sum(hits) >= LEAKING_SHARE * len(hits)


def _last_number(text: str) -> float | None:
    last = text.split()[-1] if text.split() else ""
    return number_in(last)


def _quoted(text: str) -> str:
    """Text as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _seen_from(folder: Path, file: Path) -> str:
    """The path from the study's folder, so that both can be moved together; absolute on another drive."""
    try:
        return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return file.resolve().as_posix()
