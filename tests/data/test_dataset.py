"""Dataset: what is read, what is refused and with which line, and how rows are split."""

import copy
import json
import pickle
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search._html import STYLE
from prompt_search.data.dataset import Dataset, Splits
from prompt_search.data.rows import Row
from prompt_search.errors import DataError, InputError, MissingExtra

Write = Callable[[str, str | bytes], Path]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


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


class TestRow:
    def test_columns_are_reached_by_item_and_attribute(self) -> None:
        """Any column name works as an attribute, also those that mappings use for methods."""
        row = Row({"items": 1, "keys": 2, "index": 3, "label": "x"}, target="label")
        assert (row.items, row.keys, row.index, row["items"], row.target) == (1, 2, 3, 1, "x")
        assert "items" in row
        assert "values" not in row
        assert list(row) == ["items", "keys", "index", "label"]
        assert len(row) == 4

    def test_fields_leave_out_the_target(self) -> None:
        """What a template sees has every column but the target, and no target."""
        fields = Row({"text": "a", "label": "x"}, target="label").fields
        assert fields == Row({"text": "a"})
        assert fields.fields is fields
        with pytest.raises(AttributeError, match="no column 'target'; there are: text"):
            _ = fields.target

    def test_columns_named_target_and_fields_are_reached_in_fields(self) -> None:
        """In the fields of a row, columns called target and fields are columns."""
        fields = Row({"target": 1, "fields": 2, "label": "x"}, target="label").fields
        assert fields.target == 1
        assert getattr(fields, "fields") == 2  # noqa: B009

    def test_unknown_columns_are_named_with_those_there_are(self) -> None:
        """A wrong name is an error that lists the right ones."""
        row = Row({"text": "a"})
        with pytest.raises(AttributeError, match="no column 'txt'; there are: text"):
            _ = row.txt
        with pytest.raises(KeyError, match="no column 'txt'; there are: text"):
            _ = row["txt"]
        with pytest.raises(InputError, match="target 'label' is not a column of the row; there are: text"):
            Row({"text": "a"}, target="label")

    def test_is_immutable(self) -> None:
        """Nothing can be set on or deleted from a row."""
        row = Row({"text": "a"})
        with pytest.raises(AttributeError, match="immutable; cannot set 'text'"):
            row.text = "b"
        with pytest.raises(AttributeError, match="immutable; cannot delete 'text'"):
            del row.text

    def test_differs_by_target_and_from_other_types(self) -> None:
        """Rows are equal only to rows with the same target; a row is always true."""
        assert Row({"a": 1}, target="a") != Row({"a": 1})
        assert Row({"a": 1}) != {"a": 1}
        assert Row({})
        assert repr(Row({"a": 1})) == "Row(a=1)"

    @given(st.dictionaries(st.text(), VALUES, min_size=1))
    def test_survives_pickle_and_copy(self, values: dict[str, Any]) -> None:
        """A pickled or copied row is equal and has an equal hash, whatever it holds."""
        row = Row(values, target=next(iter(values)))
        for other in (pickle.loads(pickle.dumps(row)), copy.deepcopy(row)):
            assert other == row
            assert hash(other) == hash(row)


