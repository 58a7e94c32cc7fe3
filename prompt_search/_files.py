"""Writing a file in the format that its suffix names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from prompt_search.errors import InputError


def write_by_suffix(path: str | Path, writers: Mapping[str, Callable[[], bytes]], what: str) -> Path:
    """Write the bytes that the writer of the path's suffix makes.

    Args:
        path: the file, which is overwritten if it exists.
        writers: a function without arguments for each suffix, such as ``{".md": ...}``.
        what: a noun for the content, which error messages use: ``"table"``.

    Raises:
        InputError: there is no writer for the suffix, or the file cannot be written.
    """
    file = Path(path)
    if file.suffix not in writers:
        suffixes = (" or " if len(writers) == 2 else ", ").join(writers)
        raise InputError(
            f"{path}: a {what} is written as {suffixes}, got {file.suffix or 'no suffix'!r}; give one of these suffixes"
        )
    content = writers[file.suffix]()
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path}: cannot write the {what}: {error.strerror}; give another path") from None
    return file
