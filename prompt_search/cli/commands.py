"""The ``prompt-search`` command. Heavy modules are imported inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

import io
import math
import os
import runpy
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prompt_search.errors import InputError, PromptSearchError, RunError, StorageError, StudyError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from prompt_search.budget import Budget
    from prompt_search.llm.model import Model
    from prompt_search.prompts.factors import Factor
    from prompt_search.prompts.space import SearchSpace
    from prompt_search.prompts.template import Template
    from prompt_search.report.result import Result
    from prompt_search.results.comparison import Comparison
    from prompt_search.results.evaluation import Evaluation
    from prompt_search.storage.store import Store
    from prompt_search.study.progress import Display
    from prompt_search.study.study import Study

USAGE = 2
BELOW_MIN_SCORE = 3
NO_VERDICT = 4
INTERRUPTED = 130
DEFAULT_STORAGE = "sqlite:///prompt_search.db"
DEMO_STORAGE = "sqlite:///prompt_search_demo.db"
DEMO_REPORT = "prompt_search_demo.html"
TABLES = (
    "trials",
    "samples",
    "calls",
    "effects",
    "interactions",
    "pareto",
    "ledger",
    "progress",
    "confusion",
    "labels",
)

EFFECTS_SHOWN = 8
OPTIONS_SHOWN = 20
"""How many options of one choice `space` prints."""

_models: list[Model] = []
"""The models of the study files that were read: their keys must not be printed."""

app = typer.Typer(
    name="prompt-search",
    help="Find the prompt to ship: search the named choices of one Jinja template on your labelled rows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
model_app = typer.Typer(help="The embedded model: fetch it, serve it, say where it is.", no_args_is_help=True)
app.add_typer(model_app, name="model")
cache_app = typer.Typer(help="The stored responses: count, clear and export them.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")

Calls = Annotated[int | None, typer.Option("--calls", help="The most requests to send, retries included.", min=1)]
Tokens = Annotated[int | None, typer.Option("--tokens", help="The most tokens, of prompts and answers.", min=1)]
Usd = Annotated[float | None, typer.Option("--usd", help="The most US dollars.")]
Seconds = Annotated[float | None, typer.Option("--seconds", help="Stop after so long.")]
ModelName = Annotated[
    str | None, typer.Option("-m", "--model", help="A model name, local, or local:FILE.gguf; replaces the study's.")
]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="An OpenAI-compatible server.")]
Concurrency = Annotated[int | None, typer.Option("-j", "--max-concurrency", help="Requests in flight.", min=1)]
Seed = Annotated[int | None, typer.Option("--seed", help="Replaces the study's seed.")]
Storage = Annotated[
    str | None,
    typer.Option("--storage", envvar="PROMPT_SEARCH_STORAGE", help=f"SQLAlchemy URL; default {DEFAULT_STORAGE}."),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="A Dask scheduler, tcp://...; its workers send the requests.")
]
Limit = Annotated[int | None, typer.Option("--limit", help="Use the first rows only.", min=1)]
DisplayOption = Annotated[
    str | None, typer.Option("--display", help="rich, plain or none; plain when not in a terminal.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
StudyName = Annotated[str | None, typer.Argument(help="The study's name; may be left out when only one is stored.")]


@app.command()
def demo(
    calls: Calls = None,
    seed: Seed = None,
    storage: Storage = None,
    display: DisplayOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew.")] = False,
) -> None:
    """Run a real search on the embedded model, without a key.

    288 customer messages in 6 intents, which come with the package.
    """
    from prompt_search.budget import Budget
    from prompt_search.cli.demo import DEMO_CALLS, DEMO_SEED, demo_study
    from prompt_search.storage.database import sqlite_file
    from prompt_search.study.progress import choose_display

    shown_as = choose_display(display)
    _pull()
    url = storage or DEMO_STORAGE
    study = demo_study(seed=DEMO_SEED if seed is None else seed, storage=url)
    beside = (sqlite_file(url) or Path(DEMO_REPORT)).with_suffix(".html")
    _run(study, Budget(calls=calls or DEMO_CALLS), shown_as, fresh=fresh, report_to=beside)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A labelled csv, tsv, jsonl, json or parquet file.")],
    target: Annotated[str, typer.Option("--target", help="The column with the right answer.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write study.py and template.j2.")] = Path(),
) -> None:
    """Write a study and a template to start from."""
    from prompt_search.cli.scaffold import scaffold

    study_file, template_file = scaffold(data, target, output)
    typer.echo(f"wrote {study_file} and {template_file}")
    quoted = shlex.quote(str(study_file))
    typer.echo(f"next: prompt-search space {quoted}, then prompt-search run {quoted} --calls 600")


@app.command()
def space(file: Annotated[str, typer.Argument(help="A study file (FILE.py or FILE.py:name) or a template.")]) -> None:
    """Print the choices, their options and conditions."""
    from rich.text import Text

    found = _template(file).space() if file.endswith(".j2") else load_study(file).space()
    table = _table()
    for column in ("choice", "kind", "options", "exists when", "line"):
        table.add_column(column, overflow="fold", justify="right" if column == "line" else "left")
    for factor, record in zip(found.factors, found.describe(), strict=True):
        cells = (factor.name, factor.kind, _options_text(factor), record["exists_when"], record["line"])
        table.add_row(*map(Text, cells))  # Text: prompts are not markup
    _print(table)
    typer.echo()
    _print_size(found)


@app.command()
def run(
    file: Annotated[str, typer.Argument(help="A study file: FILE.py or FILE.py:name.")],
    calls: Calls = None,
    tokens: Tokens = None,
    usd: Usd = None,
    seconds: Seconds = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    max_concurrency: Concurrency = None,
    seed: Seed = None,
    storage: Storage = None,
    name: Annotated[str | None, typer.Option("--name", help="Replaces the study's name.")] = None,
    scheduler: Scheduler = None,
    limit: Limit = None,
    n_trials: Annotated[int | None, typer.Option("-n", "--n-trials", help="The most candidates to try.", min=1)] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Test every row in turn, in so many folds: for few rows.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Exit with 3 when the winner's test score is below.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the stored study of this name.")] = False,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Send failed requests again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the space and an estimate; send nothing.")] = False,
    yes: Yes = False,
    display: DisplayOption = None,
) -> None:
    """Run a study; the same command resumes it.

    On a terminal it tells what it will take and asks first, unless the model is served here or nothing is left to pay.
    """
    from prompt_search.study.progress import choose_display

    budget = _budget(calls, tokens, usd, seconds)
    shown_as = choose_display(display)
    study = _changed(load_study(file), model, base_url, max_concurrency, seed, storage, name, limit, scheduler)
    if dry_run:
        _print_size(study.space())
        typer.echo(repr(study.estimate(budget)))
        return
    _ask(study, budget, yes)
    _run(
        study,
        budget,
        shown_as,
        folds=folds,
        fresh=fresh,
        retry_errors=retry_errors,
        n_trials=n_trials,
        min_score=min_score,
    )


@app.command()
def estimate(
    file: Annotated[str, typer.Argument(help="A study file: FILE.py or FILE.py:name.")],
    calls: Calls = None,
    tokens: Tokens = None,
    usd: Usd = None,
    seconds: Seconds = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    max_concurrency: Concurrency = None,
    seed: Seed = None,
    storage: Storage = None,
    name: Annotated[str | None, typer.Option("--name", help="Replaces the study's name.")] = None,
    limit: Limit = None,
) -> None:
    """Tell what a run will take, without a request."""
    budget = _budget(calls, tokens, usd, seconds)
    study = _changed(load_study(file), model, base_url, max_concurrency, seed, storage, name, limit, None)
    typer.echo(repr(study.estimate(budget)))


@app.command()
def preflight(
    file: Annotated[str, typer.Argument(help="A study file: FILE.py or FILE.py:name.")],
    calls: Calls = None,
    tokens: Tokens = None,
    usd: Usd = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    max_concurrency: Concurrency = None,
    seed: Seed = None,
    storage: Storage = None,
    scheduler: Scheduler = None,
    limit: Limit = None,
) -> None:
    """Tell whether a search can pay, with at most 60 calls and 5% of the budget; the run that follows uses them."""
    from prompt_search.budget import Budget

    planned = None if calls is tokens is usd is None else Budget(calls=calls, tokens=tokens, usd=usd)
    study = _changed(load_study(file), model, base_url, max_concurrency, seed, storage, None, limit, scheduler)
    typer.echo(repr(study.preflight(planned)))


@app.command()
def rescore(
    file: Annotated[
        str, typer.Argument(help="A study file with another metric or answer form: FILE.py or FILE.py:name.")
    ],
    of: Annotated[
        str | None, typer.Option("--of", help="The stored study; default: the one of the file's name.")
    ] = None,
    storage: Storage = None,
) -> None:
    """Read and score a stored study's responses anew, without a request."""
    study = load_study(file)
    url = storage or study.storage or DEFAULT_STORAGE
    with closing(_store(url)):  # says so where there is none, and makes none
        pass
    _print_result(study.replace(storage=url).rescore(of), url)


