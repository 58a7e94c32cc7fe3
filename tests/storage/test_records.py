"""Records are for all rooms: tables and evaluation use them without a database."""

from __future__ import annotations

import subprocess
import sys


def test_records_need_no_database() -> None:
    """Who only reads records, their summary or columns imports neither SQLAlchemy nor Optuna."""
    program = (
        "import sys, prompt_search.storage.records, prompt_search.storage.summary\n"
        "print([name for name in ('sqlalchemy', 'optuna') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_storage_imports_optuna_on_first_use_only() -> None:
    """Opening a store does not import Optuna."""
    program = (
        "import sys\n"
        "from prompt_search.storage.store import Store\n"
        "store = Store('sqlite://')\n"
        "store.open_study('s', {})\n"
        "store.delete_study('s')\n"
        "print('optuna' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
