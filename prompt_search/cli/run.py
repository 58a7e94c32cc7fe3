"""Commands that run a study, and that score what is stored again."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from prompt_search._numbers import ROUNDING, number
from prompt_search.cli.finding import opened_storage
from prompt_search.cli.loading import load_study, models_of, watched
from prompt_search.cli.options import (
    DEFAULT_STORAGE,
    ApiVersion,
    BaseUrl,
    Batch,
    Calls,
    Concurrency,
    DisplayName,
    Headers,
    KeyVariable,
    Limit,
    MaxLatency,
    MaxPromptTokens,
    MaxUsdPer1000,
    ModelName,
    NewName,
    ObjectiveWeights,
    Overrides,
    PriorName,
    ProposerName,
    ProposingCommand,
    Query,
    Scheduler,
    Seconds,
    Seed,
    StudyFile,
    StudyStorage,
    Tokens,
    Usd,
    Yes,
    given_objective,
    needed_budget,
)
from prompt_search.cli.planning import size_text
from prompt_search.cli.terminal import (
    BELOW_MIN_SCORE,
    INTERRUPTED,
    NO_VERDICT,
    print_next_commands,
    print_result,
    resumable,
    say,
)

if TYPE_CHECKING:
    from prompt_search.budget import Budget
    from prompt_search.report.result import Result
    from prompt_search.results.verdict import Verdict
    from prompt_search.study.study import Study
    from prompt_search.study.watching.progress import Display

commands = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of one run, which are no part of the study.

    Args:
        budget: limits of the run.
        display: display of the progress.
        fresh: whether the stored study of this name is deleted first.
        retry_errors: whether failed requests are sent again.
        n_trials: largest number of candidates to try.
    """

    budget: Budget
    display: Display
    fresh: bool = False
    retry_errors: bool = False
    n_trials: int | None = None


@commands.command(cls=ProposingCommand)
def run(
    file: StudyFile,
    calls: Calls = None,
    tokens: Tokens = None,
    usd: Usd = None,
    seconds: Seconds = None,
    model: ModelName = None,
    propose: ProposerName = None,
    prior: PriorName = None,
    objective: ObjectiveWeights = None,
    max_prompt_tokens: MaxPromptTokens = None,
    max_usd_per_1000: MaxUsdPer1000 = None,
    max_latency_s: MaxLatency = None,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    api_version: ApiVersion = None,
    header: Headers = None,
    query: Query = None,
    max_concurrency: Concurrency = None,
    seed: Seed = None,
    storage: StudyStorage = None,
    name: NewName = None,
    scheduler: Scheduler = None,
    limit: Limit = None,
    batch: Batch = False,
    n_trials: Annotated[
        int | None, typer.Option("-n", "--n-trials", help="Largest number of candidates to try.", min=1)
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            help=(
                "Cross-fit in this number of folds: each row is scored by a search that did not use it. Useful for "
                "few rows."
            ),
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            help="A whole prompt to race beside the template's: .j2 or .json, as exported or by hand; may be repeated.",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", help="Exit with code 3 when the winner's test score is below this number."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the stored study of this name and start from the beginning.")
    ] = False,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Send failed requests again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the number of candidates and an estimate; send nothing.")
    ] = False,
    yes: Yes = False,
    display: DisplayName = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Write the trials for optuna-dashboard while the study runs.")
    ] = False,
) -> None:
    """Run a study; the same command resumes it.

    On a terminal the command prints an estimate and asks for confirmation first, unless the model runs on this machine
    or all responses are stored.
    """
    from prompt_search.study.watching.progress import choose_display

    settings = RunSettings(
        budget=needed_budget(calls, tokens, usd, seconds),
        display=choose_display(display),
        fresh=fresh,
        retry_errors=retry_errors,
        n_trials=n_trials,
    )
    overrides = Overrides(
        model=model,
        propose=propose,
        prior=prior,
        base_url=base_url,
        api_key_env=api_key_env,
        api_version=api_version,
        headers=header,
        query=query,
        max_concurrency=max_concurrency,
        seed=seed,
        storage=storage,
        name=name,
        limit=limit,
        scheduler=scheduler,
        batch=batch,
        objective=given_objective(objective, max_prompt_tokens, max_usd_per_1000, max_latency_s),
    )
    study = _study_to_run(file, overrides, prompt or (), min_score)
    if dry_run:
        say(size_text(study.space()))
        say(repr(study.estimate(settings.budget)))
        return
    ask(study, settings.budget, yes)
    study = watched(study) if dashboard else study
    if folds is not None:
        _run_in_folds(study, settings, folds, min_score)
        return
    result = run_study(study, settings)
    print_result(result, study.storage or DEFAULT_STORAGE)
    check_outcome(result.verdict, result.test_score(result.best_trial).mean, min_score)


