"""Files as spreadsheets, exports and people write them are read, or refused with the cure."""

from __future__ import annotations

import codecs
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import Row
from prompt_search.errors import DataError
from tests.data.conftest import Write

ROWS = [Row({"text": "a, b", "label": "x"}, target="label"), Row({"text": "é", "label": "y"}, target="label")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text;label\n"a, b";x\né;y\n'),
        ("a.csv", "text;label\na, b;x\né;y\n"),
        ("a.csv", "text\tlabel\na, b\tx\né\ty\n"),
        ("a.csv", "text|label\na, b|x\né|y\n"),
        ("a.csv", "sep=;\ntext;label\na, b;x\né;y\n"),
        ("a.csv", '"sep=|"\r\ntext|label\r\na, b|x\r\né|y\r\n'),
        ("a.csv", 'sep=,\ntext,label\n"a, b",x\né,y\n'),
        ("a.csv", 'sep=^\ntext^label\n"a, b"^x\né^y\n'),
        ("a.tsv", 'text,label\n"a, b",x\né,y\n'),
        ("a.tsv", "text;label\na, b;x\né;y\n"),
        ("a.csv", '"text";"label"\n"a, b";"x"\n"é";"y"\n'),
        ("a.csv", ' text , label\u00a0\n"a, b",x\né,y\n'),
        ("a.csv", '\ufeff\ufefftext,label\n"a, b",x\né,y\n'),
        ("a.csv", '\ufefftext,label\n"a, b",x\n\ufeffé,y\n'),
        ("a.csv", 'text,\ufefflabel\n"a, b",x\né,y\n'),
        ("a.csv", 'text,label,,\n"a, b",x,,\né,y,,\n,,,\n'),
        ("a.csv", 'text,label\n,\n"a, b",x\n\né,y\n,\n,\n'),
        ("a.csv", 'text,label\r"a, b",x\ré,y\r'),
        ("a.csv", codecs.BOM_UTF16_LE + 'text,label\n"a, b",x\né,y\n'.encode("utf-16-le")),
        ("a.csv", codecs.BOM_UTF16_BE + "text\tlabel\na, b\tx\né\ty\n".encode("utf-16-be")),
        ("a.tsv", codecs.BOM_UTF32_LE + "text\tlabel\na, b\tx\né\ty\n".encode("utf-32-le")),
        ("a.jsonl", '{"text": "a, b", "label": "x"},\n{"text": "é", "label": "y"},\n'),
        ("a.jsonl", '{"text": "a, b", "label": "x"} , \n{"text": "é", "label": "y"}\n'),
        ("a.jsonl", '[{"text": "a, b", "label": "x"},\n{"text": "é", "label": "y"}]\n'),
        ("a.jsonl", '[\n  {"text": "a, b", "label": "x"}, {"text": "é", "label": "y"}\n]'),
        ("a.jsonl", '\ufeff{"text": "a, b", "label": "x"}\n\ufeff{"text": "é", "label": "y"}\n'),
        ("a.jsonl", '{"text": "a, b", "label": "x"}\r{"text": "é", "label": "y"}\r'),
        ("a.jsonl", '{" text": "a, b", "label\ufeff": "x"}\n{" text": "é", "label\ufeff": "y"}\n'),
        ("a.json", '{"text": "a, b", "label": "x"}\n{"text": "é", "label": "y"}\n'),
        ("a.json", '{"text": "a, b", "label": "x"},\r\n{"text": "é", "label": "y"}\r\n'),
        ("a.json", '\ufeff[{"text": "a, b", "label": "x"}, {"text": "é", "label": "y"}]'),
        ("a.ndjson", '[{"text": "a, b", "label": "x"}, {"text": "é", "label": "y"}]'),
    ],
)
def test_file_is_read_as_it_was_meant(write: Write, name: str, content: str | bytes) -> None:
    """Delimiters, encodings, marks, empty cells of spreadsheets and shapes of JSON make no difference to the rows."""
    data = Dataset.read(write(name, content), target="label")
    assert list(data.rows) == ROWS
    assert data.fields == ["text"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "id;text|label\n1;a|x\n",
            (
                "a.csv line 1: the columns are not separated by ',', and the header has ';' and '|'; "
                "write the file with ','"
            ),
        ),
        (
            "a.tsv",
            "id;text|label\n1;a|x\n",
            (
                "a.tsv line 1: the columns are not separated by tabs, and the header has ';' and '|'; "
                "write the file with tabs"
            ),
        ),
        (
            "a.csv",
            "text;label\na;b;x\n",
            (
                "a.csv line 2: the header has 2 fields but this row has 3; add the missing ones, or quote a field that "
                "contains ';'"
            ),
        ),
        (
            "a.csv",
            'sep=;\ntext;label\na;x\n"b;y\n',
            (
                "a.csv line 4: not valid csv (unexpected end of data); close each quoted field, and "
                "double the quotes inside it"
            ),
        ),
        (
            "a.csv",
            'id, text, label\n1, "a, b", x\n',
            (
                "a.csv line 2: the header has 3 fields but this row has 4; add the missing ones, or remove the space "
                "before a quote"
            ),
        ),
        (
            "a.csv",
            "text,label\na,x\n\ufefftext,label\nb,y\n",
            "a.csv line 3: this row is the header again, as where files were joined; delete it",
        ),
        ("a.csv", "text, text ,label\na,b,x\n", "a.csv line 1: the column 'text' appears twice; rename one"),
        (
            "a.csv",
            "text,label,\na,x,y\n",
            "a.csv line 1: column 3 has no name; name it, or save the table without its index",
        ),
        (
            "a.csv",
            "text,label\na,x\n“b”,y\n".encode("cp1252"),
            "a.csv line 3: the byte 0x93 is not UTF-8 (in Windows-1252 it is '“'); save the file as UTF-8",
        ),
        ("a.csv", b"text,label\na\x81,x\n", "a.csv line 2: the byte 0x81 is not UTF-8; save the file as UTF-8"),
        (
            "a.csv",
            "text,label\na,x\n".encode("utf-16-le"),
            "a.csv: the file looks like UTF-16 without a byte order mark; save it as UTF-8",
        ),
        ("a.csv", codecs.BOM_UTF16_LE + b"t\0e", "a.csv: the file is not whole UTF-16; save it as UTF-8"),
        ("a.csv", b"PK\x03\x04\x14\0", "a.csv: the file is a spreadsheet or another zip file; save it as csv in UTF-8"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1", "a.csv: the file is an old spreadsheet; save it as csv in UTF-8"),
        ("a.jsonl", b"\x1f\x8b\x08\0", "a.jsonl: the file is compressed by gzip; unpack it"),
        ("a.json", b"PAR1\x15\x04", "a.json: the file is a parquet file; name it .parquet"),
        (
            "a.jsonl",
            '{\n"text": "a",\n"label": 1\n}\n',
            "a.jsonl line 1: not valid JSON (*); write each object on one line",
        ),
        ("a.jsonl", '{"text": "a", "label": 1},,\n', "a.jsonl line 1: not valid JSON (*); correct it"),
        (
            "a.json",
            '{"data": [{"text": "a", "label": 1}]}',
            "a.json: a json file must hold a list of objects, not an object; wrap it in [ ] or use jsonl",
        ),
    ],
)
def test_file_is_refused_with_the_cure(write: Write, name: str, content: str | bytes, message: str) -> None:
    """What cannot be read for sure is one line with the file, the line and what to do."""
    path = write(name, content)
    with pytest.raises(DataError) as caught:
        Dataset.read(path, target="label")
    before, star, after = message.partition("*")
    said = str(caught.value).replace(f"{path.parent}/", "")
    assert said == message if not star else said.startswith(before) and said.endswith(after)
    assert "\n" not in said


