"""Names that the command line shows in its help and others check, here, so that help need load neither; and the rule
for the names that users give."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias, get_args

from prompt_search.errors import InputError

MetricName: TypeAlias = Literal[
    "accuracy", "bleu", "chrf", "corpus_bleu", "exact", "exact_match", "fields", "includes", "kappa", "macro_f1",
    "matthews", "numeric", "token_f1",
]  # fmt: skip
"""The names of the metrics that need no settings; ``accuracy`` and ``exact_match`` stand for ``exact``."""

LONGEST_NAME: Final = 200
"""Number of characters that a name may have: storages keep no more."""

HALF_CHARACTER: Final = "contains a lone surrogate (half of a character), which no request can carry; correct the text"
"""What is wrong with a text that has half a character."""

_HALF = re.compile("[\ud800-\udfff]")

METRIC_NAMES: Final[tuple[MetricName, ...]] = get_args(MetricName)

TABLE_SUFFIXES: Final = (".csv", ".json", ".jsonl", ".md", ".parquet")
"""The kinds of files that tables are written to."""

PROMPT_SUFFIXES: Final = (".j2", ".json", ".py", ".txt", ".yaml", ".yml")
"""The kinds of files that prompts are exported to."""


def has_half_character(text: str) -> bool:
    r"""Whether a text contains a lone surrogate, which no request and no file can carry.

    >>> has_half_character("caf\N{LATIN SMALL LETTER E WITH ACUTE}"), has_half_character("\ud83d")
    (False, True)
    """
    return not text.isascii() and _HALF.search(text) is not None


def is_name(text: str) -> bool:
    """Whether every storage and every table can hold a text as a name."""
    one_line = text.splitlines() == [text] and len(text) <= LONGEST_NAME
    return one_line and "\0" not in text and not has_half_character(text)


def check_name(name: str, what: str, error: type[InputError] = InputError) -> None:
    """Refuse a text that is no name, see `is_name`.

    Raises:
        InputError: with the rule; of the class ``error``.
    """
    if is_name(name):
        return
    raise error(
        f"the name of {what} is one line of at most {LONGEST_NAME} characters without NUL and half characters (lone "
        f"surrogates), got {len(name)} that begin with {name[:40]!r}; give another one"
    )
