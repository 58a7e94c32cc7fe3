"""Commands on the embedded model."""

from __future__ import annotations

from typing import Annotated

import typer

from prompt_search.cli.loading import fetch_embedded_model
from prompt_search.cli.terminal import say

commands = typer.Typer(help="Fetch, locate and serve the embedded model.", no_args_is_help=True)

Weights = Annotated[
    str | None, typer.Argument(help="A .gguf file or a Hugging Face repository; default: the embedded model.")
]


@commands.command()
def pull() -> None:
    """Fetch the embedded model, unless it is there already, and check its hash."""
    say(str(fetch_embedded_model()))


@commands.command()
def path(spec: Weights = None) -> None:
    """Print the path of a model's weights; fetch them when they are missing."""
    from prompt_search.llm import local

    say(str(fetch_embedded_model() if spec is None else local.resolve(spec)))


@commands.command()
def serve(
    spec: Weights = None,
    port: Annotated[
        int, typer.Option("--port", help="Port to listen on; 0 selects a free one.", min=0, max=65535)
    ] = 8080,
) -> None:
    """Serve a model over HTTP until Ctrl-C; other commands reach it by --base-url."""
    from prompt_search.llm import local

    local.serve_forever(fetch_embedded_model() if spec is None else local.resolve(spec), port)
