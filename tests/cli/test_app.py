"""The command as a whole: help, the command line's faults, exit codes, and keys that are never printed."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import prompt_search as ps
from prompt_search.cli.loading import load_study
from prompt_search.cli.options import Overrides
from prompt_search.errors import PromptSearchError
from prompt_search.storage.store import Store
from prompt_search.study.watching.progress import choose_display
from tests.cli.helpers import CALLS, ENVIRONMENT, Ran, edit, finished, started
from tests.conftest import FakeServer, failure

KEY = "sk-test-MARKED-1234567890"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


HELP = """\
Usage: prompt-search [OPTIONS] COMMAND [ARGS]...

  Find the prompt to ship: search the named choices of one Jinja template on
  labelled rows.

Options:
  --version  Print the version.
  --help     Show this message and exit.

Commands:
  demo       Run a real search on the embedded model, without a key.
  init       Write a study file and a template to start from.
  space      Print the choices, their options and conditions.
  estimate   Estimate what a run takes, without sending a request.
  preflight  Check with a few calls whether a search is worth its cost.
  run        Run a study; the same command resumes it.
  rescore    Score the cached responses of a study again.
  show       Print a stored study, or one of its tables.
  report     Write a report on a stored study to one file.
  compare    Compare two stored prompts on their common rows.
  list       List the stored studies, each with its verdict.
  export     Write the winner's prompt to a file, as it was scored.
  predict    Ask a model about new rows with an exported prompt.
  evaluate   Score an exported prompt on labelled rows; a guard for CI.
  model      Fetch, locate and serve the embedded model.
  cache      Count, delete and export cached responses.
"""
RUN_HELP = """\
Usage: prompt-search run [OPTIONS] {file}

  Run a study; the same command resumes it.

  On a terminal the command prints an estimate and asks for confirmation
  first, unless the model runs on this machine or all responses are stored.

Arguments:
  file <str>  A study file: FILE.py or FILE.py:name.  [required]

Options:
  --calls <int range>             Largest number of requests to send, retries
                                  included.  [x>=1]
  --tokens <int range>            Largest number of tokens, prompts and
                                  answers together.  [x>=1]
  --usd <float>                   Largest cost in US dollars.
  --seconds <float>               Largest duration in seconds.
  -m, --model <str>               Model to use instead of the study's: a model
                                  name, local, or local:FILE.gguf.
  --propose [MODEL]               Ask this model, on the study's server, for
                                  new options of choices with grow=; without
                                  MODEL the study's own model.
  --prior STUDY                   Start from what an earlier study in the
                                  storage knows: its name, or storage for all
                                  of them.
  --objective NAME=WEIGHT         What is worth how much in score: cost (a US
                                  dollar per 1,000 rows), latency (a second a
                                  row), tokens (1,000 tokens a row), score.
                                  Repeatable.
  --max-prompt-tokens <float>     The most prompt tokens a row that the winner
                                  may take.
  --max-usd-per-1000 <float>      The most US dollars that 1,000 rows may
                                  cost.
  --max-latency-s <float>         The most seconds that a row may take on
                                  average.
  --base-url <str>                URL of an OpenAI-compatible server.
  --api-key-env <str>             Environment variable that holds the key;
                                  default: OPENAI_API_KEY.
  --api-version <str>             Version of Azure's API, such as 2024-10-21.
  --header <list[str]>            Header of every request, NAME=VARIABLE: the
                                  environment variable holds the value.
                                  Repeatable.
  --query <list[str]>             Query parameter of every request,
                                  NAME=VARIABLE: the environment variable
                                  holds the value. Repeatable.
  -j, --max-concurrency <int range>
                                  Largest number of requests in flight.
                                  [x>=1]
  --seed <int>                    Seed to use instead of the study's.
  --storage <str>                 File (study.db) or SQLAlchemy URL of the
                                  storage; default: the study's own, else
                                  sqlite:///prompt_search.db.  [env var:
                                  PROMPT_SEARCH_STORAGE]
  --name <str>                    Study name to use instead of the study's.
  --scheduler <str>               Address of a Dask scheduler,
                                  tcp://HOST:PORT; its workers send the
                                  requests.
  --limit <int range>             Number of rows to use, from the start of the
                                  data.  [x>=1]
  --batch                         Send requests in batches: at half the price
                                  with most servers, within a day.
  -n, --n-trials <int range>      Largest number of candidates to try.  [x>=1]
  --folds <int>                   Cross-fit in this number of folds: each row
                                  is scored by a search that did not use it.
                                  Useful for few rows.
  --prompt <list[str]>            A whole prompt to race beside the
                                  template's: .j2 or .json, as exported or by
                                  hand; may be repeated.
  --min-score <float>             Exit with code 3 when the winner's test
                                  score is below this number.
  --fresh                         Delete the stored study of this name and
                                  start from the beginning.
  --retry-errors                  Send failed requests again.
  --dry-run                       Print the number of candidates and an
                                  estimate; send nothing.
  --yes                           Do not ask for confirmation.
  --display <str>                 Display of the progress: rich, plain or
                                  none; default: rich on a terminal, else
                                  plain.
  --dashboard                     Write the trials for optuna-dashboard while
                                  the study runs.
  --help                          Show this message and exit.
