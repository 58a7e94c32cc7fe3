"""Opening a database: URLs that can be opened and those that cannot, readers while it is written, memory."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from prompt_search.errors import StorageError
from prompt_search.llm.messages import Response
from prompt_search.storage.database import sqlite_file, storage_url
from prompt_search.storage.store import Store, open_to_read
from tests.storage.examples import keep, request


def test_memory_is_shared_between_threads() -> None:
    """A store in memory is one database for the thread that opened it and for the one that runs the study."""
    store = Store("sqlite://")
    thread = threading.Thread(target=lambda: keep(store, Response(text="yes")))
    thread.start()
    thread.join()
    assert len(store.calls("s")) == 1


def test_file_is_open_to_readers_while_it_is_written(storage: str) -> None:
    """Two stores on one file see each other's commits."""
    first, second = Store(storage), Store(storage)
    key = keep(first, Response(text="yes"))
    assert second.response(key) is not None
    keep(second, Response(text="no"), request("other"))
    assert len(first.calls("s")) == 2


def test_reading_makes_no_database(tmp_path: Path) -> None:
    """A file that is missing is not made by those who want to read it."""
    file = tmp_path / "study.db"
    with pytest.raises(StorageError) as caught:
        open_to_read(f"sqlite:///{file}")
    assert str(caught.value) == f"{file}: there is no such database; run a study first, or give its --storage"
    assert not file.exists()
    Store(f"sqlite:///{file}").close()
    open_to_read(f"sqlite:///{file}").close()


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///a.db", Path("a.db")),
        ("sqlite:////x/a.db?timeout=5", Path("/x/a.db")),
        ("sqlite+pysqlite:///a.db", Path("a.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:a.db?mode=ro&uri=true", None),
        ("postgresql://u:p@h/db", None),
        ("study.db", Path("study.db")),
        ("sqlite://study.db", None),
        ("postgresql://u:p@h:port/db", None),
    ],
)
def test_file_of_a_url(url: str, file: Path | None) -> None:
    """Only SQLite in a file has one."""
    assert sqlite_file(url) == file


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "storage '' cannot be opened: Could not parse SQLAlchemy URL"),
        (
            "study",
            "storage 'study' cannot be opened: Could not parse .*; give the path of a file such as study.db",
        ),
        ("file:study.db", "storage 'file:study.db' cannot be opened: Could not parse"),
        ("nosuch://x", "storage 'nosuch://x' cannot be opened: Can't load plugin"),
        ("sqlite:////nonexistent/folder/x.db", "unable to open database file; make its folder first"),
        ("mysql+pymysql://u:hunter2@h/db", r"mysql\+pymysql://u:\*\*\*@h/db' .* No module named 'pymysql'; install"),
        ("postgresql://u:hunter2@h:port/db", r"storage '\*\*\*' cannot be opened: invalid literal for int"),
        ("postgres//u:hunter2@h", r"storage '\*\*\*' cannot be opened"),
        ("mysql+pymysql://h/db?password=hunter2", "password=hidden"),
    ],
)
def test_url_that_cannot_be_opened_is_told(url: str, message: str) -> None:
    """A bad URL, a missing folder and a missing driver are one line with the remedy and without the password."""
    with pytest.raises(StorageError, match=message) as caught:
        Store(url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_missing_postgres_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL without its driver says which extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"pip install 'prompt_search\[postgres\]'") as caught:
        Store("postgresql+psycopg://user:hunter2@localhost/db")
    assert "hunter2" not in str(caught.value)


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """A text file is not overwritten."""
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database, whatever their name may be\n" * 50)
    with pytest.raises(StorageError, match="file is not a database"):
        Store(f"sqlite:///{path}")
    assert path.read_text().startswith("these are notes")


def test_other_schema_version_is_refused(tmp_path: Path) -> None:
    """A file of another release is neither read nor changed."""
    path = tmp_path / "study.db"
    Store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE prompt_search_about SET schema_version = 99")
    connection.close()
    with pytest.raises(StorageError, match="has schema version 99, this release reads up to 8; use another file or"):
        Store(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("study.db", "sqlite:///study.db"),
        ("./runs/x.sqlite", "sqlite:///runs/x.sqlite"),
        ("/data/my studies/a.db3", "sqlite:////data/my studies/a.db3"),
        (" study.db ", "sqlite:///study.db"),
        (Path("runs") / "study", "sqlite:///runs/study"),
        (Path("/data/100%.db"), "sqlite:////data/100%.db"),
        ("~/study.db", f"sqlite:///{Path.home()}/study.db"),
        ("sqlite:///~/study.db", f"sqlite:///{Path.home()}/study.db"),
        ("sqlite:////abs/~x.db", "sqlite:////abs/~x.db"),
        ("sqlite:///study.db?timeout=5", "sqlite:///study.db?timeout=5"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgres://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
        ("postgresql://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
        ("postgresql+psycopg://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
    ],
)
def test_storage_is_given_as_a_path_or_a_url(given: str | Path, url: str) -> None:
    """A plain path is a file, and a URL stays the one that it is."""
    assert storage_url(given) == url


def test_every_way_to_name_a_file_opens_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, a Path and a URL of one file are one storage, whatever characters its name has."""
    monkeypatch.chdir(tmp_path)
    name = "my study 100%.db"
    for given in (name, f"./{name}", Path(name), tmp_path / name, f"sqlite:///{name}", f"sqlite:///{tmp_path / name}"):
        with closing(Store(given)) as store:
            assert store.url.database is not None
            assert (Path(store.url.database).resolve(), sqlite_file(given)) == (
                tmp_path / name,
                Path(store.url.database),
            )
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == [name]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://study.db", "'sqlite://study.db' names no file; write sqlite:///study.db"),
        ("sqlite:study.db", "'sqlite:study.db' names no file; write sqlite:///study.db"),
        ("sqlite:/data/study.db", "'sqlite:/data/study.db' names no file; write sqlite:////data/study.db"),
        (
            "sqlite:///a.db?mode=ro",
            "takes only of an address that .*; write sqlite:///file:a.db.mode=ro&uri=true,",
        ),
        (
            "sqlite:///file:a.db",
            (
                "'sqlite:///file:a.db' would be a file whose name begins with file:; write sqlite:///a.db or, for "
                r"SQLite's own address, sqlite:///file:a.db\?uri=true"
            ),
        ),
        ("sqlite:///file:a.db?mode=ro", r"own address, sqlite:///file:a.db\?mode=ro&uri=true"),
        ("folder/a?b.db", r"storage 'folder/a\?b.db' has a '\?', which begins the settings of a URL; rename the file"),
        (Path("a?b.db"), r"storage 'a\?b.db' has a '\?'"),
    ],
)
def test_url_of_another_file_than_it_seems_is_refused(url: str | Path, message: str) -> None:
    """A URL that SQLAlchemy would open as a database in memory, or without what it asks for, is told with the cure."""
    with pytest.raises(StorageError, match=message):
        Store(url)
