"""Data sets of the hub, read through the packages that know it."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import DataError, MissingExtra

fsspec = pytest.importorskip("fsspec", reason="fsspec, through which files of the hub are read, is not installed")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of the hub by address without ``hf://``, in a filesystem that fsspec takes for the hub's."""
    files: dict[str, bytes] = {}

    base: Any = fsspec.AbstractFileSystem

    class Hub(base):  # type: ignore[misc]
        protocol = "hf"
        cachable = False

        def _open(self, path: str, *rest: Any, **options: Any) -> io.BytesIO:
            if path not in files:
                raise FileNotFoundError(path)
            return io.BytesIO(files[path])

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "hf", Hub)
    return files


@pytest.mark.parametrize("address", ["hf://datasets/me/reviews/data/train.csv", "hf://me/reviews/data/train.csv"])
def test_file_is_read_as_a_file_here_is(hub: dict[str, bytes], address: str) -> None:
    """A file of a data set is read by its suffix, and the data set is named after it."""
    hub["datasets/me/reviews/data/train.csv"] = b"text;label\nnice;007\nawful;008\n"
    data = ps.Dataset.read(address, target="label")
    assert (data.name, [row.target for row in data.rows]) == ("train", ["007", "008"])


def test_fault_names_the_address(hub: dict[str, bytes]) -> None:
    """A broken file, and one that is not there, are told with their address."""
    hub["datasets/me/reviews/a.jsonl"] = b'{"text": 1}\n{"text": \n'
    with pytest.raises(DataError, match=r"^hf://me/reviews/a\.jsonl line 2: ") as told:
        ps.Dataset.read("hf://me/reviews/a.jsonl", target="label")
    assert told.value.line == 2
    hub["datasets/me/reviews/b.csv"] = b"text,label\nnice,\n"
    with pytest.raises(DataError, match=r"^hf://me/reviews/b\.csv line 2: the target 'label' is empty"):
        ps.Dataset.read("hf://me/reviews/b.csv", target="label")
    with pytest.raises(
        DataError, match=r"^hf://me/no/a\.csv: the hub did not give the file: FileNotFoundError: .*; check"
    ):
        ps.Dataset.read("hf://me/no/a.csv", target="label")


class Split:
    """A split as `datasets` has it."""

    features = {"text": object(), "label": SimpleNamespace(names=["bad", "good"])}  # noqa: RUF012

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame({"text": ["nice", "awful"], "label": [1, 0]})


@pytest.mark.parametrize(("address", "revision"), [("hf://me/reviews/test", None), ("hf://me/reviews@v2/test", "v2")])
def test_split_has_the_names_of_its_classes(
    monkeypatch: pytest.MonkeyPatch, address: str, revision: str | None
) -> None:
    """A split is loaded by `datasets`, at its revision; the numbers of classes become their names."""
    asked: list[Any] = []

    def load_dataset(name: str, revision: str | None) -> dict[str, Split]:
        asked.append((name, revision))
        return {"train": Split(), "test": Split()}

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert ps.Dataset.read(address, target="label").labels == ["bad", "good"]
    assert asked == [("me/reviews", revision)]
    with pytest.raises(DataError, match=r"has the splits train, test; give one, such as hf://me/reviews/train$"):
        ps.Dataset.read("hf://me/reviews", target="label")


def test_only_split_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set with one split is read without its name, and what `datasets` raises is told."""
    monkeypatch.setitem(
        sys.modules, "datasets", SimpleNamespace(load_dataset=lambda name, revision: {"train": Split()})
    )
    assert len(ps.Dataset.read("hf://me/reviews", target="label")) == 2

    def away(name: str, revision: str | None) -> Any:
        raise ConnectionError("no\nroute")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=away))
    with pytest.raises(DataError, match="the hub did not give the data set: ConnectionError: no route; check"):
        ps.Dataset.read("hf://me/reviews", target="label")


@pytest.mark.parametrize(
    ("module", "address", "extra"),
    [("fsspec", "hf://me/reviews/a.csv", "hub"), ("datasets", "hf://me/reviews", "datasets")],
)
def test_missing_package_is_told_with_its_line(
    monkeypatch: pytest.MonkeyPatch, module: str, address: str, extra: str
) -> None:
    """Without the package the error has the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"install it with: pip install 'prompt_search\[{extra}\]'$"):
        ps.Dataset.read(address, target="label")


@pytest.mark.parametrize("address", ["hf://reviews", "hf://", "hf:///a/b"])
def test_wrong_address_is_told(address: str) -> None:
    """An address of another form is told with the forms that there are."""
    with pytest.raises(
        DataError, match=r"an address of the hub is hf://datasets/OWNER/NAME/FILE\.csv, hf://OWNER/NAME or"
    ):
        ps.Dataset.read(address, target="label")
