"""Readers: what is read from each kind of file, and how a broken file is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import Row
from prompt_search.data.unlabelled import rows_of
from prompt_search.errors import DataError, InputError, MissingExtra
from tests.data.conftest import Write
from tests.profiles import examples


def test_csv_reports_the_first_line_of_a_record(write: Write) -> None:
    """With line breaks inside quotes, an error names the real line of the file."""
    path = write("a.csv", 'text,label\n"one\ntwo",x\n\nthree,\n')
    with pytest.raises(DataError, match=r"a.csv line 5: the target 'label' is empty; fill it or drop the row"):
        Dataset.read(path, target="label")


def test_csv_values_stay_as_written(write: Write) -> None:
    """A column becomes numbers only if nothing is lost by it; an empty cell is empty text."""
    path = write("a.csv", "code,price,count,note,label\n007,1.50,1,NA,yes\n1,2.0,2.5,,no\n")
    rows = Dataset.read(path, target="label").rows
    assert rows[0].fields == Row({"code": "007", "price": "1.50", "count": 1, "note": "NA"})
    assert rows[1].fields == Row({"code": "1", "price": "2.0", "count": 2.5, "note": ""})


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_csv_with_byte_order_mark_and_any_newline(write: Write, newline: str) -> None:
    """A byte order mark is no part of the first name, and old line ends work."""
    path = write("a.csv", newline.join(["\ufefftext,label", "a\u2028b,x", "c,y"]))
    assert [row.text for row in Dataset.read(path, target="label").rows] == ["a\u2028b", "c"]


def test_csv_takes_long_fields(write: Write) -> None:
    """A document longer than the csv module's own limit is read, and the limit is left as it was."""
    import csv

    before = csv.field_size_limit()
    path = write("a.csv", f"text,label\n{'x' * 200_000},a\n")
    assert len(Dataset.read(path, target="label").rows[0].text) == 200_000
    assert csv.field_size_limit() == before


def test_tsv(write: Write) -> None:
    """A tsv file is separated by tabs, and commas mean nothing in it."""
    assert Dataset.read(write("a.tsv", "text\tlabel\na, b\tx\n"), target="label").rows[0].text == "a, b"


def test_jsonl(write: Write) -> None:
    """Each line is an object; blank lines are skipped and a missing field is None."""
    path = write("a.jsonl", '{"text": "a", "tags": [1, NaN], "label": 1}\n\n{"text": "b", "label": 2}\n')
    data = Dataset.read(path, target="label")
    assert [row.fields for row in data.rows] == [
        Row({"text": "a", "tags": [1, None]}),
        Row({"text": "b", "tags": None}),
    ]
    assert data.labels == ["1", "2"]
    assert data.name == "a"


def test_json_reports_the_line_of_an_item(write: Write) -> None:
    """In a json list, an error names the line on which the object starts."""
    path = write("a.json", '[\n  {"text": "a",\n   "label": 1},\n\n  {"text": "b", "label": null}]')
    with pytest.raises(DataError, match=r"a.json line 5: the target 'label' is empty"):
        Dataset.read(path, target="label")


