"""``python -m prompt_search.cli``."""

from prompt_search.cli.commands import main

main()
