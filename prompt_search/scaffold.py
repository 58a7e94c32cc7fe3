"""`prompt-search init`: a study file and a template to start from, for a labelled file."""

from __future__ import annotations

import re
from pathlib import Path

from prompt_search.dataset import Dataset
from prompt_search.errors import InputError
from prompt_search.template import Template, literal

_STUDY = '''"""The search for the prompt to ship. Run it with: prompt-search run {file}"""

from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent

data = ps.Dataset.read(HERE / {data!r}, target={target!r})

study = ps.Study(
    template=ps.Template.read(HERE / "template.j2"),
    data=data,
    model=ps.Model.local(),  # or ps.Model("gpt-4o-mini"), with OPENAI_API_KEY set
    answer={answer},
    metric=ps.metrics.{metric},
    name={name!r},
    storage=f"sqlite:///{{HERE / '{name}.db'}}",
)
'''

_LABEL_ANSWERS = """ps.choice(
        {
            "text": ps.Label(data.labels),
            "logprobs": ps.Label(data.labels, mode="logprobs"),
            "calibrated": ps.Label(data.labels, mode="logprobs", calibrate=True),
        }
    )"""


def scaffold(data_file: Path, target: str, folder: Path) -> list[Path]:
    """Write ``study.py`` and ``template.j2`` into ``folder``; the data file stays where it is.

    Returns:
        The files written.

    Raises:
        InputError: the data is not usable, or a file is there already.
    """
    data = Dataset.read(data_file, target=target)
    study_file, template_file = folder / "study.py", folder / "template.j2"
    for file in (study_file, template_file):
        if file.exists():
            raise InputError(f"{file}: the file exists already; remove it or give another folder with --output")
    template = _template(data)
    Template(template, name=template_file.name, context={"labels": data.labels}).check(data.fields, data.target)
    name = re.sub(r"\W+", "_", data_file.stem).strip("_") or "study"
    study = _STUDY.format(
        file=study_file.name,
        data=str(data_file.resolve()),
        target=target,
        answer=_answer(data),
        metric="exact" if data.is_categorical or _numeric(data) else "chrf",
        name=name,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        template_file.write_text(template, encoding="utf-8")
        study_file.write_text(study, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot write the study: {error.strerror}") from None
    return [study_file, template_file]


def _numeric(data: Dataset) -> bool:
    return all(isinstance(row.target, (int, float)) for row in data.rows)


def _answer(data: Dataset) -> str:
    if not data.is_categorical:
        return "ps.Number()" if _numeric(data) else "ps.Text()"
    try:
        from prompt_search.answers import Label

        Label(data.labels, mode="logprobs")
    except InputError:  # labels that begin alike cannot be told apart by their first token
        return "ps.Label(data.labels)"
    return _LABEL_ANSWERS


def _field(name: str) -> str:
    plain = name.isidentifier() and not hasattr(dict, name)
    return f"row.{name}" if plain else f"row[{literal(name)}]"


def _template(data: Dataset) -> str:
    """A template over the fields that the data has."""
    shown = [(name, name.replace("_", " ").strip().capitalize() or name) for name in data.fields]
    row = "".join(f"{label}: {{{{ {_field(name)} }}}}\n" for name, label in shown)
    shot = row.replace("{{ row", "{{ shot")
    target = _field(data.target).replace("row", "shot", 1)
    if data.is_categorical:
        instructions = '["Choose the label that fits.", "Classify the text.", "Which label describes this best?"]'
        labels = '{% if flag("list_labels") %}\nLabels: {{ labels | join(", ") }}\n{% endif %}\n'
        cue = '["Label:", "Answer:", "Category:"]'
    else:
        instructions = '["Give the answer.", "Answer with nothing but the answer.", "Be brief and exact."]'
        labels, cue = "", '["Answer:", "Output:", "Result:"]'
    return f"""{{# Fields: {", ".join(data.fields)}. Every choice() and flag() is a dimension of the search. #}}
{{% set cue = choice("cue", {cue}) %}}
{{% chat role="user" %}}
{{{{ choice("instruction", {instructions}) }}}}
{labels}
{{% for shot in examples("shots", max=4) %}}
{shot}{{{{ cue }}}} {{{{ {target} }}}}

{{% endfor %}}
{row}{{{{ cue }}}}
{{% endchat %}}
"""