class TestRead:
    def test_csv_reports_the_first_line_of_a_record(self, write: Write) -> None:
        """With line breaks inside quotes, an error names the real line of the file."""
        path = write("a.csv", 'text,label\n"one\ntwo",x\n\nthree,\n')
        with pytest.raises(DataError, match=r"a.csv line 5: the target 'label' is empty; fill it or drop the row"):
            Dataset.read(path, target="label")

    def test_csv_values_stay_as_written(self, write: Write) -> None:
        """A column becomes numbers only if nothing is lost by it; an empty cell is empty text."""
        path = write("a.csv", "code,price,count,note,label\n007,1.50,1,NA,yes\n1,2.0,2.5,,no\n")
        rows = Dataset.read(path, target="label").rows
        assert rows[0].fields == Row({"code": "007", "price": "1.50", "count": 1, "note": "NA"})
        assert rows[1].fields == Row({"code": "1", "price": "2.0", "count": 2.5, "note": ""})

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    def test_csv_with_byte_order_mark_and_any_newline(self, write: Write, newline: str) -> None:
        """A byte order mark is no part of the first name, and old line ends work."""
        path = write("a.csv", newline.join(["\ufefftext,label", "a\u2028b,x", "c,y"]))
        assert [row.text for row in Dataset.read(path, target="label").rows] == ["a\u2028b", "c"]

    def test_csv_takes_long_fields(self, write: Write) -> None:
        """A document longer than the csv module's own limit is read, and the limit is left as it was."""
        import csv

        before = csv.field_size_limit()
        path = write("a.csv", f"text,label\n{'x' * 200_000},a\n")
        assert len(Dataset.read(path, target="label").rows[0].text) == 200_000
        assert csv.field_size_limit() == before

    def test_tsv(self, write: Write) -> None:
        """A tsv file is separated by tabs, and commas mean nothing in it."""
        assert Dataset.read(write("a.tsv", "text\tlabel\na, b\tx\n"), target="label").rows[0].text == "a, b"

    def test_jsonl(self, write: Write) -> None:
        """Each line is an object; blank lines are skipped and a missing field is None."""
        path = write("a.jsonl", '{"text": "a", "tags": [1, NaN], "label": 1}\n\n{"text": "b", "label": 2}\n')
        data = Dataset.read(path, target="label")
        assert [row.fields for row in data.rows] == [
            Row({"text": "a", "tags": [1, None]}),
            Row({"text": "b", "tags": None}),
        ]
        assert data.labels == ["1", "2"]
        assert data.name == "a"

    def test_json_reports_the_line_of_an_item(self, write: Write) -> None:
        """In a json list, an error names the line on which the object starts."""
        path = write("a.json", '[\n  {"text": "a",\n   "label": 1},\n\n  {"text": "b", "label": null}]')
        with pytest.raises(DataError, match=r"a.json line 5: the target 'label' is empty"):
            Dataset.read(path, target="label")

    def test_every_format_gives_the_same_rows(self, write: Write, tmp_path: Path) -> None:
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
            ("a.csv", "", "a.csv: the file is empty; it needs"),
            ("a.csv", "\ufeff\n", "a.csv: the file is empty; it needs"),
            ("a.csv", "text,label\n", "a.csv: there are no rows; at least one"),
            ("a.jsonl", "\n \n", "a.jsonl: the file is empty"),
            ("a.json", "[]", "a.json: there are no rows"),
            ("a.csv", "text,kind\na,x\n", "a.csv: there is no target column 'label'; there are: text, kind"),
            ("a.csv", "label\nx\n", "a.csv: there is no column but the target"),
            ("a.csv", "text,label\na,x\nb,NaN\n", "a.csv line 3: the target 'label' is empty"),
            (
                "a.csv",
                "text,label\na,b,x\n",
                "a.csv line 2: the row has 3 fields but the header has 2; .* ','",
            ),
            ("a.csv", "text,label\na\n", "a.csv line 2: the row has 1 fields but the header has 2"),
            ("a.csv", "text,text\na,x\n", "a.csv line 1: the column 'text' appears twice; rename"),
            ("a.csv", ",text,label\n0,a,x\n", "a.csv line 1: column 1 has no name; name it"),
            ("a.csv", 'text,label\na,x\n"b,y\n', "a.csv line 3: not valid csv .*; close the quotes"),
            ("a.csv", 'text,label\n"a" b,y\n', "a.csv line 2: not valid csv .* double those inside"),
            ("a.csv", b"text,label\na,x\nb\xe9,y\n", "a.csv line 3: the byte 0xe9 is not UTF-8; save"),
            ("a.csv", b"\xef\xbb\xbftext,label\na,x\nb\xe9,y\n", "a.csv line 3: the byte 0xe9 is not UTF-8"),
            (
                "a.jsonl",
                '{"text": "a", "label": 1}\n{"text": }\n',
                r"a.jsonl line 2: not valid JSON \(.* column 10",
            ),
            ("a.jsonl", '{"text": "a", "text": 1}', "a.jsonl line 1: .*the key 'text' appears twice"),
            ("a.jsonl", "[1]", "a.jsonl line 1: a row must be a JSON object, not a list"),
            ("a.jsonl", '{"text": "\\ud800", "label": 1}', "a.jsonl line 1: the value of 'text' holds half"),
            ("a.jsonl", "[" * 100_000, "a.jsonl line 1: not valid JSON"),
            ("a.json", '{"rows": []}', "a.json: a json file must hold a list of objects, not an object"),
            ("a.json", '[\n{"a": 1},\n]', "a.json line [23]: not valid JSON"),
            ("a.json", '[{"a": 1},\n7]', "a.json line 2: a row must be a JSON object, not a number"),
            ("a.parquet", "nonsense", "a.parquet: not a parquet file .*; write it again"),
            ("a.txt", "text,label\n", r"a.txt: the suffix '.txt' is not known; use one of: .csv, .json"),
        ],
    )
    def test_broken_files(self, write: Write, name: str, content: str | bytes, message: str) -> None:
        """Every broken file is one line that names the file, the line where there is one, and the remedy."""
        with pytest.raises(DataError, match=message) as caught:
            Dataset.read(write(name, content), target="label")
        assert "\n" not in str(caught.value)

    def test_missing_and_unreadable_files(self, tmp_path: Path) -> None:
        """A file that is not there, or a folder, is a DataError."""
        with pytest.raises(DataError, match=r"none.csv: the file does not exist; check the path"):
            Dataset.read(tmp_path / "none.csv", target="label")
        (tmp_path / "folder.csv").mkdir()
        with pytest.raises(DataError, match=r"folder.csv: the file cannot be read \(.+\); check the path"):
            Dataset.read(tmp_path / "folder.csv", target="label")

    def test_parquet_without_pyarrow(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without pyarrow the error names the extra to install."""

        def refuse(path: Path) -> None:
            raise ImportError("no pyarrow")

        monkeypatch.setattr(pd, "read_parquet", refuse)
        with pytest.raises(MissingExtra, match=r"'prompt_search\[parquet\]'"):
            Dataset.read(write("a.parquet", "x"), target="label")

    @settings(max_examples=50)
    @given(
        st.lists(
            st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), st.integers()),
            min_size=1,
        )
    )
    def test_jsonl_round_trip(self, pairs: list[tuple[str, int]]) -> None:
        """What is written as jsonl is read back as it was."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.jsonl")
            lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in pairs]
            path.write_text("\n".join(lines), encoding="utf-8", newline="")
            data = Dataset.read(path, target="label")
        assert [(row.text, row.label) for row in data.rows] == pairs


