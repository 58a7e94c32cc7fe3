"""Files as spreadsheets and people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import DataError

ROWS = [(f"hello, {number}" if number % 2 else f"bye {number}", "pos" if number % 2 else "neg") for number in range(10)]


def lines(delimiter: str) -> str:
    """The rows with a delimiter, quoted where they contain it."""
    quoted = [(f'"{text}"' if delimiter in text else text, label) for text, label in ROWS]
    return "\n".join(delimiter.join(row) for row in quoted)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("comma.csv", "text,label\n" + lines(",")),
        ("semicolon.csv", "text;label\n" + lines(";")),
        ("tab.csv", "text\tlabel\n" + lines("\t")),
        ("pipe.csv", "text|label\n" + lines("|")),
        ("declared.csv", "sep=;\ntext;label\n" + lines(";")),
        ("declared.csv", "sep=,\r\ntext,label\r\n" + lines(",").replace("\n", "\r\n")),
        ("tab.tsv", "text\tlabel\n" + lines("\t")),
        ("semicolon.tsv", "text;label\n" + lines(";")),
        ("spaces.csv", " text , label \n" + lines(",")),
        ("invisible.csv", "text\u200b,\u00a0label\n" + lines(",")),
        ("mark.csv", "\ufefftext,label\n" + lines(",")),
        ("marks.csv", "\ufeff\ufefftext,label\n" + lines(",")),
        ("joined.csv", "text,label\n" + lines(",").replace("\nbye 4", "\n\ufeffbye 4")),
    ],
)
def test_tables_are_read_as_they_are_written(tmp_path: Path, name: str, content: str) -> None:
    """Another delimiter, a line that declares it, spaces in the header and byte order marks change no row."""
    path = tmp_path / name
    path.write_bytes(content.encode())
    data = ps.Dataset.read(path, target="label")
    assert [(row.text, row.target) for row in data.rows] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,label\nx,y\n".encode("utf-16"), "a.csv: the file is UTF-16; save it as UTF-8"),
        ("a.csv", b"text,label\ncaf\xe9,y\n", "a.csv line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (
            "a.csv",
            b"sep=;\ntext;label\nx;y\nz\n",
            (
                "a.csv line 4: the header has 2 fields but this row has 1; add the missing ones, or quote a field that "
                "contains ';'"
            ),
        ),
        (
            "a.jsonl",
            b'[{"text": "x", "label": "y"}]',
            "a.jsonl line 1: this is a JSON list, not an object per line; name the file .json",
        ),
        (
            "a.json",
            b'{"text": "x", "label": "y"}\n{"text": "z", "label": "y"}\n',
            "a.json: this is an object per line, not a JSON list; name the file .jsonl",
        ),
    ],
)
def test_files_of_another_kind_are_named_with_the_cure(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """A file in another encoding or format is told in one line, with what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        ps.Dataset.read(path, target="label")
    assert str(caught.value).replace(f"{tmp_path}/", "") == said


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1.0, 0.0], ["0", "1"]),
        ([1.5, 0.0], ["0", "1.5"]),
        ([1, 0], ["0", "1"]),
        ([True, False], ["False", "True"]),
        (["01", "1"], ["01", "1"]),
    ],
)
def test_labels_of_numbers_are_those_that_a_model_says(values: list[Any], labels: list[str]) -> None:
    """Whole numbers that pandas keeps as floats are labels without a decimal point."""
    frame = pd.DataFrame({"text": [f"t {number}" for number in range(20)], "label": values * 10})
    assert ps.Dataset(frame, target="label").labels == labels
