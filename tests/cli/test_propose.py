"""The option --propose: which model is asked for new options, where, and what is told where that cannot be said."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import prompt_search as ps
from prompt_search.cli.loading import load_study
from prompt_search.cli.options import OWN_MODEL, Overrides, with_own_model
from prompt_search.cli.run import ask
from tests.cli.helpers import Ran, edit, sentiment, unpadded
from tests.conftest import FakeServer, failure

CALLS = "400"
NEW = "What is the sentiment of this film review? Answer with one word."


def answered(body: Any) -> str:
    """The model of the rows, and a proposer whose text makes it right."""
    if "<option>" in str(body["messages"]):
        return f"<option>{NEW}</option>"
    return sentiment(body)


@pytest.fixture
def growing(project: Path, server: FakeServer) -> Path:
    """The folder of a study whose instruction may grow."""
    edit(project / "template.j2", '[/] please."])', '[/] please."], grow="tells the model what to do")')
    edit(project / "template.j2", '"What is the <b>sentiment</b>?", ', "")
    server.answer = answered
    return project


def proposer(**given: Any) -> ps.Proposer:
    found = load_study("study.py", Overrides(**given)).proposer
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("given", "model"),
    [(["--propose"], "fake"), (["--propose", "large"], "large"), (["--propose=large"], "large")],
)
def test_run_asks_the_proposer(
    command: Callable[..., Ran], growing: Path, server: FakeServer, given: list[str], model: str
) -> None:
    """The study's own model, or another one on its server; what it proposes is in the tables and in the prompt."""
    ran = command("run", "study.py", "--calls", CALLS, *given)
    assert ran.code == 0, ran.err
    asked = [body["model"] for body in server.bodies if "<option>" in str(body["messages"])]
    assert asked
    assert set(asked) == {model}
    result = ps.open_result("sqlite:///prompt_search.db", "reviews")
    assert NEW in result.best.text
    assert result.lineage()["operator"].tolist()[-1] == "by hand"
    assert set(result.proposals_df()["text"]) >= {NEW}
    assert len(server.bodies) <= int(CALLS)
    shown = command("show", "study.py", "--table", "proposals")
    assert shown.code == 0, shown.err
    assert NEW in shown.out
    assert command("show", "study.py", "--table", "proposals", "-o", "proposals.csv").code == 0
    assert NEW in Path("proposals.csv").read_text()


def test_the_flag_may_stand_before_the_file(command: Callable[..., Ran], growing: Path) -> None:
    """A study file is not taken for the name of a model."""
    ran = command("estimate", "--propose", "study.py", "--calls", "40")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        (["--propose"], ["--propose="]),
        (["--propose", "-m", "a"], ["--propose=", "-m", "a"]),
        (["--propose", "study.py:other"], ["--propose=", "study.py:other"]),
        (["--propose", "gpt-4.1", "study.py"], ["--propose", "gpt-4.1", "study.py"]),
        (["--propose", "local:models/a.gguf"], ["--propose", "local:models/a.gguf"]),
        ([], []),
    ],
)
def test_a_flag_without_a_value_is_the_study_s_own_model(arguments: list[str], read: list[str]) -> None:
    """Where it ends the line, or stands before another option or a study file."""
    assert with_own_model(arguments) == read


def test_the_proposer_is_where_the_study_s_model_is(growing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Address, key and headers are those of the study's model, also where the command line gives them; price and
    limits are not."""
    monkeypatch.setenv("TEAM", "a")
    edit(
        growing / "study.py",
        'ps.Model("fake",',
        'ps.Model("fake", price=ps.Price(prompt=1, completion=1), headers={"X-Team": "${TEAM}"}, '
        "requests_per_minute=5, ",
    )
    (own,) = load_study("study.py").models
    elsewhere: dict[str, Any] = {"base_url": "http://there.invalid/v1", "api_key_env": "THERE"}

    assert proposer(propose=OWN_MODEL).model == proposer(propose="fake").model == own
    assert proposer(propose="large").model == ps.Model("large", base_url=own.base_url, headers=own.headers)
    assert proposer(propose="large", **elsewhere).model == ps.Model("large", **elsewhere)
    assert proposer(propose="large", model="small", **elsewhere).model == ps.Model("large", **elsewhere)
    assert proposer(propose=OWN_MODEL, model="small", **elsewhere).model == ps.Model("small", **elsewhere)
    assert proposer(propose="local").model == ps.Model.local()
    assert proposer(propose="large", model="local").model == ps.Model("large")


def test_the_flag_replaces_the_model_of_the_file_s_proposer(growing: Path) -> None:
    """Operators, share and the rest stay. An address moves a proposer that was where the study's model was."""
    edit(
        growing / "study.py",
        'name="reviews"',
        'name="reviews", '
        'proposer=ps.Proposer(ps.Model("large", base_url="http://here.invalid/v1"), ["vary"], share=0.3)',
    )
    own = load_study("study.py").models[0]
    there = "http://there.invalid/v1"

    assert proposer(propose="other") == ps.Proposer(ps.Model("other", base_url=own.base_url), ["vary"], share=0.3)
    assert proposer(base_url=there).model.base_url != there
    edit(growing / "study.py", '"http://here.invalid/v1"', f'"{own.base_url}"')
    assert proposer(base_url=there) == ps.Proposer(ps.Model("large", base_url=there), ["vary"], share=0.3)
    assert proposer(base_url=there, model="small").model.base_url == own.base_url


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (
            ["--propose", "gpt 4"],
            (
                "a model's name has no spaces, got 'gpt 4'; write it as its server does, such as gpt-4.1 (ps.Model "
                "takes any name)"
            ),
        ),
        (
            ["--propose", "http://there.invalid/v1"],
            (
                "a proposer is a model, got the address 'http://there.invalid/v1'; write ps.Proposer(ps.Model('NAME', "
                "base_url='http://there.invalid/v1'))"
            ),
        ),
    ],
)
def test_what_is_no_model_is_one_line(
    command: Callable[..., Ran], growing: Path, server: FakeServer, given: list[str], refused: str
) -> None:
    """With exit code 2, and nothing is sent."""
    assert command("run", "study.py", "--calls", CALLS, *given).error_line(2) == f"prompt-search: {refused}"
    assert server.count == 0


