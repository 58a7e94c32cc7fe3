"""Reading template files: those of users, and those of the package by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prompt_search.errors import TemplateError


def read_template_file(path: str | Path, shipped: Mapping[str, Any], what: str) -> str:
    """The text of a template file, or of one of the package if the path is a bare name and no such file exists.

    Args:
        path: the file.
        shipped: the files of the package, by their names without suffix.
        what: what the file is, for the error.

    Raises:
        TemplateError: there is no such file, or it is not UTF-8.
    """
    given = Path(path)
    try:
        bare = given.parent == Path(".") and given.suffix in ("", ".j2")
        if bare and not given.exists() and given.stem in shipped:
            return str(shipped[given.stem].read_text(encoding="utf-8"))
        return given.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: no file has NUL or half a character in its name
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", error)
        raise TemplateError(
            f"cannot read the {what}: {reason}; give a file or one of {', '.join(shipped)}", template=str(path)
        ) from None
