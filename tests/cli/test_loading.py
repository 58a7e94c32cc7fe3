"""Study files, and what is wrong with them, their template and their data: one line, exit code 2, nothing sent."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import prompt_search as ps
from prompt_search.cli.loading import load_study, model_settings
from prompt_search.cli.options import DEFAULT_STORAGE, Overrides
from prompt_search.errors import DataError, PromptSearchError, TemplateError
from tests.cli.helpers import Ran, edit, finished, started
from tests.conftest import FakeServer

RUN = ("run", "study.py", "--calls", "30")


def raised(kind: type[Exception]) -> str:
    """What the study file raises, in one line: another room's message."""
    with pytest.raises(kind) as error:
        runpy.run_path("study.py")
    text = str(error.value) if isinstance(error.value, PromptSearchError) else f"{kind.__name__}: {error.value}"
    return " ".join(text.split())


@pytest.mark.parametrize("key", [{}, {"OPENAI_API_KEY": "sk-1"}])
@pytest.mark.parametrize("name", ["run", "estimate", "preflight"])
@pytest.mark.usefixtures("project")
def test_file_of_weights_as_a_model_s_name_is_told(
    command: Callable[..., Ran], server: FakeServer, monkeypatch: pytest.MonkeyPatch, name: str, key: dict[str, str]
) -> None:
    """What -m takes for a file on this machine is said, and how to serve it; with and without a key nothing is sent."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for variable, value in key.items():
        monkeypatch.setenv(variable, value)
    assert command(name, "study.py", "--calls", "30", "-m", "./model.gguf").error_line(2) == (
        "prompt-search: https://api.openai.com/v1 serves no files, got the model ./model.gguf; write "
        "local:./model.gguf, or serve it with prompt-search model serve ./model.gguf and give its base URL"
    )
    assert server.count == 0


@pytest.mark.parametrize(
    ("content", "line", "begin"),
    [
        ("text,verdict\na,b\n", 6, "reviews.csv: "),
        ("", 6, "reviews.csv: "),
        ("text,label\na,x\nb,\n", 6, "reviews.csv line 3: "),
        ("text,label\na,x\nb,y,z\n", 6, "reviews.csv line 3: "),
    ],
)
def test_fault_of_the_data_is_printed_with_its_line(
    command: Callable[..., Ran], project: Path, server: FakeServer, content: str, line: int, begin: str
) -> None:
    """The message of the data follows the line of the study file that reads them."""
    (project / "reviews.csv").write_text(content)
    message = raised(DataError)
    assert message.removeprefix(f"{project}/").startswith(begin)
    assert command(*RUN).error_line(2) == f"prompt-search: study.py line {line}: {message}"
    assert server.count == 0


@pytest.mark.parametrize("content", ["text,label\n" + "".join(f"a{i},x\n" for i in range(9)), "text,label\na,x\nb,y\n"])
def test_data_that_cannot_be_searched_are_printed_with_the_study_s_line(
    command: Callable[..., Ran], project: Path, server: FakeServer, content: str
) -> None:
    """One label and too few rows are errors of the study, which the study file makes in line 7."""
    (project / "reviews.csv").write_text(content)
    assert command(*RUN).error_line(2) == f"prompt-search: study.py line 7: {raised(PromptSearchError)}"
    assert server.count == 0


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("{{ row.text }}\n{% if %}", 2),
        ("{{ row.text }}\n{{ nothing }}", 2),
        ("{{ row.title }}", 1),
        ("{{ row.text }} {{ row.label }}", 1),
        ('{{ row.text }}\n{{ choice("a", [row.text]) }}', 2),
    ],
)
def test_fault_of_the_template_is_printed_with_its_line(
    command: Callable[..., Ran], project: Path, server: FakeServer, source: str, line: int
) -> None:
    """The message of the template follows the line of the study file, in run and in space."""
    (project / "template.j2").write_text(source)
    message = raised(TemplateError)
    printed = command(*RUN).error_line(2)
    assert re.fullmatch(rf"prompt-search: study\.py line [78]: {re.escape(message)}", printed)
    assert re.search(rf"template\.j2 line {line}: ", message)
    assert command("space", "study.py").error_line(2) == printed
    assert server.count == 0


@pytest.mark.parametrize(
    "source",
    [
        '{{ row.text }}\n{{ choice("a", []) }}',
        '{{ row.text }}{{ choice("a", ["x"]) }}\n{{ choice("a", ["y"]) }}',
        '{{ row.text }}{% if false %}\n{{ choice("a", ["x", "y"]) }}{% endif %}',
    ],
)
def test_fault_of_the_space_is_printed_with_its_line(
    command: Callable[..., Ran], project: Path, server: FakeServer, source: str
) -> None:
    """A choice that is wrong is found by run and by space, and printed alone."""
    (project / "template.j2").write_text(source)
    with pytest.raises(TemplateError) as error:
        runpy.run_path("study.py")["study"].space()
    printed = command(*RUN).error_line(2)
    assert printed == f"prompt-search: {error.value}"
    assert re.match(r"prompt-search: template\.j2 line [12]: ", printed)
    assert command("space", "study.py").error_line(2) == printed
    assert server.count == 0


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("x = 1\nraise ValueError('no  such\\nthing')\n", "study.py line 2: ValueError: no such thing"),
        ("def broken(:\n", "study.py line 1: SyntaxError: invalid syntax"),
        (
            "import not_a_module_at_all\n",
            "study.py line 1: ModuleNotFoundError: No module named 'not_a_module_at_all'",
        ),
        ("x = 1\n", "study.py: the file defines no Study; add one: study = ps.Study(...)"),
        (
            "raise SystemExit('bye')\n",
            ("study.py: the study file ends the program with exit code 'bye'; remove that call"),
        ),
    ],
)
def test_fault_of_the_study_file_is_printed_with_its_line(
    command: Callable[..., Ran], project: Path, server: FakeServer, study: str, message: str
) -> None:
    """What a study file does wrong is printed with its line."""
    (project / "study.py").write_text(study)
    assert command(*RUN).error_line(2) == f"prompt-search: {message}"
    assert server.count == 0


@pytest.mark.parametrize(
    ("old", "new", "kind", "line"),
    [
        ('name="reviews",', 'name="reviews", metric=ps.metrics.Exact(column="gold"),', PromptSearchError, 7),
        ('name="reviews",', 'name="reviews", answer=ps.Label(["one"]),', PromptSearchError, 11),
        ('name="reviews",', 'name="",', PromptSearchError, 7),
        ('name="reviews",', "nme='reviews',", PromptSearchError, 7),
        ('read(HERE / "reviews.csv"', 'read(HERE / "gone.csv"', PromptSearchError, 6),
        ('read(HERE / "template.j2"', 'read(HERE / "gone.j2"', PromptSearchError, 8),
    ],
)
def test_fault_of_the_settings_is_printed_with_its_line(
    command: Callable[..., Ran],
    project: Path,
    server: FakeServer,
    old: str,
    new: str,
    kind: type[Exception],
    line: int,
) -> None:
    """What is wrong with a study's settings is printed with the line of the study file."""
    edit(project / "study.py", old, new)
    assert command(*RUN).error_line(2) == f"prompt-search: study.py line {line}: {raised(kind)}"
    assert server.count == 0


