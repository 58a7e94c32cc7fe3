"""Data and studies that tests of this room share."""

from __future__ import annotations

from prompt_search.prompts.few_shot import ExamplePool

SUBJECTS = ["cats and dogs", "the weather", "a long train ride", "soup", "money", "old books", "rain", "football"]


def pool_of(size: int, labels: str = "ab") -> ExamplePool:
    rows = tuple(
        {"text": f"{SUBJECTS[i % len(SUBJECTS)]} number {i}", "label": labels[i % len(labels)]} for i in range(size)
    )
    return ExamplePool(rows, "label")
