"""Names that the command line shows in its help and others check; here, so that help need load neither."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

MetricName: TypeAlias = Literal[
    "accuracy", "bleu", "chrf", "corpus_bleu", "exact", "exact_match", "fields", "includes", "kappa", "macro_f1",
    "matthews", "numeric", "token_f1",
]  # fmt: skip
"""The names of the metrics that need no settings; ``accuracy`` and ``exact_match`` stand for ``exact``."""

METRIC_NAMES: Final[tuple[MetricName, ...]] = get_args(MetricName)

TABLE_SUFFIXES: Final = (".csv", ".json", ".jsonl", ".md", ".parquet")
"""The kinds of files that tables are written to."""

PROMPT_SUFFIXES: Final = (".j2", ".json", ".py", ".txt", ".yaml", ".yml")
"""The kinds of files that prompts are exported to."""
