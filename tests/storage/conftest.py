"""An empty store."""

from __future__ import annotations

import pytest

from prompt_search.storage.store import Store


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, storage: str) -> Store:
    """An empty store, in memory and in a file."""
    return Store("sqlite://" if request.param == "memory" else storage)