@app.command()
def show(
    name: StudyName = None,
    table: Annotated[str | None, typer.Option("--table", help=f"One table: {', '.join(TABLES)}.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write it: .csv, .jsonl, .parquet or .md.")
    ] = None,
    storage: Storage = None,
) -> None:
    """Print a stored study: ranking, verdict, winner. With --table one of its tables, as Markdown or to a file."""
    if table is None and output is not None:
        raise InputError("only a table is written to a file; give --table too, or use the command report")
    if table is not None and table not in TABLES:
        raise InputError(f"there is no table {table!r}; give one of {', '.join(TABLES)}")
    with _opened(name, storage) as result:
        if table is not None:
            from prompt_search.results.export import markdown, write_frame

            frame = getattr(result, f"{table}_df")()
            typer.echo(f"wrote {write_frame(frame, output)}" if output else markdown(frame), nl=output is not None)
            return
        _print_result(result, storage or DEFAULT_STORAGE)
        if len(result.ranking()):
            typer.echo("\nthe winner's prompt:\n")
            typer.echo(result.best.text)


@app.command()
def report(
    name: StudyName = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="A .html or .md file.")] = Path("report.html"),
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    storage: Storage = None,
) -> None:
    """Write all that is needed to decide into one file: which prompt, how sure, what it costs, what still fails."""
    with _opened(name, storage) as result:
        written = result.report(output)
    typer.echo(f"wrote {written}")
    if open_it:
        typer.launch(str(written.resolve()))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A stored study's name (its winner), or NAME:TRIAL.")],
    second: Annotated[str, typer.Argument(help="The other; the difference is this one minus the first.")],
    storage: Storage = None,
) -> None:
    """Compare two stored prompts on the rows that both were scored on."""
    from rich.text import Text

    from prompt_search.results.comparison import compare as compared

    with closing(_store(storage)) as store:
        found = compared(*(_chosen(store, each) for each in (first, second)))
        _print(_scores(found))
        changed = found.changed()
        if len(changed):
            typer.echo()
            _print(_changed_rows(found, changed))
        typer.echo()
        _print(Text(found.headline))
        if found.diff:
            typer.echo("\nwhat differs in the prompts (- first, + second):\n")
            typer.echo("\n".join(found.diff.split("\n")[2:]))


