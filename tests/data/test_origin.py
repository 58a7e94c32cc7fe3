"""Origins: errors name the line of a file, or the number of a row."""

from __future__ import annotations

from prompt_search.data.origin import Origin


def test_errors_name_the_place() -> None:
    """A row of a file is named by the line on which it starts, a row of a table by its number."""
    file, table = Origin("a.csv", [2, 5]), Origin("tickets")
    assert (file.place(1), table.place(1)) == ("line 5", "row 1")
    assert str(file.row_error(1, "empty; fill it")) == "a.csv line 5: empty; fill it"
    assert str(table.row_error(1, "empty; fill it")) == "tickets: row 1 (the first is 0): empty; fill it"
    assert str(file.error("no rows; add some")) == "a.csv: no rows; add some"
