"""What the commands on exported prompts take, besides the options of all commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prompt_search._names import TABLE_SUFFIXES
from prompt_search.cli.finding import found_storage
from prompt_search.cli.loading import fetch_embedded_model, model_settings
from prompt_search.cli.options import DEFAULT_STORAGE, Overrides, storage_option
from prompt_search.cli.terminal import hide_keys
from prompt_search.errors import InputError, StorageError

if TYPE_CHECKING:
    from prompt_search.llm.model import Model
    from prompt_search.prompts.prompt import Prompt

PromptFile = Annotated[Path, typer.Argument(help="An exported prompt: .json or .j2.")]
PromptModel = Annotated[
    str | None,
    typer.Option(
        "-m", "--model", help="Model to ask; default: the prompt's own. A model name, local, or local:FILE.gguf."
    ),
]
CachingStorage = Annotated[str | None, storage_option(f"{DEFAULT_STORAGE}, or else the only one in this folder")]


def asked_model(prompt: Prompt, given: Overrides) -> Model:
    """The model of the command line, else that of the prompt; the embedded model's weights are fetched.

    Raises:
        InputError: there is none, or its settings do not fit.
    """
    from prompt_search.evaluation.one_prompt.prompt_run import model_of
    from prompt_search.llm.model import Model

    settings = model_settings(given)
    name = given.model or prompt.model
    if any(value is not None for value in settings.values()) and name is not None:
        model = Model.parse(name, **settings)
    else:
        model = model_of(prompt, given.model)
    hide_keys([model])
    if model.is_local and model.gguf == model.name:
        fetch_embedded_model()
    return model


def asked_storage() -> str:
    """The storage of a command that names none: that of this folder, which may hold the answers of the prompt's study;
    the default one where the folder has several."""
    try:
        return found_storage()
    except StorageError:
        return DEFAULT_STORAGE


def check_output(output: Path | None, source: Path) -> None:
    """Refuse before anything is paid for a file that cannot be written, or that would replace the data.

    Raises:
        InputError: with the cure.
    """
    if output is None:
        return
    if output.suffix not in TABLE_SUFFIXES:
        raise InputError(
            f"{output}: a table is written as {', '.join(TABLE_SUFFIXES)}, got {output.suffix or 'no suffix'!r}; give "
            "one of these suffixes"
        )
    if output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"{output}: the output would replace the data; give another file")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: there is no such folder; make it, or give another file")
