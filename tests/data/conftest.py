"""Data files and small data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prompt_search.data.dataset import Dataset

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of that name and content and gives its path."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def make(texts: list[str], labels: list[Any], **options: Any) -> Dataset:
    return Dataset(pd.DataFrame({"text": texts, "label": labels}), target="label", **options)
