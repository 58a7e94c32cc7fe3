"""The ``prompt-search`` command as ``python -m prompt_search.cli``."""

from prompt_search.cli.app import main

main()
