"""What a prompt shows of a row, found in the requests that were sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from prompt_search.prompts.export.row_parts import row_parts


def shown_texts(
    source: str, keys: Mapping[int, str], sent: Callable[[Collection[str]], Mapping[str, Sequence[tuple[str, str]]]]
) -> dict[int, str]:
    """What a prompt shows of rows, as far as their requests are stored.

    Args:
        source: the prompt's source.
        keys: the keys of the requests, by row.
        sent: gives the messages of requests, by key.
    """
    found = sent(list(keys.values()))
    contents = {row: [content for _, content in found[key]] for row, key in keys.items() if key in found}
    return texts_of(source, contents) if contents else {}


def texts_of(source: str, contents: dict[int, list[str]]) -> dict[int, str]:
    """The row's part of each request. Where the prompt does not tell it, it is what differs between the requests."""
    parts = {row: row_parts(source, each) for row, each in contents.items()}
    told = {
        row: next(iter(fields.values()))
        if len(fields) == 1
        else "\n".join(f"{name}: {text}" for name, text in fields.items())
        for row, fields in parts.items()
        if fields
    }
    last = {row: each[-1] for row, each in contents.items() if row not in told and each}
    start, end = _shared(list(last.values()))
    return told | {row: text[start : len(text) - end].strip() or text for row, text in last.items()}


def _shared(texts: list[str]) -> tuple[int, int]:
    """The number of characters that all texts begin and end with, up to whole lines."""
    if len(set(texts)) < 2:
        return 0, 0
    start = _common(texts).rfind("\n") + 1
    return start, _common([text[start:][::-1] for text in texts]).rfind("\n") + 1


def _common(texts: list[str]) -> str:
    """What all texts begin with."""
    first, last = min(texts), max(texts)
    differs = (place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1])
    return first[: next(differs, min(len(first), len(last)))]
