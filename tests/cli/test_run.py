"""Commands that run a study: what they print, what they send, and how they end."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from pytest_httpserver import HTTPServer

import prompt_search as ps
from prompt_search.cli.run import check_outcome
from tests.cli.helpers import CALLS, Prepared, Ran, edit, finished, on_terminal, started, stored_responses, unpadded
from tests.conftest import FakeServer, failure

RUN = ("run", "study.py", "--calls", str(CALLS))

UNTESTED = """\
write a report: prompt-search report reviews -o report.html
export the winner: prompt-search export reviews -o best.j2
"""
NEXT = f"""\
{UNTESTED}\
export the default prompt: prompt-search export reviews:0 -o best.j2
"""

RANKING = """\
prompts by estimate, the score that is expected on new rows
rank  trial  estimate  score  95% interval  rows  tokens  the winner's choices, and where others differ
   1      5     0.906  1.000  0.70 to 1.00     9      12  instruction=What is the <b>sentimen…, list_labels=yes,
                                                          cue=Answer:
"""
TESTED = """\
scores on held-out test rows (test set used once)
prompt                       trial  score  95% interval  rows
default (all first options)      0  0.556  0.27 to 0.81     9
winner                           5  1.000  0.70 to 1.00     9"""
EFFECTS = "No option is shown to affect the score with so few answers."


def open_study() -> ps.Result:
    """The study in the default storage."""
    return ps.open_result("sqlite:///prompt_search.db", "reviews")


# Results


def test_run_prints_ranking_test_cost_and_how_to_export(prepared: Prepared, stored: Path) -> None:
    """A run ends with tables of ranked prompts, test scores and effects, the headline, and the export command."""
    result = open_study()
    ran = prepared.ran
    ranking, tested, effects, rest = unpadded(ran.out).split("\n\n")
    assert ranking.startswith(RANKING)
    assert tested == TESTED
    assert effects == EFFECTS
    assert rest == f"{result.headline}\n{NEXT}"
    assert f"{prepared.sent} calls of fake (" in rest
    assert CALLS - 1 <= prepared.sent <= CALLS  # test rows are sent in pairs
    assert prepared.repeated == []
    assert "\x1b" not in ran.out + ran.err
    assert all(line.startswith("reviews: ") for line in ran.err.splitlines())


NEW = "reviews: nothing of this study is stored in sqlite:///prompt_search.db; it begins with its first request"


def test_run_of_a_study_that_is_stored_nowhere_says_so(
    prepared: Prepared, command: Callable[..., Ran], stored: Path
) -> None:
    """Whoever means to resume a study whose storage is gone, or elsewhere, reads it before anything is paid for."""
    assert prepared.ran.err.splitlines()[0] == NEW
    assert NEW not in command(*RUN).err


def test_second_run_sends_nothing_and_prints_the_same(
    command: Callable[..., Ran], prepared: Prepared, stored: Path
) -> None:
    """A finished run, run again, is answered from the storage: its server is gone."""
    second = command(*RUN)
    seconds = re.compile(r"\d+ s\)")
    assert second.code == 0, second.err
    assert seconds.sub("", second.out) == seconds.sub("", prepared.ran.out)


def test_known_price_is_shown_per_thousand_rows(command: Callable[..., Ran], project: Path) -> None:
    """With a price the ranking has the cost of 1,000 rows, and the headline the cost of the run."""
    study = (project / "study.py").read_text()
    priced = re.sub(r'(ps\.Model\("fake", base_url="[^"]+")', r"\1, price=ps.Price(prompt=1000, completion=0)", study)
    (project / "study.py").write_text(priced)
    ran = command(*RUN)
    assert ran.code == 0, ran.err
    first, second = unpadded(ran.out).splitlines()[1:3]
    assert first.split()[:2] == ["USD", "per"]
    assert second.startswith("rank  trial  estimate  score  95% interval  rows  tokens  1,000 rows")
    assert re.search(r"\([\d,]+ tokens, \$\d", ran.out)
    assert "unknown" not in ran.out


@pytest.mark.system
def test_no_color_is_honoured_in_a_terminal(project: Path) -> None:
    """In a terminal with NO_COLOR the output has no colours."""
    ran = on_terminal("", "run", "study.py", "--calls", "30", "--yes", NO_COLOR="1", TERM="xterm-256color")
    assert ran.code == 0, ran.out
    assert "requests" in ran.out
    assert not re.search(r"\x1b\[[\d;]*(?:3|4|9|10)[0-8][;m]", ran.out)


# Options


def test_changed_template_needs_fresh_or_another_name(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A stored study is not continued with another template; --fresh and --name start another one."""
    run = ("run", "study.py", "--calls", "30")
    assert command(*run).code == 0
    sent = server.count
    edit(project / "template.j2", "Answer:", "Verdict:")
    refused = command(*run).error_line(2)
    assert refused.startswith("prompt-search: ")
    assert all(part in refused for part in ("Answer:", "Verdict:", "--fresh"))
    assert server.count == sent
    assert command(*run, "--name", "other").code == 0
    assert command(*run, "--fresh").code == 0
    assert server.repeated == []
    assert [line.split(":")[0] for line in command("list").out.splitlines()] == ["other", "reviews"]


