"""Shared by the tests of the search: numpy with one thread, as a race runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """The matrices are small: several threads wait for each other when cores are busy, ten times as long."""
    with threadpool_limits(1, user_api="blas"):
        yield
