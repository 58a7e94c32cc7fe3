"""The ``prompt-search`` command, one module per group of commands."""

from prompt_search.cli.app import main

__all__ = ["main"]
