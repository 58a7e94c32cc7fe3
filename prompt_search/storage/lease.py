"""Who may run a study: one process at a time, until it ends or dies.

A lease is a row of the storage that its owner renews; claims on requests belong to a lease and end with it. An owner
whose process is gone from this machine is known to be dead at once, one on another machine when its lease runs out.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from prompt_search.errors import RunError

LEASE_S = 60.0
"""After so many seconds without a sign of life an owner counts as dead."""

RENEWED_S = 10.0
"""How often an owner gives one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process that runs something: ``machine`` tells whether process numbers of two owners can be compared,
    ``started`` tells a process from a later one that got its number."""

    host: str
    machine: str
    process: int
    started: str

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(host=socket.gethostname(), machine=_machine(), process=os.getpid(), started=_started(os.getpid()))

    @property
    def is_gone(self) -> bool:
        """Whether it is known that the process has ended."""
        if os.name != "posix" or self.machine != _machine():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it is there, and someone else's
            pass
        return _started(self.process) != self.started


class Leases(Protocol):
    """What a lease needs of `prompt_search.storage.store.Store`."""

    def take_lease(self, study: str, owner: str, process: Owner, seconds: float) -> None: ...

    def renew_lease(self, owner: str, seconds: float) -> bool: ...

    def end_lease(self, owner: str) -> None: ...


@dataclass
class Lease:
    """Held from ``with`` to its end, and renewed by a thread meanwhile.

    Args:
        leases: where it is written.
        study: what is run.
        on_lost: told once if somebody else has taken it, as happens to a machine that slept for a minute; ``lost`` is
            true then.

    Raises:
        StudyError: somebody else holds it; says who, and until when.
    """

    leases: Leases
    study: str
    on_lost: Callable[[], None] = lambda: None
    lost: bool = field(default=False, init=False)
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __enter__(self) -> Lease:
        self.leases.take_lease(self.study, self.owner, Owner.here(), LEASE_S)
        self._thread = threading.Thread(target=self._renew, name="prompt_search lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.leases.end_lease(self.owner)

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._ended.wait(RENEWED_S):
            try:
                held = self.leases.renew_lease(self.owner, LEASE_S)
                renewed = time.monotonic()
            except RunError:  # the storage may come back in time
                held = time.monotonic() < renewed + LEASE_S - RENEWED_S
            if not held:
                self.lost = True
                self.on_lost()
                return


@cache
def _machine() -> str:
    """The same for two processes whose process numbers can be compared: containers may share a host's name."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:  # not Linux
        parts.append(f"{uuid.getnode():x}")
    return " ".join(parts)


def _started(process: int) -> str:
    """When a process began, as the system counts it; empty where it does not tell."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return "ended" if state in ("Z", "X") else fields[18]  # a zombie has a number, and does nothing
    except OSError:
        return ""
