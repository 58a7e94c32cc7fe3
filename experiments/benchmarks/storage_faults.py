"""A study whose storage goes away: terminated, restarted, read-only, full, locked, deleted, corrupted, dropped.

The command line runs a study in a process of its own, against a server in another process that counts what it is asked,
and against a real SQLite file or a real PostgreSQL server. At each moment (first response, midway, finals, sealed test,
writing the result) the server keeps its answers until the fault is there. Then the fault is taken away, and the same
line runs again. For each cell:

- a run ends with 0 only if its result is stored; else with one line on standard error and an exit code that is not 0;
- where the stored responses are still there, the same line finishes with the tables of the study that nobody disturbed,
  and the server sees no more requests twice than were in flight;
- where they are gone, the same line either refuses in one line without a request, or says first that nothing is stored.

Prints a table of the cells; the exit code is 1 where a cell is not as it should be. Needs root (mounts, `chattr`) and
PostgreSQL's programs.

    python experiments/benchmarks/storage_faults.py [--backend sqlite] [--fault full] [--moment midway]
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import sqlalchemy as sql

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.budgets import SOURCE, data
from experiments.benchmarks.kills import counts, served, started, tables
from experiments.benchmarks.postgresql import Postgres
from prompt_search import cli
from prompt_search.study.snapshot import Snapshot

CALLS, IN_FLIGHT = 120, 4
MOMENTS = ("first response", "midway", "finals", "sealed test", "result")
PASSES_S = 5.0
"""Seconds after which a fault ends that passes by itself."""

SHORT_WAIT_S = 6.0
"""Seconds that a run waits for a storage, where waiting does not help."""

LONGEST_S = 100.0
"""Seconds after which a run counts as one that hangs."""

STUDY = """
import os, urllib.request
import prompt_search as ps
from experiments.benchmarks.budgets import SOURCE, data
from prompt_search.storage import faults
from prompt_search.storage.versions import Versions

study = ps.Study(
    template=ps.Template(SOURCE),
    data=data(),
    model=ps.Model("counted", base_url=os.environ["COUNTED"]),
    max_concurrency=4,
    storage=os.environ["STORED"],
    name="study",
)
saved = Versions.save_trials

def save_trials(self, version, trials, samples, *, at_end=None):
    if at_end is not None and os.environ.get("WAITS"):
        urllib.request.urlopen(os.environ["COUNTED"].removesuffix("/v1") + "/wait").read()
    saved(self, version, trials, samples, at_end=at_end)

Versions.save_trials = save_trials
if "LONGEST_WAIT_S" in os.environ:
    faults.LONGEST_WAIT_S = float(os.environ["LONGEST_WAIT_S"])
"""


@dataclass(frozen=True)
class Ran:
    """A run of the command line: exit code, standard error, seconds, requests that the server saw until its end."""

    code: int
    lines: Sequence[str]
    seconds: float
    requests: int

    @property
    def notices(self) -> list[str]:
        """What it said while it went on."""
        return [line for line in self.lines if line.startswith(("study: nothing", "storage ", "prompt_search: "))]

    @property
    def errors(self) -> list[str]:
        return [line for line in self.lines if line not in self.notices]


@dataclass(frozen=True)
class Fault:
    """What happens to a storage, and how it ends.

    Attributes:
        begins: makes it, in a place.
        ends: takes it away again.
        loses: whether stored responses are lost.
        passes: whether it ends by itself, so that a run that waits can end well.
        waits: whether a run that cannot end well waits first.
        cures: what a user does where the same line is refused; None: nothing has to be done.
    """

    begins: Callable[[Place], None]
    ends: Callable[[Place], None] = lambda place: None
    loses: bool = False
    passes: bool = False
    waits: bool = False
    cures: Callable[[Place], None] | None = None


@dataclass
class Place:
    """Where the storage of a cell is, with what a fault has to remember."""

    url: str
    folder: Path
    server: Postgres | None = None
    database: str = ""
    open: list[object] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "study.db"

    def files(self) -> list[Path]:
        """SQLite's files."""
        return sorted(self.folder.glob("study.db*"))

    def execute(self, *statements: str) -> None:
        """In PostgreSQL, as another client."""
        assert self.server is not None
        self.server.execute(*statements, database=self.database)


# SQLite


def immutable(place: Place, sign: str) -> None:
    kept = [str(path) for path in place.files() if not path.name.endswith("-shm")]  # which is memory
    subprocess.run(["chattr", f"{sign}i", *kept], check=True)


