"""The study file and the template that ``prompt-search init`` writes for a file of labelled rows."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from prompt_search.answers import Label
from prompt_search.data.dataset import Dataset
from prompt_search.errors import InputError
from prompt_search.llm.model import Model
from prompt_search.prompts.environment import literal
from prompt_search.prompts.template import Template
from prompt_search.study.study import Study

_STUDY = '''"""The search for the prompt to ship. Run it with: prompt-search run {file}"""

from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent

data = ps.Dataset.read(HERE / {data}, target={target})

study = ps.Study(
    template=ps.Template.read(HERE / "template.j2"),
    data=data,
    model=ps.Model.local(),  # or ps.Model("gpt-4o-mini"), with OPENAI_API_KEY set
    answer={answer},
    metric=ps.metrics.{metric},
    name="{name}",
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


def scaffold(data_file: Path, target: str, folder: Path) -> list[Path]:
    """Write ``study.py`` and ``template.j2`` into ``folder``; the data file stays where it is.

    Returns:
        The files written.

    Raises:
        InputError: the data cannot be searched, or a file exists already or cannot be written.
    """
    data = Dataset.read(data_file, target=target)
    answer = _answer(data)
    study_file, template_file = folder / "study.py", folder / "template.j2"
    for file in (study_file, template_file):
        if file.exists():
            raise InputError(f"{file}: the file already exists; remove it or give another folder with --output")
    template = _template(data)
    Study(template=Template(template, name=template_file.name), data=data, model=Model.local()).space()
    name = re.sub(r"\W+", "_", data_file.stem).strip("_") or "study"
    study = _STUDY.format(
        file=study_file.name,
        data=_quoted(_seen_from(folder, data_file)),
        target=_quoted(target),
        answer=answer,
        metric=_metric(data),
        name=name,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        template_file.write_text(template, encoding="utf-8")
        study_file.write_text(study, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write the study: {error.strerror}; give another folder with --output"
        ) from None
    return [study_file, template_file]


def _quoted(text: str) -> str:
    """Text as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _seen_from(folder: Path, file: Path) -> str:
    """The path from the study's folder, so that both can be moved together; absolute on another drive."""
    try:
        return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return file.resolve().as_posix()


def _numeric(data: Dataset) -> bool:
    return all(isinstance(row.target, (int, float)) for row in data.rows)


def _metric(data: Dataset) -> str:
    if data.is_categorical:
        return "exact"
    return "numeric" if _numeric(data) else "token_f1"


def _answer(data: Dataset) -> str:
    """The answer form, as Python.

    Raises:
        InputError: there is only one label.
    """
    if not data.is_categorical:
        return "ps.Number()" if _numeric(data) else "ps.Text()"
    Label(data.labels)
    try:
        Label(data.labels, mode="logprobs")
    except InputError:  # labels that begin alike cannot be told apart by their first token
        return "ps.Label(data.labels)"
    return _LABEL_ANSWERS


def _field(name: str, row: str = "row") -> str:
    # Jinja finds the methods of a dictionary before its keys, and nothing that starts with an underscore.
    taken = hasattr(dict, name) or name.startswith("_") or name in ("fields", "target")
    return f"{row}.{name}" if name.isidentifier() and not taken else f"{row}[{literal(name)}]"


def _text(text: str) -> str:
    """Text as a template writes it; with braces as a literal, because Jinja would interpret them."""
    return f"{{{{ {literal(text)} }}}}" if re.search("[{}]", text) else text


def _template(data: Dataset) -> str:
    """A template that uses all fields of the data."""
    headings = {name: " ".join(name.replace("_", " ").split()).capitalize() or name for name in data.fields}
    row = "".join(f"{_text(heading)}: {{{{ {_field(name)} }}}}\n" for name, heading in headings.items())
    shot = "".join(f"{_text(heading)}: {{{{ {_field(name, 'shot')} }}}}\n" for name, heading in headings.items())
    target = _field(data.target, "shot")
    shots = min(4, len(data) // 2)
    if data.is_categorical:
        instructions = '["Choose the label that fits.", "Classify the text.", "Which label describes this best?"]'
        labels = '{% if flag("list_labels") %}\nLabels: {{ labels | join(", ") }}\n{% endif %}\n'
        cue = '["Label:", "Answer:", "Category:"]'
    else:
        instructions = '["Give the answer.", "Answer with nothing but the answer.", "Be brief and exact."]'
        labels, cue = "", '["Answer:", "Output:", "Result:"]'
    fields = ", ".join(" ".join(name.split()) for name in data.fields).replace("#}", "# }")
    return f"""{{# Fields: {fields}. Every choice(), flag() and examples() is a dimension of the search. #}}
{{% set cue = choice("cue", {cue}) %}}
{{% chat role="user" %}}
{{{{ choice("instruction", {instructions}) }}}}
{labels}
{{% for shot in examples("shots", max={shots}) %}}
{shot}{{{{ cue }}}} {{{{ {target} }}}}

{{% endfor %}}
{row}{{{{ cue }}}}
{{% endchat %}}
"""