"""


def test_help_lists_the_commands(command: Callable[..., Ran], narrow: None) -> None:
    """The help has one whole sentence per command."""
    assert command("--help") == Ran(0, HELP, "")


def test_help_of_run_explains_its_options(command: Callable[..., Ran], narrow: None) -> None:
    """Every option is explained in a phrase that can be read alone."""
    assert command("run", "--help") == Ran(0, RUN_HELP, "")


@pytest.mark.parametrize("group", [(), ("model",), ("cache",)])
def test_command_without_arguments_shows_its_help(command: Callable[..., Ran], group: tuple[str, ...]) -> None:
    """Alone, a group of commands prints its help, as an error."""
    ran = command(*group)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == command(*group, "--help").out


def test_help_is_quick() -> None:
    """Help takes less than 0.3 s of processor time, the best of five; a busy machine does not count."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert finished(started("--help")).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert 0 < min(seconds) < 0.3


def test_help_imports_nothing_heavy() -> None:
    """Help loads none of the packages that take long to import."""
    program = (
        "import sys; from prompt_search.cli import main; sys.argv = ['prompt-search', '--help']\n"
        "try: main()\n"
        "except SystemExit: print({'jsonschema', 'openai', 'optuna', 'pandas', 'sqlalchemy', 'numpy', 'jinja2'}"
        " & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "No such command 'nothing'; see: prompt-search --help"),
        (("cache", "nothing"), "No such command 'nothing'; see: prompt-search cache --help"),
        (("run",), "Missing argument 'file'; see: prompt-search run --help"),
        (
            ("init", "reviews.csv"),
            (
                "reviews.csv: the column with the correct answers is not named; type: prompt-search init reviews.csv "
                "--target label"
            ),
        ),
        (
            ("run", "study.py", "--calls", "-5"),
            "Invalid value for '--calls': Input should be greater than or equal to 1; see: prompt-search run --help",
        ),
        (
            ("model", "serve", "--port", "70000"),
            (
                "Invalid value for '--port': Input should be less than or equal to 65535; see: prompt-search model "
                "serve --help"
            ),
        ),
        (("run", "study.py", "--colour"), "No such option: --colour; see: prompt-search run --help"),
        (("show", "a", "b"), "Got unexpected extra argument(s) (b); see: prompt-search show --help"),
        (("run", "study.py"), "a run needs a budget; give --calls, --tokens, --usd or --seconds"),
        (
            ("init", "reviews.csv", "--target", "label"),
            "study.py: the file already exists; remove it or give another folder with --output",
        ),
    ],
)
def test_fault_of_the_command_line_is_one_line(
    command: Callable[..., Ran],
    project: Path,
    server: FakeServer,
    narrow: None,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """What is wrong with the command line is printed in one line that names the help; nothing is sent."""
    assert command(*arguments).error_line(2) == f"prompt-search: {message}"
    assert server.count == 0


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--calls", "30", "--display", "fancy"), lambda: choose_display("fancy")),
        (("--calls", "30", "--limit", "2"), lambda: load_study("study.py", Overrides(limit=2))),
        (("--usd", "-1"), lambda: ps.Budget(usd=-1.0)),
        (("--seconds", "0"), lambda: ps.Budget(seconds=0.0)),
        (("--calls", "30", "-m", " "), lambda: ps.Model(" ")),
        (("--calls", "30", "--base-url", "host:80"), lambda: ps.Model("fake", base_url="host:80").endpoint),
        (("--calls", "30", "--storage", "sqlite:////no/folder/x.db"), lambda: Store("sqlite:////no/folder/x.db")),
        (("--calls", "30", "--storage", "sqlite://study.db"), lambda: Store("sqlite://study.db")),
        (("--calls", "30", "--storage", "sqlite:///reviews.csv"), lambda: Store("sqlite:///reviews.csv")),
    ],
)
def test_fault_of_a_setting_is_printed_alone(
    command: Callable[..., Ran],
    project: Path,
    server: FakeServer,
    options: tuple[str, ...],
    fault: Callable[[], object],
) -> None:
    """What Python says to a setting is the one line that the command prints."""
    with pytest.raises(PromptSearchError) as error:
        fault()
    assert command("run", "study.py", *options).error_line(2) == f"prompt-search: {error.value}"
    assert server.count == 0


