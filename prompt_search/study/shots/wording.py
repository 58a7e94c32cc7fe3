"""What is said of the calls that ask a model about the pool of shots."""

from __future__ import annotations

from prompt_search._numbers import counted


def asked_line(rows: int) -> tuple[str, str]:
    """The line of an estimate's table for the rows of the pool that are asked."""
    return "of these", f"{rows:,} at most ask which rows of the pool the default prompt answers rightly"


def asked_remark(rows: int) -> str:
    """The remark of a preflight for the rows of the pool that are asked."""
    calls = counted(rows, "call")
    return (
        f"The search begins with {calls} at most that ask which rows of the pool the default prompt answers rightly: "
        "shots are picked by it. Before that, the pickers solved and hard are random sets."
    )