@pytest.mark.parametrize("word", ["NaN", "nan", "NA", "N/A", "None", "none", "null", "NULL", "-", "inf", "True", "007"])
def test_words_for_nothing_are_text_in_csv(write: Write, word: str) -> None:
    """A label or a cell that other readers take for a missing value, a number or a truth value is text as written."""
    data = Dataset.read(write("a.csv", f"text,label\n{word},{word}\nb,x\n"), target="label")
    assert (data.rows[0].text, data.rows[0].target) == (word, word)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1.0, 0.0], [1, 0]),
        (np.array([1.0, 0.0], dtype="float32"), [1, 0]),
        (np.array([3, -2], dtype="int8"), [3, -2]),
        (pd.array([1, 0], dtype="Int64"), [1, 0]),
        (pd.array([1.0, 0.0], dtype="Float64"), [1, 0]),
        (pd.Categorical([1.0, 0.0]), [1, 0]),
        (pd.Categorical(["b", "a"]), ["b", "a"]),
        (pd.Series([2, 5.0], dtype=object), [2, 5]),
        ([True, False], [True, False]),
        (pd.array([True, False], dtype="boolean"), [True, False]),
        ([1.5, 1.0], [1.5, 1.0]),
        ([float("inf"), 1.0], [float("inf"), 1.0]),
        (["1.0", "0.0"], ["1.0", "0.0"]),
        (np.array(["x", "y"]), ["x", "y"]),
        (pd.array(["x", "y"], dtype="string"), ["x", "y"]),
        ([[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0]]),
    ],
)
def test_whole_numbers_are_whole_labels(labels: Any, expected: list[Any]) -> None:
    """A column of labels that pandas made floats is one of whole numbers again; nothing else changes."""
    data = Dataset(pd.DataFrame({"text": ["a", "b"], "label": labels}), target="label")
    found = [row.target for row in data.rows]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    "missing", [float("nan"), None, np.nan, pd.NA, pd.NaT, "", " \t", [], {}, np.float32("nan"), np.array([])]
)
def test_missing_label_is_named_with_its_row(missing: Any) -> None:
    """Whatever stands for nothing is refused as a target, with the number of the row."""
    frame = pd.DataFrame({"text": ["a", "b"], "label": pd.Series(["x", missing], dtype=object)})
    with pytest.raises(DataError) as caught:
        Dataset(frame, target="label")
    assert str(caught.value) == "data: row 1 (the first is 0): the target 'label' is empty; fill it or drop the row"