class TestTable:
    def test_values_become_plain_python(self) -> None:
        """NumPy scalars, arrays, missing values and dates arrive as plain Python."""
        frame = pd.DataFrame(
            {
                "n": np.array([1, 2]),
                "x": [1.5, np.nan],
                "flag": np.array([True, False]),
                "list": [np.array([1, 2]), (3,)],
                "when": [pd.Timestamp("2024-01-02"), pd.NaT],
                "maybe": pd.array([1, None], dtype="Int64"),
                "label": ["a", "b"],
            }
        )
        first, second = Dataset(frame, target="label").rows
        assert first.fields == Row(
            {"n": 1, "x": 1.5, "flag": True, "list": [1, 2], "when": "2024-01-02T00:00:00", "maybe": 1}
        )
        assert second.fields == Row({"n": 2, "x": None, "flag": False, "list": [3], "when": None, "maybe": None})
        assert [type(first[name]) for name in ("n", "x", "flag")] == [int, float, bool]

    def test_decimals_become_floats(self) -> None:
        """A Decimal, as parquet gives them, is a float."""
        from decimal import Decimal

        assert make(["a"], [Decimal("1.5")]).rows[0].target == 1.5

    def test_anything_with_to_pandas_is_taken(self) -> None:
        """A Hugging Face table is taken by its to_pandas."""

        class Table:
            def to_pandas(self) -> pd.DataFrame:
                return pd.DataFrame({"text": ["a"], "label": ["x"]})

        assert Dataset(Table(), target="label").rows[0].text == "a"

    def test_columns_are_renamed(self) -> None:
        """columns= maps a field to its source; swapping two names works."""
        frame = pd.DataFrame({"body": ["b"], "text": ["t"], "label": ["x"]})
        data = Dataset(frame, target="intent", columns={"text": "body", "body": "text", "intent": "label"})
        assert data.rows[0] == Row({"text": "b", "body": "t", "intent": "x"}, target="intent")
        assert data.fields == ["text", "body"]

    @pytest.mark.parametrize(
        ("frame", "options", "message"),
        [
            ({"a": [1]}, {}, "must be a DataFrame or have to_pandas.., not dict"),
            (pd.DataFrame({"text": [], "label": []}), {}, "tickets: there are no rows"),
            (pd.DataFrame([["a", "x"]], columns=["text", "text"]), {}, "the column 'text' appears twice"),
            (
                pd.DataFrame({"text": ["a"], "label": [np.nan]}),
                {},
                r"tickets: row 0 \(the first is 0\): the target",
            ),
            (pd.DataFrame({"text": ["a"], "label": [" "]}), {}, "the target 'label' is empty"),
            (pd.DataFrame({"text": ["a"], "label": [[]]}), {}, "the target 'label' is empty"),
            (
                pd.DataFrame({"text": [object()], "label": ["x"]}),
                {},
                "the value of 'text' is a object; make it",
            ),
            (
                pd.DataFrame({"text": ["a"]}),
                {"columns": {"body": "txt"}},
                "'body' from the column 'txt', which is not",
            ),
            (
                pd.DataFrame({"text": ["a"], "b": ["c"]}),
                {"columns": {"text": "b"}},
                "two columns are called 'text'",
            ),
            (
                pd.DataFrame({"text": ["a"], "label": ["x"]}),
                {"split": "side"},
                "no split column 'side'; there are",
            ),
            (
                pd.DataFrame({"text": ["a"], "label": ["x"]}),
                {"split": "label"},
                "cannot be both target and split",
            ),
            (
                pd.DataFrame({"text": ["a"], "label": ["x"], "side": ["train"]}),
                {"split": "side"},
                "row 0 .* the split column 'side' must say 'search' or 'test', not 'train'",
            ),
        ],
    )
    def test_broken_tables(self, frame: Any, options: dict[str, Any], message: str) -> None:
        """Every broken table is a DataError that says which rule it breaks."""
        with pytest.raises(DataError, match=message):
            Dataset(frame, target="label", name="tickets", **options)

    def test_a_word_nan_in_a_table_is_a_label(self) -> None:
        """Only a file of text can mean a missing number by the word NaN; a table has a real one."""
        assert make(["a"], ["nan"]).labels == ["nan"]

    def test_frame_returns_a_copy_of_everything(self) -> None:
        """The table that comes back makes an equal data set, split included."""
        frame = pd.DataFrame({"text": ["a", "b"], "label": [1, 2], "side": ["search", "test"]})
        data = Dataset(frame, target="label", split="side")
        again = Dataset(data.frame(), target="label", split="side")
        assert again.fingerprint == data.fingerprint
        assert data.fields == ["text"]

    def test_labels_of_lists_are_their_members(self) -> None:
        """A target that lists several accepted answers gives each of them as a label."""
        assert make(["a", "b"], [["x", "y"], ["y", "z"]]).labels == ["x", "y", "z"]

    def test_fingerprint_follows_the_content_only(self) -> None:
        """Names and column order do not change the fingerprint; a value, row order, target and split do."""
        frame = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})
        base = Dataset(frame, target="label").fingerprint
        assert Dataset(frame[["label", "text"]], target="label", name="other").fingerprint == base
        others = [
            Dataset(frame.replace("a", "A"), target="label"),
            Dataset(frame[::-1], target="label"),
            Dataset(frame, target="text"),
            Dataset(frame.assign(side=["search", "test"]), target="label", split="side"),
        ]
        assert len({base, *(other.fingerprint for other in others)}) == 5

    def test_head_takes_the_first_rows(self) -> None:
        """head gives the first rows and leaves the data set as it was."""
        data = make(["a", "b", "c"], ["x", "y", "x"])
        assert [row.text for row in data.head(2).rows] == ["a", "b"]
        assert len(data.head(9)) == len(data) == 3
        with pytest.raises(InputError, match="must be at least 1, not 0"):
            data.head(0)

    def test_few_repeated_plain_targets_are_categorical(self) -> None:
        """A target is a class if it has few values, hardly any of them only once, and none is a list."""
        assert make(list("abcd"), list("xyxy")).is_categorical
        assert not make(list("abc"), list("xyx")).is_categorical
        assert not make(list("ab"), [["x"], ["x"]]).is_categorical
        assert not make(["a"] * 102, [i // 2 for i in range(102)]).is_categorical
        assert make(["a"] * 20, ["x", "y"] * 9 + ["x", "z"]).is_categorical
        assert not make(["a"] * 20, ["x", "y"] * 9 + ["w", "z"]).is_categorical

    def test_class_with_one_row_is_on_one_side(self) -> None:
        """A class of a single row does not keep the others from being split in proportion."""
        data = make([f"text {i}" for i in range(61)], ["x", "y"] * 30 + ["z"])
        splits = data.splits(0.3, 0)
        targets = [data.rows[index].target for index in splits.test]
        assert [targets.count(label) for label in "xy"] == [9, 9]
        assert data.labels == ["x", "y", "z"]
        assert sorted([*splits.search, *splits.test]) == list(range(61))

    def test_html_is_escaped(self) -> None:
        """Markup in the data is shown, not executed, and long text is shortened."""
        shown = make(["<script>" + "x" * 500], ["y"])._repr_html_()
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown
        assert len(shown) < 600 + len(STYLE)


class TestSplits:
    def test_is_stratified_and_exact(self) -> None:
        """Each class has its share of the test, which has the size asked for."""
        data = make([f"t{i}" for i in range(100)], ["a"] * 60 + ["b"] * 30 + ["c"] * 10)
        split = data.splits(0.3, 0)
        assert Counter(data.rows[index].target for index in split.test) == {"a": 18, "b": 9, "c": 3}
        assert len(data.splits(31, 0).test) == 31

    def test_depends_on_seed_and_content_not_on_order(self) -> None:
        """The same rows in another order are split alike, another seed splits them otherwise."""
        texts = [f"t{i}" for i in range(40)]
        shuffled = random.Random(1).sample(texts, len(texts))

        def test_texts(texts: list[str], seed: int) -> set[str]:
            data = make(texts, [text[-1] in "02468" for text in texts])
            return {data.rows[index].text for index in data.splits(10, seed).test}

        assert test_texts(texts, 0) == test_texts(shuffled, 0)
        assert test_texts(texts, 0) != test_texts(texts, 1)

    @settings(max_examples=100)
    @given(
        st.lists(st.tuples(st.sampled_from(["A b", "a  B", "c", "d", "E", "e ", "f", "g"]), st.sampled_from("xyz"))),
        st.floats(0.01, 0.99),
        st.integers(0, 5),
    )
    def test_repeated_rows_stay_together(self, pairs: list[tuple[str, str]], test: float, seed: int) -> None:
        """Both sides are disjoint and cover all, the test is no larger than asked, no row is on both."""
        if len(pairs) < 4 or len({text.casefold().replace(" ", "") for text, _ in pairs}) < 4:
            return
        data = make([text for text, _ in pairs], [label for _, label in pairs])
        try:
            split = data.splits(test, seed)
        except DataError:
            return  # the smallest group is larger than the test
        assert sorted(split.search + split.test) == list(range(len(pairs)))
        assert 1 <= len(split.test) <= max(1, round(test * len(pairs)))

        def texts(indices: tuple[int, ...]) -> set[str]:
            return {" ".join(pairs[index][0].casefold().split()) for index in indices}

        assert not texts(split.search) & texts(split.test)

    @given(
        st.lists(st.tuples(st.integers(0, 12), st.sampled_from("ab")), min_size=4, max_size=60),
        st.integers(2, 5),
        st.integers(0, 3),
    )
    def test_folds_part_all_rows(self, content: list[tuple[int, str]], count: int, seed: int) -> None:
        """Every row is in one fold, repeated rows in the same one; folds and classes in them are of nearly one size."""
        data = Dataset(
            pd.DataFrame([(f"text {n}", label) for n, label in content], columns=["text", "label"]), target="label"
        )
        distinct = {number for number, _ in content}
        if len(distinct) < max(count, 4):
            with pytest.raises(DataError, match=f"{count} folds need at least {max(count, 4)} distinct rows"):
                data.folds(count, seed)
            return
        folds = data.folds(count, seed)
        assert sorted(row for fold in folds for row in fold) == list(range(len(data)))
        held = [{data.rows[row]["text"] for row in fold} for fold in folds]
        assert sum(map(len, held)) == len(distinct)
        assert data.folds(count, seed) == folds
        for fold in folds:
            assert data.splits(fold, seed).test == fold
        if len(distinct) == len(content):
            for label in "ab" if data.is_categorical else ():
                sizes = [sum(data.rows[row].target == label for row in fold) for fold in folds]
                assert max(sizes) - min(sizes) <= 1

    def test_listed_test_rows(self) -> None:
        """Rows given by number are the test, none may be; unknown ones and half of a repetition are refused."""
        data = Dataset(pd.DataFrame({"text": ["one", "two", "three", "Two ", "five"], "label": "a"}), target="label")
        assert data.splits((4, 0), 0).test == (0, 4)
        assert data.splits((), 0).search == (0, 1, 2, 3, 4)
        with pytest.raises(
            InputError, match="numbers from 0 to 4 that leave at least 2 rows to search on; got 1 from 5"
        ):
            data.splits((5,), 0)
        with pytest.raises(InputError, match="got 4 from 0 to 3"):
            data.splits((0, 1, 2, 3), 0)
        with pytest.raises(DataError, match="row 1 and row 3 repeat each other, so both or none can be test rows"):
            data.splits((1,), 0)

    def test_folds_refused(self) -> None:
        """One fold is none, and a user's own split is not overruled."""
        rows = pd.DataFrame({"text": list("abcdef"), "label": "a", "split": ["test", "test", *["search"] * 4]})
        with pytest.raises(InputError, match="at least 2 folds, not 1"):
            Dataset(rows, target="label").folds(1, 0)
        with pytest.raises(DataError, match="the split column 'split' says which rows are for the test"):
            Dataset(rows, target="label", split="split").folds(2, 0)

    def test_a_given_split_is_kept(self) -> None:
        """A split column decides, whatever the size and seed asked for."""
        frame = pd.DataFrame(
            {"text": list("abcd"), "label": list("xyxy"), "side": ["search", "Test ", "test", "search"]}
        )
        assert Dataset(frame, target="label", split="side").splits(1, 0) == Splits((0, 3), (1, 2))

    def test_a_row_on_both_sides_is_refused(self, write: Write) -> None:
        """A duplicate across the two sides of a given split is an error that names both lines."""
        path = write("a.csv", "text,label,side\na b,x,search\nb,y,test\nc,x,test\nA  b,x,test\n")
        with pytest.raises(DataError, match=r"a.csv line 5: this row repeats line 2 .* put both on one side"):
            Dataset.read(path, target="label", split="side").splits(1, 0)
        frame = pd.DataFrame({"text": list("abca"), "label": list("xyxy"), "side": ["search"] * 3 + ["test"]})
        with pytest.raises(DataError, match=r"row 3 .* repeats row 0"):
            Dataset(frame, target="label", split="side").splits(1, 0)

    def test_impossible_splits(self) -> None:
        """Too few rows, too few distinct ones, an empty side or a wrong size are errors."""
        data = make(list("abcd"), list("xyxy"))
        with pytest.raises(DataError, match="needs at least 4 rows, not 3; add rows"):
            data.head(3).splits(1, 0)
        for size in (0, 3):
            with pytest.raises(InputError, match=f"between 1 and 2 of the 4 rows, not {size}"):
                data.splits(size, 0)
        with pytest.raises(InputError, match=r"between 0 and 1, not 1\.5"):
            data.splits(1.5, 0)
        with pytest.raises(DataError, match=r"no 1 of the 4 rows .* repeat each other .2 distinct."):
            make(["a", "A", "b", "B"], list("xyxy")).splits(1, 0)
        frame = pd.DataFrame({"text": list("abcd"), "label": list("xyxy"), "side": ["test"] * 4})
        with pytest.raises(DataError, match="must put rows on both sides, not 0 on search and 4 on test"):
            Dataset(frame, target="label", split="side").splits(1, 0)


def test_reading_a_csv_does_not_import_pandas(write: Write) -> None:
    """The command line stays quick: pandas is imported only for tables."""
    import subprocess

    path = write("a.csv", "text,label\na,x\n")
    code = "import sys; from prompt_search.data.dataset import Dataset; Dataset.read(sys.argv[1], target='label')"
    code += "; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 0