def test_error_in_an_imported_file_has_the_line_of_the_import(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A module in the study's folder can be imported; where it raises, the importing line is printed."""
    (project / "helper_of_the_study.py").write_text("\n\n1 / 0\n")
    edit(project / "study.py", "import prompt_search as ps", "import prompt_search as ps\nimport helper_of_the_study")
    printed = command(*RUN).error_line(2)
    assert printed == "prompt-search: study.py line 4: ZeroDivisionError: division by zero"
    assert server.count == 0


def test_one_of_several_studies_is_chosen_by_name(command: Callable[..., Ran], project: Path) -> None:
    """FILE.py:name takes that study; without a name several are an error, and a wrong name lists them."""
    edit(project / "study.py", "study = ps.Study(", "first = ps.Study(")
    with (project / "study.py").open("a") as file:
        file.write("second = first.replace(name='second')\n")
    for spec, name in (("study.py", "study"), ("study.py:third", "third")):
        assert command("space", spec).error_line(2) == (
            f"prompt-search: study.py: the file defines no Study named {name!r}; give one of study.py:first, "
            f"study.py:second"
        )
    assert command("space", "study.py:second").code == 0


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "gone.py",
            "gone.py: there is no such study file; make one with: prompt-search init DATA --target COLUMN",
        ),
        (
            "template.j2",
            (
                "template.j2: a template alone has no rows and no model; give the study file that reads it, or make "
                "one with: prompt-search init DATA --target COLUMN"
            ),
        ),
        ("reviews.csv", "reviews.csv: a study file is named FILE.py or FILE.py:name; give one"),
    ],
)
def test_file_that_is_no_study_is_an_error(command: Callable[..., Ran], project: Path, file: str, message: str) -> None:
    """A missing file, and a file that is not Python, are errors that say what to give."""
    assert command("run", file, "--calls", "30").error_line(2) == f"prompt-search: {message}"


def test_bad_input_in_a_process_of_its_own(project: Path) -> None:
    """The installed command, too, ends with 2 and one line, without a traceback."""
    (project / "study.py").write_text("1 / 0")
    ran = finished(started(*RUN))
    assert ran == Ran(2, "", "prompt-search: study.py line 1: ZeroDivisionError: division by zero\n")


def test_settings_of_the_command_line_replace_those_of_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting that is given replaces the study's own; the others stay."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    own = load_study("study.py")
    same = load_study("study.py", Overrides())
    assert (same.name, same.seed, same.max_concurrency) == (own.name, own.seed, own.max_concurrency)
    assert (same.models, len(same.data), same.storage) == (own.models, len(own.data), DEFAULT_STORAGE)
    other = load_study(
        "study.py",
        Overrides(
            model="another",
            base_url="http://there.invalid/v1",
            max_concurrency=3,
            seed=7,
            storage="sqlite:///x.db",
            name="second",
            limit=12,
        ),
    )
    assert (other.name, other.seed, other.max_concurrency) == ("second", 7, 3)
    assert (other.models, len(other.data)) == ([ps.Model("another", base_url="http://there.invalid/v1")], 12)
    assert other.storage == "sqlite:///x.db"


def test_query_of_the_command_line_names_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter of the query is given as headers are, so that no key stands on the command line."""
    settings = model_settings(Overrides(query=["sig=SIGNATURE"]))
    assert settings["query"] == {"sig": "${SIGNATURE}"}
    with pytest.raises(ps.InputError, match=r"--query must be NAME=VARIABLE such as X-Team=TEAM, .*; give one for sig"):
        model_settings(Overrides(query=["sig=a b"]))
