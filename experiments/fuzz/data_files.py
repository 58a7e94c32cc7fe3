"""Coverage-guided fuzzing of data files: whatever the bytes, an error of ours or a data set that can be used.

Run:
    python experiments/fuzz/data_files.py -runs=100000 -timeout=20
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["prompt_search"]):
    from prompt_search.data.dataset import Dataset
    from prompt_search.errors import PromptSearchError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
STARTS = (b"", b"text,label\n", b"text\tlabel\n", b'{"text": "a", "label": "x"}\n', b'[{"text": "a", "label": "x"},')


def try_file(data: bytes, folder: Path) -> None:
    given = atheris.FuzzedDataProvider(data)
    suffix, start = given.PickValueInList(list(SUFFIXES)), given.PickValueInList(list(STARTS))
    file = folder / f"a{suffix}"
    file.write_bytes(start + given.ConsumeBytes(given.remaining_bytes()))
    try:
        read = Dataset.read(file, target="label")
        _ = repr(read), read._repr_html_(), read.fingerprint, read.frame()
    except PromptSearchError as error:
        if "\n" in str(error):
            raise AssertionError(f"the message has more than one line: {error}") from error
    finally:
        file.unlink()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        atheris.Setup(sys.argv, lambda data: try_file(data, Path(made)))
        atheris.Fuzz()