@commands.command()
def rescore(
    file: Annotated[
        str, typer.Argument(help="A study file with another metric or answer form: FILE.py or FILE.py:name.")
    ],
    of: Annotated[
        str | None,
        typer.Option("--of", help="Name of the stored study, or NAME@VERSION; default: the name in the study file."),
    ] = None,
    storage: StudyStorage = None,
) -> None:
    """Score the cached responses of a study again.

    The study file may have another metric or answer form. No request is sent, and the stored study is kept. The new one
    is named NAME rescored; where there is one, it gets another version: NAME rescored@2.
    """
    study = load_study(file)
    url = storage or study.storage or DEFAULT_STORAGE
    with opened_storage(url):  # an error where there is none, which rescoring would create
        pass
    print_result(study.replace(storage=url).rescore(of), url)


def _study_to_run(file: str, overrides: Overrides, prompts: Iterable[str], min_score: float | None) -> Study:
    """The study of a file, in which the prompts of other files are raced as well.

    Raises:
        InputError: as `load_study`; or a prompt does not fit, or no prompt can have the score.
    """
    study = load_study(file, overrides)
    from prompt_search.metrics import check_reachable
    from prompt_search.prompts.prompt import Prompt

    if min_score is not None:
        check_reachable(study.metric, min_score, "--min-score")
    for path in prompts:
        study.enqueue(prompt=Prompt.read(path))
    return study


def _tell_if_new(name: str, url: str) -> None:
    """Say that nothing of a study is stored, to somebody who means to resume it: all of it will be paid for."""
    from prompt_search.storage.database import sqlite_file
    from prompt_search.storage.store import Store, shown_url

    file = sqlite_file(url)
    if file is None or file.exists():
        with closing(Store(url)) as store:
            if name in store.study_names():
                return
    say(f"{name}: nothing of this study is stored in {shown_url(url)}; it begins with its first request", err=True)


def run_study(study: Study, settings: RunSettings) -> Result:
    """Run a study, or resume it, with its progress on standard error.

    Raises:
        RunError: the run cannot go on.
        typer.Exit: Ctrl-C interrupted the run.
    """
    from prompt_search.study.watching.progress import shown

    _tell_if_new(study.name, study.storage or DEFAULT_STORAGE)
    with resumable() as seen, shown(settings.display) as progress:
        return study.run(
            settings.budget,
            progress=seen(progress),
            fresh=settings.fresh,
            retry_errors=settings.retry_errors,
            n_trials=settings.n_trials,
        )


def _run_in_folds(study: Study, settings: RunSettings, folds: int, min_score: float | None) -> None:
    """Run a study in folds, as `run_study`, and end as `check_outcome` says."""
    from prompt_search.study.watching.progress import shown

    with resumable() as seen, shown(settings.display) as progress:
        cross_fit = study.cross_fit(
            settings.budget,
            folds,
            progress=seen(progress),
            fresh=settings.fresh,
            retry_errors=settings.retry_errors,
            n_trials=settings.n_trials,
        )
    say(repr(cross_fit))
    print_next_commands(cross_fit.result, study.storage or DEFAULT_STORAGE)
    check_outcome(cross_fit.verdict, cross_fit.test_scores[1].mean, min_score)


def check_outcome(verdict: Verdict, score: float, min_score: float | None = None) -> None:
    """End a run with an exit code of its own when there is no verdict or the winner is not good enough.

    Args:
        verdict: of the winner against the default prompt.
        score: the winner's score on the test rows.
        min_score: the score that the winner has to reach.

    Raises:
        typer.Exit: with `NO_VERDICT` or `BELOW_MIN_SCORE`.
    """
    if verdict.rows < 2:
        raise typer.Exit(NO_VERDICT)
    if min_score is not None and not score >= min_score - ROUNDING:
        say(f"the winner's test score {number(score)} is below --min-score {min_score:g}", err=True)
        raise typer.Exit(BELOW_MIN_SCORE)


def ask(study: Study, budget: Budget, yes: bool) -> None:
    """Ask on a terminal whether to start a run that costs something.

    Raises:
        typer.Exit: the answer is no.
    """
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()) or all(model.is_local for model in models_of(study)):
        return
    expected = study.estimate(budget)
    if expected.stored < expected.calls:
        say(repr(expected), err=True)
        if not typer.confirm("start the run?", default=True, err=True):
            raise typer.Exit(INTERRUPTED)