def test_every_format_gives_the_same_rows(write: Write, tmp_path: Path) -> None:
    """The same table has the same fingerprint from csv, tsv, jsonl, json, parquet and memory."""
    frame = pd.DataFrame({"text": ["a, b", 'say "c"\nd', "é"], "n": [1, 2, 3], "label": ["x", "y", "x"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "a.json", orient="records")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    prints = {Dataset.read(path, target="label").fingerprint for path in tmp_path.iterdir()}
    assert prints == {Dataset(frame, target="label").fingerprint}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv: the file is empty; it needs at least one row"),
        ("a.csv", "\ufeff\n", "a.csv: the file is empty; it needs at least one row"),
        ("a.csv", "text,label\n", "a.csv: there are no rows; at least one is needed"),
        ("a.jsonl", "\n \n", "a.jsonl: the file is empty; it needs at least one row"),
        ("a.json", "[]", "a.json: there are no rows; at least one is needed"),
        ("a.csv", "text,kind\na,x\n", "a.csv: there is no target column 'label'; there are: text, kind"),
        ("a.csv", "label\nx\n", "a.csv: there is no column besides the target; a prompt needs at least one field"),
        ("a.csv", "text,label\na,x\nb, \n", "a.csv line 3: the target 'label' is empty; fill it or drop the row"),
        (
            "a.csv",
            "text,label\na,b,x\n",
            (
                "a.csv line 2: the header has 2 fields but this row has 3; add the missing ones, or quote a "
                "field that contains ','"
            ),
        ),
        (
            "a.csv",
            "text,label\na\n",
            (
                "a.csv line 2: the header has 2 fields but this row has 1; add the missing ones, or quote a "
                "field that contains ','"
            ),
        ),
        ("a.csv", "text,text\na,x\n", "a.csv line 1: the column 'text' appears twice; rename one"),
        (
            "a.csv",
            ",text,label\n0,a,x\n",
            "a.csv line 1: column 1 has no name; name it, or save the table without its index",
        ),
        (
            "a.csv",
            'text,label\na,x\n"b,y\n',
            "a.csv line 3: not valid csv (*); close each quoted field, and double the quotes inside it",
        ),
        (
            "a.csv",
            'text,label\n"a" b,y\n',
            "a.csv line 2: not valid csv (*); close each quoted field, and double the quotes inside it",
        ),
        (
            "a.csv",
            b"text,label\na,x\nb\xe9,y\n",
            "a.csv line 3: the byte 0xe9 is not UTF-8 (in Windows-1252 it is 'é'); save the file as UTF-8",
        ),
        (
            "a.csv",
            b"\xef\xbb\xbftext,label\na,x\nb\xe9,y\n",
            "a.csv line 3: the byte 0xe9 is not UTF-8 (in Windows-1252 it is 'é'); save the file as UTF-8",
        ),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": }\n', "a.jsonl line 2: not valid JSON (*); correct it"),
        (
            "a.jsonl",
            '{"text": "a", "text": 1}',
            "a.jsonl line 1: not valid JSON (the key 'text' appears twice in one object); correct it",
        ),
        ("a.jsonl", "[1]", "a.jsonl line 1: a row must be a JSON object, not a list; write {...}"),
        (
            "a.jsonl",
            '{"text": "\\ud800", "label": 1}',
            (
                "a.jsonl line 1: the value of 'text' contains a lone surrogate (half of a character), which no "
                "request can carry; correct the text"
            ),
        ),
        ("a.jsonl", "[" * 100_000, "a.jsonl line 1: not valid JSON (*); correct it"),
        (
            "a.json",
            '{"rows": []}',
            "a.json: a json file must hold a list of objects, not an object; wrap it in [ ] or use jsonl",
        ),
        ("a.json", '[\n{"a": 1},\n]', "a.json line *: not valid JSON (*); correct it"),
        ("a.json", '[{"a": 1},\n7]', "a.json line 2: a row must be a JSON object, not a number; write {...}"),
        ("a.parquet", "nonsense", "a.parquet: not a parquet file (*); write it again"),
        (
            "a.txt",
            "text,label\n",
            "a.txt: the suffix '.txt' is not known; use one of: .csv, .json, .jsonl, .ndjson, .parquet, .tsv",
        ),
    ],
)
def test_broken_files(write: Write, name: str, content: str | bytes, message: str) -> None:
    """An error is one line that names the file, the line where there is one, and the remedy; * stands for words of a
    library."""
    path = write(name, content)
    with pytest.raises(DataError) as caught:
        Dataset.read(path, target="label")
    line = str(caught.value).replace(f"{path.parent}/", "")
    assert re.fullmatch(re.escape(message).replace(r"\*", r"[^\n]+"), line), line


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    """A file that is not there, or a folder, is a DataError."""
    with pytest.raises(DataError, match=r"/none\.csv: the file does not exist; check the path$"):
        Dataset.read(tmp_path / "none.csv", target="label")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"/folder\.csv: the file cannot be read \(.+\); check the path$"):
        Dataset.read(tmp_path / "folder.csv", target="label")


