"""The ``prompt-search`` command."""

from prompt_search.cli.commands import main

__all__ = ["main"]