def filled(place: Place) -> None:
    with (place.folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def locked(place: Place) -> None:
    connection = sqlite3.connect(place.file, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    place.open.append(connection)


def unlocked(place: Place) -> None:
    for connection in place.open:
        assert isinstance(connection, sqlite3.Connection)
        connection.close()


def deleted(place: Place) -> None:
    for path in place.files():
        path.unlink()


def replaced(place: Place) -> None:
    other = place.folder / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    other.rename(place.file)


def overwritten(place: Place) -> None:
    """Another database is copied over the file, which stays the same file."""
    other = place.folder / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    place.file.write_bytes(other.read_bytes())
    other.unlink()


def corrupted(place: Place) -> None:
    for path in place.files():
        if not path.name.endswith("-shm"):
            path.write_bytes(b"no database " * (path.stat().st_size // 12 + 1))


def dropped_in_file(place: Place) -> None:
    with sqlite3.connect(place.file, timeout=30) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            connection.execute(f"DROP TABLE {name}")
    connection.close()


def one_dropped_in_file(place: Place) -> None:
    with sqlite3.connect(place.file, timeout=30) as connection:
        connection.execute("DROP TABLE prompt_search_calls")
    connection.close()


# PostgreSQL


def of_server(place: Place) -> Postgres:
    assert place.server is not None
    return place.server


def terminated(place: Place) -> None:
    of_server(place).execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{place.database}'"
    )


def read_only(place: Place) -> None:
    of_server(place).execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    time.sleep(0.5)


def writable(place: Place) -> None:
    engine = sql.create_engine(of_server(place).url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER SYSTEM RESET default_transaction_read_only")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    engine.dispose()
    time.sleep(0.5)


def full(place: Place) -> None:
    """PostgreSQL's own error, of a table that has no room: on real disks its log is full at the same time."""
    place.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$",
        *(f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION full_disk()" for table in OWN),
    )


def not_full(place: Place) -> None:
    place.execute("DROP FUNCTION full_disk CASCADE")


OWN = tuple(f"prompt_search_{name}" for name in ("calls", "responses", "trials", "samples", "versions", "decisions"))


def table_locked(place: Place) -> None:
    engine = sql.create_engine(of_server(place).url(place.database))
    connection = engine.connect()
    connection.exec_driver_sql(f"LOCK TABLE {', '.join(OWN)} IN ACCESS EXCLUSIVE MODE")
    place.open += [connection, engine]


def table_unlocked(place: Place) -> None:
    for each in place.open:
        if isinstance(each, sql.Connection):
            each.close()
        elif isinstance(each, sql.Engine):
            each.dispose()


def database_dropped(place: Place) -> None:
    of_server(place).execute(f"DROP DATABASE {place.database} WITH (FORCE)")


def database_made(place: Place) -> None:
    of_server(place).execute(f"CREATE DATABASE {place.database}")


def database_made_anew(place: Place) -> None:
    database_dropped(place)
    database_made(place)


def pages_corrupted(place: Place) -> None:
    server = of_server(place)
    query = (
        "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind = 'r' AND starts_with(relname, 'prompt_search_')"
    )
    paths = server.execute("CHECKPOINT", query, database=place.database)
    server.stop()
    for path in paths:
        file = server.folder / "data" / path
        file.write_bytes(b"\xaa" * file.stat().st_size)
    server.start()


def dropped(place: Place) -> None:
    names = "SELECT tablename FROM pg_tables WHERE starts_with(tablename, 'prompt_search_')"
    place.execute(*(f"DROP TABLE {name}" for name in of_server(place).execute(names, database=place.database)))


def one_dropped(place: Place) -> None:
    place.execute("DROP TABLE prompt_search_calls")


FAULTS = {
    "sqlite": {
        "read-only": Fault(lambda place: immutable(place, "+"), lambda place: immutable(place, "-")),
        "full": Fault(filled, lambda place: (place.folder / "filler").unlink()),
        "locked for 5 s": Fault(locked, unlocked, passes=True),
        "locked for good": Fault(locked, unlocked, waits=True),
        "deleted": Fault(deleted, loses=True),
        "replaced": Fault(replaced, loses=True),
        "overwritten": Fault(overwritten, loses=True, cures=deleted),
        "corrupted": Fault(corrupted, loses=True, cures=deleted),
        "all tables dropped": Fault(dropped_in_file, loses=True),
        "one table dropped": Fault(one_dropped_in_file, loses=True, cures=deleted),
    },
    "postgresql": {
        "connections terminated": Fault(terminated, passes=True),
        "restarted": Fault(lambda place: of_server(place).stop(), lambda place: of_server(place).start(), passes=True),
        "stopped for good": Fault(
            lambda place: of_server(place).stop(), lambda place: of_server(place).start(), waits=True
        ),
        "read-only": Fault(read_only, writable),
        "full": Fault(full, not_full),
        "locked for 5 s": Fault(table_locked, table_unlocked, passes=True),
        "locked for good": Fault(table_locked, table_unlocked, waits=True),
        "deleted": Fault(database_dropped, database_made, loses=True),
        "corrupted": Fault(pages_corrupted, loses=True, cures=database_made_anew),
        "all tables dropped": Fault(dropped, loses=True),
        "one table dropped": Fault(one_dropped, loses=True, cures=database_made_anew),
    },
}


@contextmanager
def sqlite_place(folder: Path, number: int, *, small: bool) -> Iterator[Place]:
    """A folder for a file, on a ``small`` disk of its own."""
    place = Place(url="", folder=folder / f"disk{number}")
    place.folder.mkdir()
    if small:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place.folder)], check=True)
    place.url = f"sqlite:///{place.file}"
    try:
        yield place
    finally:
        if small:
            subprocess.run(["umount", "-l", str(place.folder)], check=True)


@contextmanager
def postgres_place(folder: Path, number: int, server: Postgres) -> Iterator[Place]:
    """A database of its own."""
    place = Place(url=server.url(f"d{number}"), folder=folder, server=server, database=f"d{number}")
    database_made(place)
    yield place
    database_dropped(place)


def command(arguments: Sequence[str], settings: Mapping[str, str], said: Path) -> None:
    """The command line, in this process; what it says on standard error goes to a file."""
    os.environ.update(settings)
    with said.open("w") as errors, open(os.devnull, "w") as nothing:
        os.dup2(errors.fileno(), 2)
        os.dup2(nothing.fileno(), 1)
    sys.argv = ["prompt-search", *arguments]
    cli.main()


def line(study: Path, place: Place, url: str, **more: str) -> BaseProcess:
    """The command line in a process of its own."""
    arguments = ["run", str(study), "--calls", str(CALLS), "--display", "none"]
    settings = {"COUNTED": url, "STORED": place.url, **more}
    return started(command, arguments, settings, study.with_suffix(".err"))


def ended(process: BaseProcess, study: Path, url: str, began: float) -> Ran:
    """What came of it; a run that hangs is killed."""
    process.join(LONGEST_S)
    hangs = process.is_alive()
    if hangs:
        process.kill()
        process.join()
    seconds = time.monotonic() - began
    lines = [line for line in study.with_suffix(".err").read_text().splitlines() if line.strip()]
    lines += [f"hung for {LONGEST_S:g} s"] * hangs
    return Ran(process.exitcode or 0, lines, seconds, counts(url)["requests"])


def ask(url: str, what: str) -> None:
    urllib.request.urlopen(url.removesuffix("/v1") + what).read()


def disturbed(study: Path, place: Place, url: str, fault: Fault, at: int | None) -> Ran:
    """A run in which a fault begins when the server has seen so many requests; None: before the result is written."""
    waits = {"WAITS": "yes"} if at is None else {}
    if fault.waits:
        waits["LONGEST_WAIT_S"] = str(SHORT_WAIT_S)
    ask(url, f"/hold?at={10**9 if at is None else at}")
    process = line(study, place, url, **waits)
    while process.is_alive() and not counts(url)["held"]:
        time.sleep(0.02)
    time.sleep(0.2)  # others that are in flight
    fault.begins(place)
    began = time.monotonic()
    ask(url, "/release")
    if fault.passes:
        time.sleep(PASSES_S)
        fault.ends(place)
    ran = ended(process, study, url, began)
    if not fault.passes:
        fault.ends(place)
    return ran


def is_stored(place: Place, whole: Sequence[pd.DataFrame]) -> bool:
    """Whether the result is there, for somebody who looks for it."""
    try:
        found = tables(place.url)
    except ps.PromptSearchError:
        return False
    return all(one.equals(other) for one, other in zip(found, whole, strict=True))


def complaints(ran: Ran, what: str) -> list[str]:
    """What is wrong with a run that did not end well, or that went on."""
    wrong = []
    if any("Traceback" in line for line in ran.lines):
        return [f"{what}: traceback"]
    if ran.code not in (0, 1, 2, 4):
        wrong.append(f"{what}: exit code {ran.code}")
    if len(ran.errors) != (ran.code in (1, 2)):
        wrong.append(f"{what}: {len(ran.errors)} lines with exit code {ran.code}")
    return wrong


def check(study: Path, place: Place, url: str, fault: Fault, at: int | None, whole: Sequence[pd.DataFrame]) -> Cell:
    """A cell: the run that is disturbed, and the same line again."""
    first = disturbed(study, place, url, fault, at)
    wrong = complaints(first, "disturbed")
    if first.code == 0 and not is_stored(place, whole):
        wrong.append("disturbed: ended well, and the result is not stored")
    if fault.passes and first.code:
        wrong.append("disturbed: did not wait")
    if fault.waits and first.code and not first.notices:
        wrong.append("disturbed: waited in silence")
    again = ended(line(study, place, url), study, url, time.monotonic())
    wrong += complaints(again, "again")
    if fault.loses and again.code and fault.cures is not None:
        if again.requests > first.requests:
            wrong.append("again: paid before it refused")
        fault.cures(place)
        again = ended(line(study, place, url), study, url, time.monotonic())
        wrong += complaints(again, "cured")
    if again.code or not is_stored(place, whole):
        wrong.append("again: did not finish")
    seen = counts(url)
    twice = seen["requests"] - seen["different"]
    if twice > IN_FLIGHT and not (fault.loses and any("nothing" in each for each in again.notices)):
        wrong.append(f"again: {twice} requests sent twice in silence")
    return Cell(first, again, twice, wrong)


@dataclass(frozen=True)
class Cell:
    """What came of a cell."""

    first: Ran
    again: Ran
    twice: int
    wrong: Sequence[str]

    def row(self, *names: str) -> str:
        first = f"{self.first.code}, {self.first.seconds:.0f} s"
        told = "<br>".join(self.first.lines[-3:])
        parts = *names, first, told, str(self.again.code), str(self.twice), "; ".join(self.wrong)
        return f"| {' | '.join(parts)} |"


def undisturbed(folder: Path, url: str) -> tuple[list[pd.DataFrame], dict[str, int | None]]:
    """The tables of the study that nobody disturbs, and the number of requests at each moment."""
    place = Place(url=f"sqlite:///{folder}/whole.db", folder=folder)
    began: dict[str, int] = {}

    def saw(snapshot: Snapshot) -> None:
        began.setdefault(snapshot.phase, snapshot.calls)

    ps.Study(
        template=ps.Template(SOURCE),
        data=data(),
        model=ps.Model("counted", base_url=url),
        max_concurrency=IN_FLIGHT,
        storage=place.url,
        name="study",
    ).run(CALLS, progress=saw)
    finals, test, done = (began[phase] for phase in ("finalists", "test", "done"))
    return tables(place.url), {
        "first response": 1,
        "midway": finals // 2,
        "finals": (finals + test) // 2,
        "sealed test": (test + done) // 2,
        "result": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A study whose storage goes away.")
    parser.add_argument("--backend", choices=list(FAULTS))
    parser.add_argument("--fault")
    parser.add_argument("--moment", choices=MOMENTS)
    arguments = parser.parse_args()
    exceptions = cells = 0
    print("| backend | fault | moment | exit code | standard error | again | sent twice | exceptions |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        study = folder / "study.py"
        study.write_text(STUDY)
        url = stack.enter_context(served(0.0, strict=False))
        whole, moments = undisturbed(folder, url)
        for backend in FAULTS if arguments.backend is None else [arguments.backend]:
            server = None
            if backend == "postgresql":
                (folder / "server").mkdir()
                server = Postgres(folder / "server")
                server.start()
                stack.callback(server.stop)
            for fault in FAULTS[backend]:
                for moment in MOMENTS:
                    if arguments.fault not in (None, fault) or arguments.moment not in (None, moment):
                        continue
                    cells += 1
                    if server is None:
                        made = sqlite_place(folder, cells, small=fault == "full")
                    else:
                        made = postgres_place(folder, cells, server)
                    with made as place:
                        ask(url, "/reset")
                        cell = check(study, place, url, FAULTS[backend][fault], moments[moment], whole)
                    exceptions += bool(cell.wrong)
                    print(cell.row(backend, fault, moment), flush=True)
    print(f"\n{cells} cells, {exceptions} exceptions")
    raise SystemExit(bool(exceptions))


if __name__ == "__main__":
    main()