@app.command(name="list")
def list_studies(storage: Storage = None) -> None:
    """List the stored studies."""
    from prompt_search.report.result import Result

    with closing(_store(storage)) as store:
        for name in store.study_names():
            try:
                line = Result(store, name).headline.splitlines()[0]
            except StorageError as error:  # the others can be read all the same
                line = f"{name}: damaged: {error}"
            typer.echo(line)


@app.command()
def export(
    name: StudyName = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="A .j2, .json, .txt or .py file.")] = Path("best.j2"),
    trial: Annotated[int | None, typer.Option("--trial", help="Another trial than the winner.")] = None,
    storage: Storage = None,
) -> None:
    """Write the winning prompt to a file, as it was scored."""
    with _opened(name, storage) as result:
        trials = sorted(result.ranking()["trial"].tolist())
        wanted = result.best_trial if trial is None else trial
        if wanted not in trials:
            there = f"there are 0 to {trials[-1]}" if trials else "none is scored yet; run the study first"
            raise StudyError(f"the study {result.name!r} has no trial {wanted}; {there}")
        typer.echo(f"wrote {result.prompt(wanted).export(output)}")


@cache_app.command("stats")
def cache_stats(storage: Storage = None) -> None:
    """Count stored responses by model."""
    from rich.text import Text

    with closing(_store(storage)) as store:
        found = store.stats()
    table = _table()
    for column in ("model", "endpoint", "responses", "needed by studies", "size, kB"):
        table.add_column(column, justify="left" if column in ("model", "endpoint") else "right", overflow="fold")
    for each in found:
        cells = (each.model, each.endpoint, f"{each.responses:,}", f"{each.needed:,}", f"{each.bytes / 1000:,.1f}")
        table.add_row(*map(Text, cells))
    if found:
        _print(table)
    typer.echo(f"{sum(each.responses for each in found):,} responses{_on_disk(storage)}")