@pytest.mark.parametrize(
    ("odd", "shown"),
    [
        ("yes ", "'yes '"),
        (" yes", "' yes'"),
        ("yes\t", "'yes\\t'"),
        ("yes\u00a0", "'yes\\xa0'"),
        ("\ufeffyes", "'\\ufeffyes'"),
        ("ye\u200bs", "'ye\\u200bs'"),
        ("yes\u200e", "'yes\\u200e'"),
        ("y\u00ades", "'y\\xades'"),
        ("yes\u2060", "'yes\\u2060'"),
        ("yes\n", "'yes\\n'"),
        ("yes\u3000", "'yes\\u3000'"),
    ],
)
def test_labels_that_look_the_same_are_refused(odd: str, shown: str) -> None:
    """A label that differs from another only by what nobody sees is named with both rows."""
    frame = pd.DataFrame({"text": list("abcdefgh"), "label": ["yes", "no", "no", odd, "yes", "no", "no", "yes"]})
    with pytest.raises(DataError) as caught:
        Dataset(frame, target="label")
    assert str(caught.value) == (
        f"data: row 3 (the first is 0): the target 'label' is {shown}, which looks like 'yes' (row 0); "
        "write both in the same way"
    )


def test_free_text_may_differ_by_a_space() -> None:
    """Targets that are no classes are left as they are."""
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": ["Paris", "Paris ", "Rome"]})
    assert [row.target for row in Dataset(frame, target="label").rows] == ["Paris", "Paris ", "Rome"]


def test_columns_are_found_by_the_name_in_the_file(write: Write) -> None:
    """The source of a renamed column may be written with the spaces that the file has."""
    path = write("a.csv", " full text ,label\na,x\n")
    for source in (" full text ", "full text"):
        assert Dataset.read(path, target="label", columns={"text": source}).rows[0].text == "a"


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
    assert Dataset(frame, target="label").labels == labels
