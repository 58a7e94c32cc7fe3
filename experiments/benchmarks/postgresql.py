"""A real PostgreSQL server on loopback, for benchmarks and tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import sqlalchemy as sql


def programs() -> Path | None:
    """Where PostgreSQL's programs are, None where they are not: Debian keeps them out of the path."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Postgres:
    """A server on loopback, that is gone afterwards; as root it runs as the user ``postgres``.

    Args:
        folder: where its data is.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """

    def __init__(self, folder: Path) -> None:
        found = programs()
        if found is None:
            raise FileNotFoundError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        self._programs = found
        self._become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.folder = folder
        if self._become:
            shutil.chown(folder, "postgres", "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.run("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "tester", "-E", "UTF8", "--no-sync")

    def run(self, program: str, *arguments: str) -> None:
        command = [*self._become, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder}"
        log = f"{self.folder}/log"
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-l", log, "-w", "-o", f"{options} -c fsync=off", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> list[str]:
        engine = sql.create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        found: list[str] = []
        with engine.connect() as connection:
            for statement in statements:
                done = connection.exec_driver_sql(statement)
                found += [str(row[0]) for row in done] if done.returns_rows else []
        engine.dispose()
        return found