def test_limit_uses_the_first_rows_only(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """--limit takes the first rows of the data."""
    assert command(*RUN, "--limit", "12").code == 0
    films = [re.search(r"film (\d+) was", body["messages"][-1]["content"]) for body in server.bodies]
    assert {int(film[1]) for film in films if film} <= set(range(12))


def test_model_and_base_url_replace_the_study_s(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """-m sends to another model, --base-url to another server."""
    base_url = str(server.model().base_url)
    edit(project / "study.py", f'ps.Model("fake", base_url="{base_url}")', 'ps.Model("gpt-4o-mini")')
    assert command("run", "study.py", "--calls", "30", "-m", "another", "--base-url", base_url).code == 0
    assert {body["model"] for body in server.bodies} == {"another"}
    ran = command("run", "study.py", "--calls", "30", "--base-url", base_url, "--name", "second")
    assert ran.code == 0, ran.err
    assert {body["model"] for body in server.bodies} == {"another", "gpt-4o-mini"}


def test_base_url_alone_needs_a_single_model(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """--base-url alone does not say which of two models it is for."""
    study = (project / "study.py").read_text()
    (project / "study.py").write_text(re.sub(r"model=.*", 'model=ps.choice(["a", "b"]),', study))
    assert command("run", "study.py", "--calls", "30", "--base-url", "http://there.invalid/v1").error_line(2) == (
        "prompt-search: --base-url needs --model, because the study has several models; give both"
    )
    assert server.count == 0


def test_key_headers_and_version_of_the_command_line(
    command: Callable[..., Ran], project: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--header and --api-key-env name variables, --api-version is Azure's; what the study's model sends along goes to
    no other address."""
    monkeypatch.setenv("TEAM", "billing-MARKED")
    monkeypatch.setenv("AZURE_KEY", "azure-MARKED")
    base_url = re.search(r'ps\.Model\("fake", base_url="([^"]+)"', (project / "study.py").read_text())
    assert base_url is not None
    edit(project / "study.py", f'base_url="{base_url[1]}"', f'base_url="{base_url[1]}", headers={{"X-Old": "old"}}')
    httpserver.expect_request("/openai/deployments/fake/chat/completions").respond_with_json(
        {"error": {"message": "no azure-MARKED for billing-MARKED"}}, 401
    )
    options = ("--base-url", httpserver.url_for(""), "--api-version", "2024-10-21", "--api-key-env", "AZURE_KEY")
    ran = command("run", "study.py", "--calls", "30", "-j", "1", *options, "--header", "X-Team=TEAM")
    assert ran.error_line(1) == (
        f"prompt-search: {httpserver.url_for('/openai/deployments/fake')} answered 401 for fake: no [key] for [key]; "
        "check the key in AZURE_KEY; all responses are stored, and the same command resumes the run"
    )
    (sent, _), *_ = httpserver.log
    assert (sent.args["api-version"], sent.headers["api-key"]) == ("2024-10-21", "azure-MARKED")
    assert sent.headers["X-Team"] == "billing-MARKED"
    assert "X-Old" not in sent.headers
    assert "Authorization" not in sent.headers


@pytest.mark.parametrize("given", ["X-Key", "X-Key=", "X-Key: hunter-22", "X-Key=hunter-22", "=TEAM-1"])
def test_header_that_is_no_variable_is_not_quoted(command: Callable[..., Ran], project: Path, given: str) -> None:
    """--header names a variable, so that no key is on the command line; a key that stands there is not printed."""
    named = "each" if given.startswith("=") else "X-Key"
    assert command("run", "study.py", "--calls", "30", "--header", given).error_line(2) == (
        "prompt-search: --header must be NAME=VARIABLE such as X-Team=TEAM, where an environment variable holds the "
        f"value; give one for {named}"
    )


@pytest.mark.parametrize("option", [("--header", "X-Team=TEAM"), ("--api-version", "1"), ("--api-key-env", "TEAM")])
def test_option_of_a_server_needs_a_single_model(
    command: Callable[..., Ran], project: Path, option: tuple[str, str]
) -> None:
    """What is sent along does not say which of two models it is for."""
    study = (project / "study.py").read_text()
    (project / "study.py").write_text(re.sub(r"model=.*", 'model=ps.choice(["a", "b"]),', study))
    assert command("run", "study.py", "--calls", "30", *option).error_line(2) == (
        f"prompt-search: {option[0]} needs --model, because the study has several models; give both"
    )


def test_min_score_decides_the_exit_code(
    command: Callable[..., Ran], prepared: Prepared, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A winner below --min-score ends with 3, at or above it with 0."""
    assert command(*RUN, "--min-score", "1.1").error_line(2) == (
        "prompt-search: --min-score 1.1 is no score of the metric exact, whose scores are 0 to 1; give one in this "
        "range"
    )
    ran = command(*RUN, "--min-score", "1")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, prepared.ran.out.splitlines()[-1])
    with pytest.raises(typer.Exit) as ended:
        check_outcome(open_study().verdict, 0.95, 0.96)
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err == "the winner's test score 0.950 is below --min-score 0.96\n"
    check_outcome(open_study().verdict, 0.34999999999999826, 0.35)  # kappa of rows in one order; exact in another


@pytest.mark.parametrize("calls", ["1", "5"])
def test_budget_without_a_verdict_ends_with_4(command: Callable[..., Ran], project: Path, calls: str) -> None:
    """A budget that leaves no test rows prints the ranking and the headline, and ends with 4."""
    ran = command("run", "study.py", "--calls", calls)
    assert ran.code == 4
    headline = open_study().headline
    assert headline.splitlines()[0].endswith("give more calls.")
    ranking, effects, rest = unpadded(ran.out).split("\n\n")
    assert ranking.splitlines()[0] == RANKING.splitlines()[0]
    assert effects == "No option is shown to affect the score with so few answers."
    assert rest == f"{headline}\n{UNTESTED}"


def test_budget_may_be_in_tokens(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A budget in tokens stops sending once they are used."""
    ran = command("run", "study.py", "--tokens", "900", "--display", "none")
    assert ran.code in (0, 4), ran.err
    assert 0 < server.count < 200
    assert ran.err == f"{NEW}\n"


def test_folds_test_every_row_in_turn(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """With --folds the verdict is over all folds, the export of the search over all rows; the same command resumes."""
    line = ("run", "study.py", "--calls", "200", "--folds", "3", "--display", "none")
    ran = command(*line)
    assert ran.code == 0, ran.err
    assert "reviews fold 3" in ran.out
    assert ran.out.splitlines()[-1] == "export the winner: prompt-search export 'reviews all rows' -o best.j2"
    sent = server.count
    assert 0 < sent <= 200
    assert command(*line).out == ran.out
    assert server.count == sent
    assert "at least 2 folds, not 1" in command("run", "study.py", "--calls", "200", "--folds", "1").error_line(2)


# Before and after a run


def test_rescore_sends_nothing(command: Callable[..., Ran], stored: Path) -> None:
    """A stored study is scored by the file's new metric; the result is another study."""
    edit(stored / "study.py", "ps.Study(", "ps.Study(metric=lambda answer, row: 1.0, ")
    ran = command("rescore", "study.py")
    assert ran.code == 0, ran.err
    first, second = (line.partition(":")[0] for line in command("list").out.splitlines())
    assert first == "reviews"
    headline = ps.open_result("sqlite:///prompt_search.db", second).headline
    assert f"\n\n{headline}\nwrite a report: prompt-search report" in ran.out
    assert "no study 'other'" in command("rescore", "study.py", "--of", "other").error_line(2)
    assert "no such database" in command("rescore", "study.py", "--storage", "sqlite:///none.db").error_line(2)


def test_run_reuses_the_responses_of_its_preflight(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A preflight prints measurements and advice within 5% of the budget; the run after it repeats none of them."""
    ran = command("preflight", "study.py", "--calls", "400", "--name", "other")
    assert ran.code == 0, ran.err
    assert 10 <= server.count <= 20
    assert ran.out.startswith("preflight of 'other': ")
    assert ran.out.splitlines()[-1].startswith(("Go", "Don't", "Too few"))
    before = server.count
    command(*RUN)
    assert server.count > before
    assert len(server.repeated) == 1  # the preflight itself sent it twice


def test_estimate_and_dry_run_send_nothing(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """Both print calls, tokens, cost and time; the dry run also prints the number of candidates."""
    estimate = command("estimate", "study.py", "--calls", "60")
    assert estimate.out.startswith("estimate for 'reviews':\n  calls          60\n  tokens  ")
    dry = command("run", "study.py", "--calls", "60", "--dry-run")
    assert dry.out == f"3 choices, 12 candidates\n{estimate.out}"
    assert (estimate.code, dry.code, server.count) == (0, 0, 0)
    assert command("estimate", "study.py").error_line(2) == (
        "prompt-search: a run needs a budget; give --calls, --tokens, --usd or --seconds"
    )
    assert "price of fake is unknown" in command("run", "study.py", "--usd", "1", "--dry-run").error_line(2)


@pytest.mark.system
def test_run_asks_on_a_terminal(project: Path, server: FakeServer) -> None:
    """Before anything is sent the estimate is printed; no ends the command, and --yes does not ask."""
    run = ("run", "study.py", "--calls", "20", "--display", "none")
    declined = on_terminal("n\n", *run)
    assert (declined.code, server.count) == (130, 0)
    assert declined.out.startswith("estimate for 'reviews':\r\n")
    assert declined.out.splitlines()[-1] == "start the run? [Y/n]: n"
    ended = on_terminal("\x04", *run)
    assert (ended.code, server.count) == (130, 0)
    assert ended.out.splitlines()[-1] == "prompt-search: aborted; nothing was done"
    asked = on_terminal("n\n", *run, "--yes")
    assert asked.code in (0, 4)
    assert server.count > 0
    assert "start the run?" not in asked.out


# Failures of the server: one line, exit code 1, nothing lost


def test_unreachable_server_is_an_error(command: Callable[..., Ran], project: Path) -> None:
    """A port where no server listens is named with its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    printed = command("run", "study.py", "--calls", "30", "--base-url", url).error_line(1)
    assert printed.startswith(f"prompt-search: cannot connect to {url}")
    assert printed.endswith("; all responses are stored, and the same command resumes the run")


def test_unknown_model_is_an_error(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A model that the server does not know is named, with what the server answered."""
    server.answer = lambda body: failure(404, "there is no model fake here")
    printed = command("run", "study.py", "--calls", "30").error_line(1)
    assert all(part in printed for part in ("404", "there is no model fake here", "check the model's name"))


def test_revoked_key_loses_nothing(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """Responses before a 401 are kept, and a later run pays for the rest only."""
    server.fail_after = 25
    printed = command(*RUN).error_line(1)
    assert all(part in printed for part in ("401", "this key has been revoked"))
    assert printed.endswith("; all responses are stored, and the same command resumes the run")
    assert stored_responses(project) == 25
    answered = server.bodies[:25]
    server.bodies.clear()
    server.fail_after = None
    ran = command(*RUN)
    assert ran.code == 0, ran.err
    assert not [body for body in server.bodies if body in answered]
    assert server.repeated == []
    assert stored_responses(project) == len(answered) + server.count <= CALLS
    assert f"{stored_responses(project)} calls of fake" in ran.out


def test_finished_study_survives_a_longer_run_that_fails(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A second run with more calls that is refused leaves a study that can be shown and continued.

    The shorter run's calls for its finalists count against the longer run's calls, so that one needs room.
    """
    assert command("run", "study.py", "--calls", "40").code == 0
    server.fail_after = server.count + 5
    assert command("run", "study.py", "--calls", str(2 * CALLS)).code == 1
    shown = command("show")
    assert shown.code == 0, shown.err
    server.fail_after = None
    ran = command("run", "study.py", "--calls", str(2 * CALLS))
    assert ran.code == 0, ran.err
    assert stored_responses(project) <= 2 * CALLS


# Interruptions


def wait_for(reached: Callable[[], bool]) -> None:
    """Wait until something is so, for half a minute at most."""
    deadline = time.monotonic() + 30
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reached()


@pytest.mark.system
def test_interrupted_run_is_continued(project: Path, server: FakeServer) -> None:
    """After Ctrl-C requests in flight end and are stored; the command that is printed pays for the rest."""
    run = (*RUN, "-j", "4")
    server.latency = lambda body: 0.2
    process = started(*run)
    wait_for(lambda: server.count >= 14)
    process.send_signal(signal.SIGINT)
    line = finished(process).error_line(130)
    before = server.count
    assert re.fullmatch(
        rf"interrupted: {before} of {CALLS} calls used, \d+ candidates? tried; left: {CALLS - before} calls for the "
        r"rest of the search and the test, which was not begun; all responses are stored; resume with: "
        rf"prompt-search run study\.py --calls {CALLS} -j 4",
        line,
    )
    assert 14 <= before < CALLS
    assert stored_responses(project) == before
    server.latency = lambda body: 0.0
    ran = finished(started(*run))
    assert ran.code == 0, ran.err
    assert server.repeated == []
    assert stored_responses(project) == server.count <= CALLS
    assert f"{server.count} calls of fake" in ran.out


@pytest.mark.system
def test_second_interrupt_stops_at_once(project: Path, server: FakeServer) -> None:
    """After a second Ctrl-C no request is waited for, and earlier responses are kept."""
    slow = threading.Event()
    held: list[float] = []

    def latency(body: Any) -> float:
        if slow.is_set():
            held.append(20.0)
        return held[-1] if slow.is_set() else 0.0

    run = (*RUN, "-j", "2")
    server.latency = latency
    process = started(*run)
    wait_for(lambda: server.count >= 10)
    slow.set()
    wait_for(lambda: len(held) >= 2)
    answered = server.count - 2
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    printed = finished(process).error_line(130)
    assert re.match(
        r"interrupted: \d+ of .*; all responses are stored; resume with: prompt-search run study\.py ", printed
    )
    assert time.monotonic() - begun < 19
    assert stored_responses(project) == answered
    slow.clear()
    ran = finished(started(*run))
    assert ran.code == 0, ran.err
    assert len(server.repeated) == 2


def test_secrets_of_a_base_url_are_not_in_the_command_to_resume_with(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that is printed after Ctrl-C holds neither password nor key of the URL that was given."""

    def interrupted(study: ps.Study, budget: ps.Budget, **how: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ps.Study, "run", interrupted)
    url = "https://me:hidden-MARKED@example.org/v1?code=query-MARKED"
    assert command("run", "study.py", "--calls", "30", "--base-url", url).error_line(130) == (
        "interrupted: all responses are stored; resume with: prompt-search run study.py --calls 30 --base-url "
        "'https://me:***@example.org/v1?code=[key]'"
    )


def test_whole_prompts_are_raced(project: Path, server: FakeServer, command: Callable[..., Ran]) -> None:
    """Prompts in files are raced beside the template's, and one that does not fit is an error before any request."""
    (project / "mine.j2").write_text("What is the sentiment?\n{{ row.text }}\n")
    (project / "other.j2").write_text("What is the sentiment of {text}?\n")
    wrong = command(*RUN, "--prompt", "mine.j2", "--prompt", "other.j2")
    assert wrong.error_line(2) == (
        "prompt-search: other.j2 line 1: {text} is sent as it is written; write {{ row.text }} for the row's value"
    )
    assert server.count == 0
    assert command(*RUN, "--prompt", "mine.j2").code == 0
    assert open_study().trials_df()["written"].tolist()[:3] == ["(template)", "mine.j2", "(template)"]


def test_rescoring_again_adds_a_version(stored: Path, command: Callable[..., Ran]) -> None:
    """The second time there is a study of that name, whose result stays."""
    assert "reviews rescored: " in command("rescore", "study.py").out
    assert "reviews rescored@2: " in command("rescore", "study.py").out


@pytest.mark.system
def test_interrupted_preflight_says_what_is_left(project: Path, server: FakeServer) -> None:
    """Ctrl-C ends with what is done, what is left and the line that goes on."""
    server.latency = 0.2
    process = started("preflight", "study.py", "--calls", "600", "-j", "1", cwd=project)
    deadline = time.monotonic() + 30
    while server.count < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(2)
    ran = finished(process)
    assert ran.code == 130
    assert re.fullmatch(
        r"interrupted: \d+ of at most 30 calls of the preflight used; left: \d+ calls, and the advice; all responses "
        r"are stored; resume with: prompt-search preflight study.py --calls 600 -j 1\n",
        ran.err,
    )


def test_prompt_with_labels_is_told_to_write_them(
    project: Path, command: Callable[..., Ran], server: FakeServer
) -> None:
    """A whole prompt has no variables of a study."""
    Path("mine.j2").write_text("Labels: {{ labels | join(', ') }} {{ row.text }}")
    assert command("run", "study.py", "--calls", "20", "--prompt", "mine.j2").error_line(2) == (
        "prompt-search: mine.j2 line 1: a whole prompt has no labels to show; write them out, as in: Labels: good, bad"
    )