@cache_app.command("clear")
def cache_clear(
    storage: Storage = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Delete the stored studies too, and what they need.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete stored responses that no stored study needs."""
    with closing(_store(storage)) as store:
        if not yes:
            what = "all responses and all studies" if everything else "responses that no stored study needs"
            if not sys.stdin.isatty():
                raise InputError(f"clearing deletes {what}, and there is nobody to ask; give --yes")
            if not typer.confirm(f"delete {what}?"):
                raise typer.Exit(INTERRUPTED)
        gone = store.clear(everything=everything)
    typer.echo(f"deleted {gone:,} responses{_on_disk(storage)}")


@cache_app.command("export")
def cache_export(
    output: Annotated[Path, typer.Option("-o", "--output", help="A .jsonl file that is not there yet.")],
    storage: Storage = None,
) -> None:
    """Write every stored request and response as a line of JSON."""
    with closing(_store(storage)) as store:
        try:
            with output.open("x", encoding="utf-8") as file:
                count = sum(bool(file.write(line)) for line in store.exported())
        except FileExistsError:
            raise InputError(f"{output}: there is such a file already; give another name") from None
        except OSError as error:
            raise InputError(f"{output}: cannot be written: {error.strerror}; give another place") from None
    typer.echo(f"wrote {count:,} responses to {output}")


def _on_disk(storage: str | None) -> str:
    """How large a storage's file is, as the end of a sentence."""
    from prompt_search.storage.database import sqlite_file

    path = sqlite_file(storage or DEFAULT_STORAGE)
    return "" if path is None or not path.is_file() else f"; {path} has {path.stat().st_size / 1000:,.1f} kB"


@model_app.command("pull")
def model_pull() -> None:
    """Fetch the embedded model once, with its hash checked."""
    typer.echo(_pull())


@model_app.command("path")
def model_path(spec: Annotated[str | None, typer.Argument(help="As for serve.")] = None) -> None:
    """Print where its weights are; fetch them when missing."""
    from prompt_search.llm import local

    typer.echo(_pull() if spec is None else local.resolve(spec))


@model_app.command("serve")
def model_serve(
    spec: Annotated[
        str | None, typer.Argument(help="A .gguf file or a Hugging Face repository; default: the embedded model.")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8080,
) -> None:
    """Serve a model over HTTP until Ctrl-C, for --base-url."""
    from prompt_search.llm import local

    local.serve_forever(_pull() if spec is None else local.resolve(spec), port)


def _pull() -> Path:
    """The embedded model's weights, fetched with progress when missing."""
    from prompt_search.llm import local

    if local.built_in_path().exists():
        return local.fetch()
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("fetching the embedded model"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("fetch", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return local.fetch(report)


def _budget(calls: int | None, tokens: int | None, usd: float | None, seconds: float | None) -> Budget:
    from prompt_search.budget import Budget

    if calls is tokens is usd is seconds is None:
        raise InputError("a run needs a budget; give --calls, --tokens, --usd or --seconds")
    return Budget(calls=calls, tokens=tokens, usd=usd, seconds=seconds)


def _ask(study: Study, budget: Budget, yes: bool) -> None:
    """Go on, or not, with a run that costs something; where nobody can be asked, and with ``yes``, go on."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()) or all(model.is_local for model in study.models):
        return
    estimate = study.estimate(budget)
    if estimate.stored < estimate.calls:
        typer.echo(repr(estimate), err=True)
        if not typer.confirm("run it?", default=True, err=True):
            raise typer.Exit(INTERRUPTED)


def _print_size(space: SearchSpace) -> None:
    count, exact = space.size()
    typer.echo(f"{len(space.factors)} choices, {'' if exact else 'at most '}{count:,} candidates")


def _changed(
    study: Study,
    model: str | None,
    base_url: str | None,
    max_concurrency: int | None,
    seed: int | None,
    storage: str | None,
    name: str | None,
    limit: int | None,
    scheduler: str | None,
) -> Study:
    """The study with the settings of the command line; the embedded model is fetched when it needs it."""
    given = {"seed": seed, "max_concurrency": max_concurrency, "name": name, "executor": scheduler}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if model is not None or base_url is not None:
        changes["model"] = _model(study, model, base_url)
    if limit is not None:
        changes["data"] = study.data.head(limit)
    changes["storage"] = storage or study.storage or DEFAULT_STORAGE
    study = study.replace(**changes)
    _models.extend(study.models)
    if any(each.is_local and each.gguf == each.name for each in study.models):
        _pull()
    return study


def _model(study: Study, name: str | None, base_url: str | None) -> Model:
    """The study's model, or another one, at another address."""
    from dataclasses import replace

    from prompt_search.llm.model import Model

    if name is not None:
        return Model.parse(name, base_url=base_url)
    if len(study.models) > 1:
        raise InputError("--base-url alone fits a study with one model; give --model too")
    return replace(study.models[0], base_url=base_url, gguf=None)


def _template(file: str) -> Template:
    """A template without a study: the labels, which a study knows from its data, are stood in for."""
    from prompt_search.prompts.template import Template

    return Template.read(file).with_context({"labels": ["{label 1}", "{label 2}"]})


def load_study(spec: str) -> Study:
    """The `Study` that a file defines: the one named after the colon, else ``study``, else the only one.

    Raises:
        StudyError: no such file, no such study, or the file raises; with file and line.
    """
    from prompt_search.study.study import Study

    path, _, name = spec.partition(".py:")
    file = Path(f"{path}.py" if name else spec)
    if file.suffix != ".py":
        raise StudyError(f"{file}: a study file is named FILE.py or FILE.py:name; give one")
    if not file.is_file():
        raise StudyError(f"{file}: there is no such study file; make one with: prompt-search init DATA --target COLUMN")
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        names = runpy.run_path(str(file))
    except Exception as error:
        raise StudyError(_where(file, error)) from None
    except SystemExit as error:
        raise StudyError(f"{file}: the study file ended the program with {error.code!r}; remove that") from None
    studies = {key: value for key, value in names.items() if isinstance(value, Study)}
    chosen = name or ("study" if "study" in studies or len(studies) != 1 else next(iter(studies)))
    _models.extend(model for each in studies.values() for model in each.models)
    if chosen in studies:
        return studies[chosen]
    if not studies:
        raise StudyError(f"{file}: there is no Study in it; add one: study = ps.Study(...)")
    there = ", ".join(f"{file}:{key}" for key in studies)
    raise StudyError(f"{file}: there is no Study named {chosen!r} in it; write {there}")


def _where(file: Path, error: Exception) -> str:
    """One line on what a study file raised, and where."""
    text = str(error) if isinstance(error, PromptSearchError) else f"{type(error).__name__}: {error}"
    name, line = str(file), None
    if isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error.msg}"
        name, line = error.filename or name, error.lineno
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if Path(frame.filename).resolve() == file.resolve():
                line = frame.lineno
    return f"{name}{f' line {line}' if line else ''}: {text}"


def _store(storage: str | None) -> Store:
    """The storage to read from; unlike for a run, an SQLite file that is missing is not made."""
    from prompt_search.storage.store import open_to_read

    return open_to_read(storage or DEFAULT_STORAGE)


def _chosen(store: Store, spec: str) -> Result | Evaluation:
    """The stored study of that name, or of ``NAME:TRIAL`` that trial."""
    from prompt_search.report.result import Result

    name, _, trial = spec.rpartition(":")
    names = store.study_names()
    if spec in names or name not in names or not trial.isdecimal():
        return Result(store, spec)  # says which there are, where there is none of that name
    return Result(store, name).evaluation(int(trial))


@contextmanager
def _opened(name: str | None, storage: str | None) -> Iterator[Result]:
    """The stored study of that name, or the only one."""
    from prompt_search.report.result import Result

    with closing(_store(storage)) as store:
        stored = store.study_names()
        if name is None and len(stored) != 1:
            there = f"name one of {', '.join(stored)}" if stored else "run a study first"
            raise StudyError(f"the storage holds {len(stored)} studies; {there}")
        yield Result(store, name or stored[0])


def _run(
    study: Study,
    budget: Budget,
    display: Display,
    *,
    fresh: bool,
    folds: int | None = None,
    retry_errors: bool = False,
    n_trials: int | None = None,
    min_score: float | None = None,
    report_to: Path | None = None,
) -> None:
    from prompt_search.report.cross_fit import CrossFit
    from prompt_search.study.progress import shown

    try:
        with shown(display) as progress:
            found: Result | CrossFit
            how: dict[str, Any] = {
                "progress": progress,
                "fresh": fresh,
                "retry_errors": retry_errors,
                "n_trials": n_trials,
            }
            found = study.run(budget, **how) if folds is None else study.cross_fit(budget, folds, **how)
    except KeyboardInterrupt:
        _complain(f"interrupted: everything answered is stored; go on with: {_resume_line(sys.argv[1:])}")
        raise typer.Exit(INTERRUPTED) from None
    except RunError as error:
        raise RunError(f"{error}; everything answered is stored, the same command goes on from there") from None
    storage = study.storage or DEFAULT_STORAGE
    if isinstance(found, CrossFit):
        typer.echo(repr(found))
        _print_export(found.result, storage)
        score = found.test_scores[1][0]
    else:
        _print_result(found, storage)
        if report_to is not None:
            typer.echo(f"report: {found.report(report_to).resolve()}")
        score = found.test_score(found.best_trial)[0]
    if found.verdict.rows < 2:
        raise typer.Exit(NO_VERDICT)
    if min_score is not None and not score >= min_score:
        typer.echo(f"the winner's test score {score:.3f} is below --min-score {min_score:g}", err=True)
        raise typer.Exit(BELOW_MIN_SCORE)


def _resume_line(arguments: Sequence[str]) -> str:
    """The command that was given, without the passwords in it."""
    from prompt_search.storage.database import shown_url

    shown = (shown_url(argument) if "://" in argument else argument for argument in arguments)
    return shlex.join(["prompt-search", *shown])


def _print_result(result: Result, storage: str) -> None:
    from rich.text import Text

    if len(result.ranking()):
        _print(_ranked(result))
    if result.finished and result.test_score(0)[3]:
        typer.echo()
        _print(_held_out(result))
    if result.finished:
        typer.echo()
        _print(_mattered(result))
    typer.echo()
    _print(Text(result.headline))
    _print_export(result, storage)


def _print_export(result: Result, storage: str) -> None:
    from prompt_search.storage.database import shown_url

    option = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(shown_url(storage))}"
    if len(result.ranking()):
        typer.echo(f"export the winner: prompt-search export {shlex.quote(result.name)}{option} -o best.j2")


def _ranked(result: Result) -> Table:
    """The best prompts in a table; a column that says nothing about any of them is left out."""
    from rich.text import Text

    from prompt_search.results.tables import with_costs
    from prompt_search.results.views import SHOWN_PROMPTS

    records = with_costs(result.ranking().head(SHOWN_PROMPTS)).to_dict("records")
    columns = {
        "rank": [str(rank) for rank, _ in enumerate(records, start=1)],
        "trial": [str(record["trial"]) for record in records],
        "score": [_number(record["score"], ".3f") for record in records],
        "95% interval": [_interval(record["score_low"], record["score_high"]) for record in records],
        "rows": [str(record["search_rows"]) for record in records],
        "tokens": [_number(record["prompt_tokens"], ".0f") for record in records],
    }
    for name in ("unparsed", "errors"):
        if any(record[name] for record in records):
            columns[name] = [str(record[name]) for record in records]
    if any(record["cost_usd"] > 0 for record in records):
        columns["USD per\n1,000 rows"] = [_number(record["usd_per_1000_rows"], ",.4f") for record in records]
    changes = [result.changes(int(record["trial"])) for record in records]

    table = _table("prompts as the search ranks them: a score on few rows counts for less")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("differs from the default in", overflow="fold")
    for row in zip(*columns.values(), changes, strict=True):
        table.add_row(*map(Text, row))  # Text: prompts are not markup
    return table


def _held_out(result: Result) -> Table:
    from prompt_search.results.wording import test_uses_text

    table = _table(f"on rows that the search never saw ({test_uses_text(result.test_uses)})")
    for column in ("prompt", "trial", "score", "95% interval", "rows"):
        table.add_column(column, justify="left" if column == "prompt" else "right", no_wrap=True)
    compared = {"baseline (all first options)": 0}
    written = result.hand_written_trial
    if written not in (None, 0, result.best_trial):
        compared["best written by hand"] = written
    if result.best_trial != 0:
        compared["winner"] = result.best_trial
    for label, trial in compared.items():
        mean, low, high, rows = result.test_score(trial)
        table.add_row(label, str(trial), _number(mean, ".3f"), _interval(low, high), str(rows))
    return table


def _mattered(result: Result) -> RenderableType:
    """The options that are shown to do something, the strongest first."""
    from rich.text import Text

    from prompt_search.results.breakdowns import shown_to_matter

    shown = shown_to_matter(result.effects_df())
    if not len(shown):
        return Text("no single choice is shown to matter by so few answers")
    table = _table("what options add to the true score, where shown")
    for column in ("choice", "option", "effect", "95% interval", "trials"):
        words = column in ("choice", "option")
        table.add_column(column, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    strongest = shown.sort_values("effect", key=abs, ascending=False).head(EFFECTS_SHOWN)
    for record in strongest.to_dict("records"):
        interval = f"{record['effect_low']:+.2f} to {record['effect_high']:+.2f}"
        option = " ".join(record["option"].split()) or "(empty)"
        cells = (record["choice"], option, f"{record['effect']:+.3f}", interval, str(record["trials"]))
        table.add_row(*map(Text, cells))
    return table


def _scores(found: Comparison) -> Table:
    table = _table("on rows that both were scored on" + ("" if found.sealed else " (not sealed)"))
    for column in ("prompt", "score", "95% interval", "rows"):
        table.add_column(column, justify="left" if column == "prompt" else "right", overflow="fold")
    for name, (mean, low, high, rows) in found.scores.items():
        table.add_row(*map(_text, (name, _number(mean, ".3f"), _interval(low, high), str(rows))))
    return table


def _changed_rows(found: Comparison, frame: pd.DataFrame) -> Table:
    """The rows won and lost, the largest changes first."""
    table = _table(f"rows won and lost by the second: {found.verdict.won} and {found.verdict.lost}")
    for column, title in zip(frame.columns, ("row", "", "change", "target", *found.names), strict=True):
        number = column in ("row", "change")
        table.add_column(title, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row, outcome, change, *texts in frame.itertuples(index=False):
        table.add_row(*map(_text, (str(row), outcome, f"{change:+.3f}", *texts)))
    return table


def _text(text: str) -> Text:
    """Text that is not markup."""
    from rich.text import Text

    return Text(text)


def _number(value: float, form: str) -> str:
    return "unknown" if math.isnan(value) else format(value, form)


def _interval(low: float, high: float) -> str:
    return "unknown" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def _options_text(factor: Factor) -> str:
    """A choice's options: short ones in a line, long ones below each other, many cut off."""
    texts = [" ".join(text.split()) or "(empty)" for text in factor.texts]
    more = [f"(and {len(texts) - OPTIONS_SHOWN:,} more)"] if len(texts) > OPTIONS_SHOWN else []
    listed = [*texts[:OPTIONS_SHOWN], *more]
    line = " | ".join(listed)
    return line if len(line) <= 60 else "\n".join(f"- {text}" for text in listed)


def _table(title: str | None = None) -> Table:
    """An empty table without lines: they would take the width that prompts need."""
    from rich.table import Table
    from rich.text import Text

    heading = None if title is None else Text(title, style="bold")
    return Table(title=heading, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")


def _print(renderable: RenderableType) -> None:
    from rich.console import Console
    from rich.text import Text

    terminal = sys.stdout.isatty()
    # Outside a terminal rich assumes 80 columns, which folds prompts for no reason.
    columns = os.environ.get("COLUMNS", "")
    width = None if terminal else int(columns) if columns.isdecimal() and int(columns) else 120
    Console(width=width).print(renderable, soft_wrap=not terminal and isinstance(renderable, Text))


def main() -> None:
    """The console script: errors raised on purpose become one line and an exit code."""
    _models.clear()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # prompts hold characters that a terminal may not know
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="prompt-search", standalone_mode=False)
    except PromptSearchError as error:
        _complain(f"prompt-search: {' '.join(str(error).split())}")
        code = error.exit_code
    except typer.Abort:  # Ctrl-C, or the end of the input, where a question was asked
        _complain("prompt-search: nothing was done")
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer does not export the base class of its usage errors
            raise
        _complain(_usage(error))
        code = USAGE
    sys.exit(code)


def _complain(text: str) -> None:
    """Write to standard error, without keys: a study file or a metric may put one into what it raises."""
    from prompt_search.llm.model import known_secrets
    from prompt_search.llm.redaction import redact

    typer.echo(redact(text, known_secrets(_models)), err=True)


def _usage(error: Any) -> str:
    """What is wrong with the command line; for a command without any arguments its help."""
    message = error.format_message()
    if "\n" in message:
        return str(message)
    command = error.ctx.command_path if error.ctx else "prompt-search"
    return f"prompt-search: {message.rstrip('.')}; see: {command} --help"


if __name__ == "__main__":
    main()