def test_several_models_leave_open_which_one_proposes(command: Callable[..., Ran], growing: Path) -> None:
    """A model is named then; on which server, must be one of those of the study."""
    url = load_study("study.py").models[0].base_url
    edit(growing / "study.py", f'ps.Model("fake", base_url="{url}")', f"ps.choice([{url!r}, {url!r}])")
    several = f'ps.choice([ps.Model("a", base_url="{url}"), ps.Model("b", base_url="{url}")])'
    edit(growing / "study.py", f"ps.choice([{url!r}, {url!r}])", several)
    run = ("run", "study.py", "--calls", CALLS)

    assert command(*run, "--propose").error_line(2) == (
        "prompt-search: --propose needs a MODEL, because the study has several (a, b); give one of them"
    )
    assert proposer(propose="large").model == ps.Model("large", base_url=url)
    edit(growing / "study.py", f'"b", base_url="{url}"', '"b", base_url="http://there.invalid/v1"')
    assert command(*run, "--propose", "large").error_line(2) == (
        "prompt-search: --propose large is on no one server, because the study's models are on several; write "
        "proposer=ps.Model('large', base_url=...) in the study file"
    )


def test_a_name_that_the_server_does_not_know_is_one_line(
    command: Callable[..., Ran], growing: Path, server: FakeServer
) -> None:
    """The run ends when the proposer is asked first; what was answered is stored."""
    server.answer = lambda body: failure(404, "no such model") if body["model"] == "gpt-41" else answered(body)
    told = command("run", "study.py", "--calls", CALLS, "--propose", "gpt-41").error_line(1)
    assert "404 for gpt-41: no such model; check the model's name (on the command line -m, or --propose)" in told


def test_a_template_without_grow_is_one_line(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """The line shows how a choice of the template would grow."""
    assert command("run", "study.py", "--calls", CALLS, "--propose").error_line(2) == (
        "prompt-search: no choice of the template may grow, so that fake would propose nothing; write "
        'choice("instruction", [...], grow="...") with what its texts are for, such as grow="tells the model what to '
        'do", or leave out the proposer'
    )
    assert server.count == 0


def test_a_template_alone_is_one_line(command: Callable[..., Ran], growing: Path, server: FakeServer) -> None:
    """A run needs rows and a model, wherever the flag stands."""
    told = (
        "prompt-search: template.j2: a template alone has no rows and no model; give the study file that reads it, or "
        "make one with: prompt-search init DATA --target COLUMN"
    )
    assert command("run", "template.j2", "--propose", "--calls", CALLS).error_line(2) == told
    assert command("run", "--propose", "template.j2", "--calls", CALLS).error_line(2) == told


def test_help_shows_that_the_model_may_be_left_out(command: Callable[..., Ran]) -> None:
    """In run, estimate and preflight."""
    for name in ("run", "estimate", "preflight"):
        assert "--propose [MODEL]" in unpadded(command(name, "--help").out)


def test_a_proposer_that_is_paid_for_is_asked_about_first(growing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study whose own model runs on this machine begins without a question, unless it has such a proposer."""
    asked: list[str] = []
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return False

    monkeypatch.setattr(typer, "confirm", confirm)
    study = load_study("study.py").replace(model=ps.Model.local())

    ask(study, ps.Budget(calls=40), yes=False)
    paid = study.replace(proposer=ps.Model("large", base_url="http://there.invalid/v1"))
    with pytest.raises(typer.Exit):
        ask(paid, ps.Budget(calls=40), yes=False)
    assert asked == ["start the run?"]
