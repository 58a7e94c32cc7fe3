"""The text of a data file: its encoding, its byte order marks and its line ends."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from prompt_search.errors import DataError, InputError

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The byte order marks, and the encodings that they stand for."""

_OTHER_KINDS: Final = (
    (b"PK\x03\x04", "a spreadsheet or another zip file; save it as csv in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet; save it as csv in UTF-8"),
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
    (b"PAR1", "a parquet file; name it .parquet"),
)
"""What files begin with that are no text, and what to do."""


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        DataError: the file is missing, unreadable or empty.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError("the file does not exist; check the path", file=str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: no file has NUL or half a character in its name
        reason = getattr(error, "strerror", error)
        raise DataError(f"the file cannot be read ({reason}); check the path", file=str(path)) from error
    if not content.strip():
        raise DataError("the file is empty; it needs at least one row", file=str(path))
    return content


def read_text(path: Path, encoding: str | None = None) -> str:
    r"""The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Byte order marks at the start of any line are left out: they are there where files were joined. A file whose lines
    end in ``\r`` alone gets newlines.

    Args:
        path: the file.
        encoding: the encoding of a file without byte order mark, by Python's name; default: UTF-8.

    Raises:
        DataError: the file is missing, unreadable, empty, or no text in these encodings.
        InputError: the encoding is unknown.
    """
    given = _known_encoding(encoding)
    content = read_bytes(path)
    for start, kind in _OTHER_KINDS:
        if content.startswith(start):
            raise DataError(f"the file is {kind}", file=str(path))
    mark, used = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", given))
    content = content.removeprefix(mark)
    try:
        text = content.decode(used)
    except UnicodeDecodeError as error:
        raise _undecodable(content, used, error, str(path)) from None
    if "\0" in text[:1_000] and text[:1_000].count("\0") * 3 > len(text[:1_000]):
        raise DataError("the file looks like UTF-16 without a byte order mark; save it as UTF-8", file=str(path))
    if "\n" not in text:
        text = text.replace("\r", "\n")
    text = "\n".join(line.lstrip("\ufeff") for line in text.split("\n"))
    if not text.strip():
        raise DataError("the file is empty; it needs at least one row", file=str(path))
    return text


def _known_encoding(encoding: str | None) -> str:
    """Python's name of an encoding; UTF-8 by default."""
    try:
        return "utf-8" if encoding is None else codecs.lookup(encoding).name
    except LookupError:
        raise InputError(f"the encoding {encoding!r} is not known; give one such as utf-8 or cp1252") from None


def _undecodable(content: bytes, encoding: str, error: UnicodeDecodeError, file: str) -> DataError:
    if encoding.startswith(("utf-16", "utf-32")):
        return DataError(f"the file is not whole {encoding[:6].upper()}; save it as UTF-8", file=file)
    line = content.count(b"\n", 0, error.start) + 1
    byte = content[error.start : error.start + 1]
    if encoding != "utf-8":
        return DataError(f"the byte 0x{byte[0]:02x} is not {encoding}; give the file's encoding=", file=file, line=line)
    meant = byte.decode("cp1252", "replace")
    hint = "" if meant == "\ufffd" else f" (in Windows-1252 it is {meant!r})"
    return DataError(f"the byte 0x{byte[0]:02x} is not UTF-8{hint}; save the file as UTF-8", file=file, line=line)
