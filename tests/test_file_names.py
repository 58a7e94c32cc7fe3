"""Paths that no file can have."""

from typing import Any

import pytest

import prompt_search as ps
from prompt_search.errors import PromptSearchError

USES: dict[str, Any] = {
    ".csv": lambda path: ps.Dataset.read(path, target="y"),
    ".j2": ps.Template.read,
    ".json": ps.Prompt.read,
    ".db": ps.open_result,
    ".py": lambda path: ps.Prompt(source="{{ row.text }}").export(path),
}


@pytest.mark.parametrize("suffix", USES)
@pytest.mark.parametrize("name", ["a\x00b", "\ud83d", "a" * 300])
def test_path_that_no_file_can_have_is_one_line(suffix: str, name: str) -> None:
    """NUL, half characters and names that are too long are refused, read or written."""
    with pytest.raises(PromptSearchError) as caught:
        USES[suffix](f"{name}{suffix}")
    assert "\n" not in str(caught.value)