# Keys are not printed


OPENAI = ("-m", "gpt-4o-mini", "--base-url", "https://api.openai.com/v1")
NO_KEY = (
    "prompt-search: no key for the model gpt-4o-mini on https://api.openai.com/v1; set OPENAI_API_KEY, give a base "
    "URL, or use --model local"
)


def test_error_without_a_key_says_what_to_do(command: Callable[..., Ran], project: Path) -> None:
    """Without a key the error names the variable and the alternatives, and nothing of it is replaced."""
    assert command("run", "study.py", "--calls", "30", *OPENAI).error_line(2) == NO_KEY


@pytest.mark.parametrize("key", ["", " ", "s", "no"])
def test_short_dummy_key_does_not_garble_errors(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """A key of one letter, as local servers accept it, is no secret: words that contain it stay whole."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert command("space", "nothere.py").error_line(2) == (
        "prompt-search: nothere.py: there is no such study file; make one with: prompt-search init DATA --target COLUMN"
    )


@pytest.mark.parametrize("key", ["study", "local", "test", "EMPTY", "none"])
def test_dummy_key_garbles_no_message(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """A word that people give as the key of a server that needs none stays in a message that contains it."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    file = f"my-{key}.py"
    line = f"prompt-search: {file}: there is no such study file; make one with: prompt-search init DATA --target COLUMN"
    assert command("space", file).error_line(2) == line


def test_keys_of_all_models_are_in_no_error(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that a study file or a metric quotes is replaced, whatever the name of its variable."""
    monkeypatch.setenv("TOKEN_OF_MINE", "hidden-MARKED")
    monkeypatch.setenv("OTHER_API_KEY", "other-MARKED")
    edit(project / "study.py", 'Model("fake",', 'Model("fake", api_key_env="TOKEN_OF_MINE",')
    edit(project / "study.py", 'name="reviews",', 'name="reviews", metric=quoting,')
    quoting = "import os\n\n\ndef quoting(answer, row):\n    raise ValueError(os.environ['TOKEN_OF_MINE'])\n"
    edit(project / "study.py", "HERE =", f"{quoting}\n\nHERE =")
    assert command("run", "study.py", "--calls", "30").error_line(2) == (
        "prompt-search: the metric quoting raised ValueError: [key]; correct the metric"
    )
    edit(project / "study.py", "HERE =", "raise ValueError(os.environ['OTHER_API_KEY'])\n\nHERE =")
    assert command("space", "study.py").error_line(2) == "prompt-search: study.py line 12: ValueError: [key]"


def test_key_and_password_never_appear(
    command: Callable[..., Ran], project: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No output, database or export contains the key or the password of a storage, even when an error quotes it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run = ("run", "study.py", "--calls", str(CALLS))
    printed = [command(*run), command("show"), command("list"), command("space", "study.py")]
    printed += [command("export", "-o", f"best.{suffix}") for suffix in ("j2", "json", "txt", "py")]
    printed += [command("report", "-o", f"report.{suffix}") for suffix in ("html", "md")]
    printed += [command("show", "--table", "samples", "-o", "samples.csv"), command("compare", "reviews:0", "reviews")]
    assert [ran.code for ran in printed] == [0] * len(printed)

    server.answer = lambda body: failure(401, f"Incorrect API key provided: {KEY}.")
    printed.append(command(*run, "--name", "refused"))
    server.answer = lambda body: failure(400, f"the key {KEY} may not do that")
    printed.append(command(*run, "--name", "bad"))
    for storage in ("postgresql://me:hidden-MARKED@127.0.0.1:1/x", "nodatabase://me:hidden-MARKED@host/x"):
        printed.append(command(*run, "--storage", storage))
        assert "cannot be opened" in printed[-1].error_line(2)
        printed.append(command("show", "--storage", storage))
    edit(project / "study.py", "HERE =", "import os; raise ValueError(os.environ['OPENAI_API_KEY'])\nHERE =")
    printed.append(command(*run))
    assert "ValueError: [key]" in printed[-1].error_line(2)

    assert not [ran for ran in printed if "MARKED" in ran.out + ran.err]
    assert not [file.name for file in project.iterdir() if file.is_file() and b"MARKED" in file.read_bytes()]
