"""What every run of requests opens."""

from __future__ import annotations

from pathlib import Path

import pytest

import prompt_search as ps
from prompt_search.errors import InputError, StudyError
from prompt_search.evaluation.session import check_priced, opened


def test_shared_storage_has_a_lease(tmp_path: Path) -> None:
    """One run of a name at a time in a file; what is in memory is nobody else's."""
    url = f"sqlite:///{tmp_path}/a.db"
    with opened(url, "name") as (store, lease):
        assert lease is not None
        with pytest.raises(StudyError, match="name"), opened(url, "name"):
            pass
    store.close()
    with opened(None, "name") as (store, lease):
        assert lease is None
    store.close()


def test_unknown_price_is_told() -> None:
    """A budget in dollars needs one."""
    check_priced(ps.Budget(usd=1), ps.Model("x", price=ps.Price(prompt=1, completion=1)))
    check_priced(ps.Budget(calls=1), ps.Model("x"))
    with pytest.raises(InputError, match="cannot be kept, because the price of x is unknown"):
        check_priced(ps.Budget(usd=1), ps.Model("x"))