def test_parquet_without_pyarrow(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error names the extra to install."""

    def refuse(path: Path) -> None:
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd, "read_parquet", refuse)
    with pytest.raises(MissingExtra, match=r"'prompt_search\[parquet\]'"):
        Dataset.read(write("a.parquet", "x"), target="label")


@settings(max_examples=examples(50))
@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), st.integers()),
        min_size=1,
    )
)
def test_jsonl_round_trip(pairs: list[tuple[str, int]]) -> None:
    """What is written as jsonl is read back as it was."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in pairs]
        path.write_text("\n".join(lines), encoding="utf-8", newline="")
        data = Dataset.read(path, target="label")
    assert [(row.text, row.label) for row in data.rows] == pairs


def test_reading_a_csv_does_not_import_pandas(write: Write) -> None:
    """The command line stays quick: pandas is imported only for tables."""
    import subprocess

    path = write("a.csv", "text,label\na,x\n")
    code = "import sys; from prompt_search.data.dataset import Dataset; Dataset.read(sys.argv[1], target='label')"
    code += "; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 0


def test_file_is_read_as_is_said(tmp_path: Path) -> None:
    """The separator, the encoding and the number of rows may be given as to pandas."""
    file = tmp_path / "a.csv"
    file.write_bytes("text!label\ncafé, s'il vous plaît!a\nthé!b\nzut!".encode("cp1252"))
    data = Dataset.read(file, target="label", sep="!", encoding="latin-1", nrows=2)
    assert [(row.text, row.label) for row in data.rows] == [("café, s'il vous plaît", "a"), ("thé", "b")]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.csv", {"sep": "::"}, "sep= is one character that separates columns, such as ';' or '|', not '::'"),
        ("a.csv", {"encoding": "utf-9"}, "the encoding 'utf-9' is not known; give one such as utf-8 or cp1252"),
        ("a.csv", {"encoding": "ascii"}, "the byte 0xc3 is not ascii; give the file's encoding="),
        ("a.csv", {"nrows": 0}, "the number of rows must be at least 1, not 0; give 1 or more"),
        ("a.jsonl", {"sep": ","}, "sep= is for csv and tsv files, not for .jsonl; leave it out"),
        ("a.parquet", {"encoding": "utf-8"}, "encoding= is for text files, not for .parquet; leave it out"),
    ],
)
def test_settings_of_a_file_that_make_no_sense_are_refused(
    tmp_path: Path, name: str, settings: dict[str, Any], message: str
) -> None:
    """The message says what to give instead."""
    (tmp_path / name).write_text("text,label\ncafé,a\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        Dataset.read(tmp_path / name, target="label", **settings)


def test_empty_cell_in_quotes_is_a_row(tmp_path: Path) -> None:
    """An empty text that was written on purpose is kept; a blank line and a row of commas alone are not."""
    (tmp_path / "one.csv").write_text('text\na\n""\n\nb\n')
    assert [row["text"] for row in rows_of(tmp_path / "one.csv").rows] == ["a", "", "b"]
    (tmp_path / "two.csv").write_text('text,note\na,1\n,\n"",""\n')
    assert [row["text"] for row in rows_of(tmp_path / "two.csv").rows] == ["a", ""]


@pytest.mark.parametrize("path", ["s3://bucket/rows.csv", Path("https://example.com/rows.csv")])
def test_address_of_another_place_is_told(path: str | Path) -> None:
    """Only the hub's addresses are read; the cure for others is told, not that a file is missing."""
    told = r"addresses are read of the hub alone \(hf://\); download the file, or read it with pandas, as in "
    with pytest.raises(DataError, match=told):
        Dataset.read(path, target="label")
