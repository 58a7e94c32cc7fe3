"""Options and arguments that several commands share, and the settings of a study that they replace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from prompt_search.errors import InputError

if TYPE_CHECKING:
    from prompt_search.budget import Budget

DEFAULT_STORAGE = "sqlite:///prompt_search.db"
"""The storage of a study that names none."""

OWN_MODEL = ""
"""The proposer's name where the study's own model proposes."""


def storage_option(default: str) -> Any:
    """The option ``--storage`` of a command with its own default."""
    return typer.Option(
        "--storage",
        envvar="PROMPT_SEARCH_STORAGE",
        help=f"File (study.db) or SQLAlchemy URL of the storage; default: {default}.",
    )


Calls = Annotated[
    int | None, typer.Option("--calls", help="Largest number of requests to send, retries included.", min=1)
]
Tokens = Annotated[
    int | None, typer.Option("--tokens", help="Largest number of tokens, prompts and answers together.", min=1)
]
Usd = Annotated[float | None, typer.Option("--usd", help="Largest cost in US dollars.")]
Seconds = Annotated[float | None, typer.Option("--seconds", help="Largest duration in seconds.")]
ModelName = Annotated[
    str | None,
    typer.Option("-m", "--model", help="Model to use instead of the study's: a model name, local, or local:FILE.gguf."),
]
ProposerName = Annotated[
    str | None,
    typer.Option(
        "--propose",
        metavar="[MODEL]",
        help=(
            "Ask this model, on the study's server, for new options of choices with grow=; without MODEL the study's "
            "own model."
        ),
    ),
]
PriorName = Annotated[
    str | None,
    typer.Option(
        "--prior",
        metavar="STUDY",
        help="Start from what an earlier study in the storage knows: its name, or storage for all of them.",
    ),
]
ObjectiveWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="NAME=WEIGHT",
        help=(
            "What is worth how much in score: cost (a US dollar per 1,000 rows), latency (a second a row), tokens "
            "(1,000 tokens a row), score. Repeatable."
        ),
    ),
]
MaxPromptTokens = Annotated[
    float | None, typer.Option("--max-prompt-tokens", help="The most prompt tokens a row that the winner may take.")
]
MaxUsdPer1000 = Annotated[
    float | None, typer.Option("--max-usd-per-1000", help="The most US dollars that 1,000 rows may cost.")
]
MaxLatency = Annotated[
    float | None, typer.Option("--max-latency-s", help="The most seconds that a row may take on average.")
]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="URL of an OpenAI-compatible server.")]
KeyVariable = Annotated[
    str | None, typer.Option("--api-key-env", help="Environment variable that holds the key; default: OPENAI_API_KEY.")
]
ApiVersion = Annotated[str | None, typer.Option("--api-version", help="Version of Azure's API, such as 2024-10-21.")]
Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--header", help="Header of every request, NAME=VARIABLE: the environment variable holds the value. Repeatable."
    ),
]
Query = Annotated[
    list[str] | None,
    typer.Option(
        "--query",
        help="Query parameter of every request, NAME=VARIABLE: the environment variable holds the value. Repeatable.",
    ),
]
Concurrency = Annotated[
    int | None, typer.Option("-j", "--max-concurrency", help="Largest number of requests in flight.", min=1)
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed to use instead of the study's.")]
Storage = Annotated[str | None, storage_option(f"{DEFAULT_STORAGE}, or else the only one in this folder")]
StudyStorage = Annotated[str | None, storage_option(f"the study's own, else {DEFAULT_STORAGE}")]
NewName = Annotated[str | None, typer.Option("--name", help="Study name to use instead of the study's.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", help="Address of a Dask scheduler, tcp://HOST:PORT; its workers send the requests."),
]
Batch = Annotated[
    bool, typer.Option("--batch", help="Send requests in batches: at half the price with most servers, within a day.")
]
Limit = Annotated[int | None, typer.Option("--limit", help="Number of rows to use, from the start of the data.", min=1)]
DisplayName = Annotated[
    str | None,
    typer.Option(
        "--display", help="Display of the progress: rich, plain or none; default: rich on a terminal, else plain."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
StudyFile = Annotated[str, typer.Argument(help="A study file: FILE.py or FILE.py:name.")]
StudyName = Annotated[
    str | None,
    typer.Argument(
        help=(
            "The stored study: its name, its study file (study.py) or its storage (study.db); needed only when there "
            "are several. NAME:TRIAL names one of its prompts."
        )
    ),
]


def given_budget(
    calls: int | None, tokens: int | None, usd: float | None, seconds: float | None = None
) -> Budget | None:
    """The budget of the command line; None without one."""
    from prompt_search.budget import Budget

    if calls is tokens is usd is seconds is None:
        return None
    return Budget(calls=calls, tokens=tokens, usd=usd, seconds=seconds)


def given_objective(
    weights: Sequence[str] | None,
    max_prompt_tokens: float | None = None,
    max_usd_per_1000: float | None = None,
    max_latency_s: float | None = None,
) -> Mapping[str, float]:
    """The weights and caps of the command line, by name.

    Raises:
        InputError: a weight is no ``NAME=WEIGHT``.

    >>> given_objective(["cost=0.1"], max_prompt_tokens=400)
    {'cost': 0.1, 'max_prompt_tokens': 400}
    """
    caps = {
        "max_prompt_tokens": max_prompt_tokens,
        "max_usd_per_1000": max_usd_per_1000,
        "max_latency_s": max_latency_s,
    }
    found = {name: cap for name, cap in caps.items() if cap is not None}
    given: dict[str, float] = {}
    for text in weights or ():
        name, _, number = (part.strip() for part in text.partition("="))
        try:
            given[name] = float(number)
        except ValueError:
            raise InputError(
                f"--objective must be NAME=WEIGHT such as cost=0.1, got {text!r}; give a number for score, cost, "
                "latency or tokens"
            ) from None
    return given | found


def needed_budget(calls: int | None, tokens: int | None, usd: float | None, seconds: float | None) -> Budget:
    """The budget of the command line.

    Raises:
        InputError: there is none.
    """
    budget = given_budget(calls, tokens, usd, seconds)
    if budget is None:
        raise InputError("a run needs a budget; give --calls, --tokens, --usd or --seconds")
    return budget


class ProposingCommand(TyperCommand):
    """A command whose option ``--propose`` may stand without a value, which is then `OWN_MODEL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_own_model(args))


def with_own_model(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command in which ``--propose`` has a value, also before another option or the study file.

    >>> with_own_model(["study.py", "--propose", "--calls", "600"])
    ['study.py', '--propose=', '--calls', '600']
    >>> with_own_model(["--propose", "study.py"]), with_own_model(["--propose", "gpt-4.1"])
    (['--propose=', 'study.py'], ['--propose', 'gpt-4.1'])
    """
    following = [*arguments[1:], "-"]
    return [
        f"--propose={OWN_MODEL}" if given == "--propose" and re.match(r"-|.*\.(py(:\w+)?|j2)$", after) else given
        for given, after in zip(arguments, following, strict=False)
    ]


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Settings that replace those of a study file; None keeps the study's own.

    Args:
        model: name of the model, as `Model.parse` reads it.
        propose: name of the proposer's model, or `OWN_MODEL`.
        prior: name of an earlier study, or ``storage`` for all of them.
        base_url: URL of the server.
        api_key_env: environment variable that holds the key.
        api_version: version of Azure's API.
        headers, query: ``NAME=VARIABLE`` for each header and parameter of the query.
        max_concurrency: largest number of requests in flight.
        seed: seed of the search.
        storage: SQLAlchemy URL.
        name: study name.
        limit: number of rows.
        scheduler: address of a Dask scheduler.
        batch: whether requests are sent in batches.
        objective: weights and caps of the objective, by name; others stay those of the study.
    """

    model: str | None = None
    propose: str | None = None
    prior: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    api_version: str | None = None
    headers: Sequence[str] | None = None
    query: Sequence[str] | None = None
    max_concurrency: int | None = None
    seed: int | None = None
    storage: str | None = None
    name: str | None = None
    limit: int | None = None
    scheduler: str | None = None
    batch: bool = False
    objective: Mapping[str, float] = field(default_factory=dict)
