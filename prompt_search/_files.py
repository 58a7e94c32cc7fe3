"""Writing files: whole or not at all, and in the format that their suffix names."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from prompt_search.errors import InputError


def write_whole(file: Path, pieces: Iterable[bytes]) -> int:
    """Write a file that afterwards is the new one or, where that fails, as it was: a full disk leaves the old file.

    Returns:
        the number of pieces.

    Raises:
        OSError: it cannot be written.
    """
    count = 0
    with _beside(file.resolve()) as stream:
        for piece in pieces:
            stream.write(piece)
            count += 1
    return count


@contextmanager
def _beside(file: Path) -> Iterator[BinaryIO]:
    """A file in the same folder, which takes the place of this one at the end of the ``with`` block; this one itself
    where nothing can take its place: a pipe, or a file in a folder that takes no new ones."""
    if file.exists() and not (file.is_file() and os.access(file.parent, os.W_OK)):
        with file.open("wb") as stream:
            yield stream
        return
    beside = file.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with beside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            shutil.copymode(file, beside)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


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
        write_whole(file, [content])
    except (OSError, ValueError) as error:  # ValueError: no file has NUL or half a character in its name
        reason = getattr(error, "strerror", error)
        raise InputError(f"{path}: cannot write the {what}: {reason}; give another path") from None
    return file
