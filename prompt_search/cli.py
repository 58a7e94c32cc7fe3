"""The ``prompt-search`` command. Heavy modules are imported inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prompt_search.errors import InputError, PromptSearchError, StudyError

if TYPE_CHECKING:
    from prompt_search.result import Result
    from prompt_search.study import Study
    from prompt_search.template import Template

BELOW_MIN_SCORE = 3
NO_VERDICT = 4
INTERRUPTED = 130
DEFAULT_STORAGE = "sqlite:///prompt_search.db"

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

Calls = Annotated[int | None, typer.Option("--calls", help="The most requests to send, retries included.", min=1)]
Tokens = Annotated[int | None, typer.Option("--tokens", help="Stop before the next request beyond these.", min=1)]
Usd = Annotated[float | None, typer.Option("--usd", help="Stop before the next request beyond these US dollars.")]
Seconds = Annotated[float | None, typer.Option("--seconds", help="Stop before the next request after these.")]
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
DisplayOption = Annotated[
    str | None, typer.Option("--display", help="rich, plain or none; plain when not in a terminal.")
]
StudyName = Annotated[str | None, typer.Argument(help="The study's name; may be left out when only one is stored.")]


@app.command()
def demo(
    calls: Calls = None,
    seed: Seed = None,
    storage: Storage = None,
    display: DisplayOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew.")] = False,
) -> None:
    """Search a prompt for 288 customer messages in 6 intents on the embedded model; needs no key."""
    from prompt_search.demo import DEMO_CALLS, demo_study

    _pull()
    study = demo_study(seed=seed or 0, storage=storage or "sqlite:///prompt_search_demo.db")
    _run(study, _budget(calls or DEMO_CALLS, None, None, None), display, fresh, False, None)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A labelled csv, tsv, jsonl, json or parquet file.")],
    target: Annotated[str, typer.Option("--target", help="The column with the right answer.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write study.py and template.j2.")] = Path(),
) -> None:
    """Write a study and a template to start from."""
    from prompt_search.scaffold import scaffold

    study_file, template_file = scaffold(data, target, output)
    typer.echo(f"wrote {study_file} and {template_file}")
    typer.echo(f"next: prompt-search space {study_file}, then prompt-search run {study_file} --calls 600")


@app.command()
def space(file: Annotated[str, typer.Argument(help="A study file (FILE.py or FILE.py:name) or a template.")]) -> None:
    """Print the dimensions, their options and conditions, and the number of candidates."""
    found = _template(file).space() if file.endswith(".j2") else load_study(file).space()
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in ("choice", "kind", "options", "exists when", "line"):
        table.add_column(column, overflow="fold")
    for record in found.describe():
        table.add_row(*(Text(value) for value in record.values()))
    _print(table)
    count, exact = found.size()
    typer.echo(f"{len(found.factors)} choices, {'' if exact else 'at most '}{count:,} candidates")


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
    limit: Annotated[int | None, typer.Option("--limit", help="Use the first rows only.", min=1)] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Exit with 3 when the winner's test score is below.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the stored study of this name.")] = False,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Send failed requests again.")] = False,
    display: DisplayOption = None,
) -> None:
    """Run a study; the same command resumes it."""
    study = load_study(file)
    changes: dict[str, Any] = {
        key: value
        for key, value in {"seed": seed, "max_concurrency": max_concurrency, "name": name}.items()
        if value is not None
    }
    if model is not None or base_url is not None:
        changes["model"] = _model(study, model, base_url)
    if limit is not None:
        changes["data"] = study.data.limit(limit)
    changes["storage"] = storage or study.storage or DEFAULT_STORAGE
    study = study.replace(**changes)
    if any(each.gguf == each.name for each in study.models):
        _pull()
    budget = _budget(calls, tokens, usd, seconds)
    _run(study, budget, display, fresh, retry_errors, min_score)


@app.command()
def show(name: StudyName = None, storage: Storage = None) -> None:
    """Print a study's result: headline, ranked prompts, and the winner as sent."""
    result = _open(name, storage)
    _print_result(result, storage or DEFAULT_STORAGE)
    typer.echo("\nthe winner's prompt:\n")
    typer.echo(result.best.text)


@app.command(name="list")
def list_studies(storage: Storage = None) -> None:
    """List the stored studies."""
    from prompt_search.result import Result
    from prompt_search.store import Store

    store = Store(storage or DEFAULT_STORAGE)
    studies = store.studies()
    if not studies:
        typer.echo(f"no study in {storage or DEFAULT_STORAGE}")
    for record in studies:
        typer.echo(f"{record.study}\t{Result(store, record.study).headline.splitlines()[0]}")


@app.command()
def export(
    name: StudyName = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="A .j2, .json, .txt or .py file.")] = Path("best.j2"),
    trial: Annotated[int | None, typer.Option("--trial", help="Another trial than the winner.")] = None,
    storage: Storage = None,
) -> None:
    """Write the winning prompt, byte for byte as it was scored."""
    result = _open(name, storage)
    prompt = result.best if trial is None else result.prompt(trial)
    typer.echo(f"wrote {prompt.export(output)}")


@model_app.command("pull")
def model_pull() -> None:
    """Fetch the embedded model once, with its hash checked."""
    typer.echo(_pull())


@model_app.command("path")
def model_path(spec: Annotated[str | None, typer.Argument(help="As for serve.")] = None) -> None:
    """Print where a model's weights are, fetching them when missing."""
    from prompt_search import local

    typer.echo(_pull() if spec is None else local.resolve(spec))


@model_app.command("serve")
def model_serve(
    spec: Annotated[
        str | None, typer.Argument(help="A .gguf file or a Hugging Face repository; default: the embedded model.")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8080,
) -> None:
    """Serve a model over HTTP on this machine, for --base-url, until Ctrl-C."""
    from prompt_search import local

    local.serve_forever(_pull() if spec is None else local.resolve(spec), port)


def _pull() -> Path:
    """The embedded model's weights, fetched with progress when missing."""
    from prompt_search import local

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


def _budget(calls: int | None, tokens: int | None, usd: float | None, seconds: float | None) -> Any:
    from prompt_search.budget import Budget

    if calls is tokens is usd is seconds is None:
        raise InputError("a run needs a budget; give --calls, --tokens, --usd or --seconds")
    return Budget(calls=calls, tokens=tokens, usd=usd, seconds=seconds)


def _model(study: Study, name: str | None, base_url: str | None) -> Any:
    from prompt_search.client import Model

    if name is not None:
        return Model.parse(name, base_url=base_url)
    if len(study.models) > 1:
        raise InputError("--base-url alone fits a study with one model; give --model too")
    return Model(study.models[0].name, base_url=base_url, api_key_env=study.models[0].api_key_env)


def load_study(spec: str) -> Study:
    """The `Study` that a file defines: the one named after the colon, else ``study``, else the only one.

    Raises:
        StudyError: no such file, no such study, or the file raises; with file and line.
    """
    from prompt_search.study import Study

    path, _, name = spec.partition(".py:")
    file = Path(f"{path}.py" if name else spec)
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
    if chosen not in studies:
        there = ", ".join(studies) or "none"
        raise StudyError(f"{file}: defines no Study named {chosen!r}; there are: {there}")
    return studies[chosen]


def _where(file: Path, error: Exception) -> str:
    """One line on what a study file raised, and where."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or file} line {error.lineno}: {type(error).__name__}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    place = f"{file} line {lines[-1]}" if lines else str(file)
    text = str(error) if isinstance(error, PromptSearchError) else f"{type(error).__name__}: {error}"
    return f"{place}: {' '.join(text.split())}"


def _template(file: str) -> Template:
    from prompt_search.template import Template

    return Template.read(file)


def _open(name: str | None, storage: str | None) -> Result:
    from prompt_search.result import Result
    from prompt_search.store import Store

    store = Store(storage or DEFAULT_STORAGE)
    stored = [record.study for record in store.studies()]
    if name is None and len(stored) != 1:
        raise StudyError(
            f"{storage or DEFAULT_STORAGE} holds {len(stored)} studies; name one: {', '.join(stored) or 'none'}"
        )
    return Result(store, name or stored[0])


def _run(
    study: Study, budget: Any, display: str | None, fresh: bool, retry_errors: bool, min_score: float | None
) -> None:
    from prompt_search.progress import choose_display, shown

    try:
        with shown(choose_display(display)) as progress:
            result = study.run(budget, progress=progress, fresh=fresh, retry_errors=retry_errors)
    except KeyboardInterrupt:
        typer.echo("interrupted: everything answered is stored; the same command goes on from there", err=True)
        raise typer.Exit(INTERRUPTED) from None
    _print_result(result, study.storage or DEFAULT_STORAGE)
    verdict, best = result.verdict, result.test_score(result.best_trial)
    if min_score is not None and not best[0] >= min_score:
        typer.echo(f"the winner's test score {best[0]:.3f} is below --min-score {min_score:g}", err=True)
        raise typer.Exit(BELOW_MIN_SCORE)
    if verdict.rows < 2 and result.best_trial != 0:
        raise typer.Exit(NO_VERDICT)


def _print_result(result: Result, storage: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from prompt_search.result import RANKED

    table = Table(title=Text("prompts as the search ranks them"), title_justify="left")
    for column in ("rank", "trial", "search score", "95% interval", "rows", "tokens", "USD"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("differs from the default in", overflow="fold")
    for rank, record in enumerate(result.ranking().head(RANKED).to_dict("records"), start=1):
        cost = record["cost_usd"]
        cells = (
            str(rank),
            str(record["trial"]),
            f"{record['score']:.3f}",
            f"{record['score_low']:.2f} to {record['score_high']:.2f}",
            str(record["search_rows"]),
            f"{record['prompt_tokens']:.0f}",
            "unknown" if cost != cost else f"{cost:.4f}",
            result.changes(int(record["trial"])),
        )
        table.add_row(*(Text(cell) for cell in cells))  # Text: prompts are not markup
    _print(table)
    if result.finished:
        _print(_held_out(result))
    typer.echo(result.headline)
    option = "" if storage == DEFAULT_STORAGE else f" --storage {storage}"
    typer.echo(f"export the winner: prompt-search export {result.name}{option} -o best.j2")


def _held_out(result: Result) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("on sealed rows that the search never saw"), title_justify="left")
    for column in ("prompt", "trial", "test score", "95% interval", "rows"):
        table.add_column(column, justify="left" if column == "prompt" else "right", no_wrap=True)
    for label, trial in {"baseline (all first options)": 0, "winner": result.best_trial}.items():
        mean, low, high, rows = result.test_score(trial)
        table.add_row(label, str(trial), f"{mean:.3f}", f"{low:.2f} to {high:.2f}", str(rows))
    return table


def _print(renderable: Any) -> None:
    from rich.console import Console

    # Outside a terminal rich assumes 80 columns, which folds prompts for no reason.
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "120"))
    Console(width=width).print(renderable)


def main() -> None:
    """The console script: errors raised on purpose become one line and an exit code."""
    try:
        app()
    except PromptSearchError as error:
        typer.echo(f"prompt-search: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
