"""Who may run a study: one process at a time.

A lease is a row of the storage that its owner renews; claims on requests belong to a lease and end with it. Where the
owner's process has ended on this machine its lease is free at once, on another machine when it expires.
"""

from __future__ import annotations

import os
import re
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

import psutil

from prompt_search.errors import RunError

LEASE_S = 60.0
"""Seconds after which a lease expires that was not renewed."""

RENEWED_S = 10.0
"""Seconds between two renewals of a lease."""

SAME_START_S = 2.0
"""The start of one process, measured twice, differs by less: a clock that is being set moves it a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process that runs something.

    ``machine`` is the same for two owners whose process numbers can be compared; ``started`` distinguishes a process
    from a later one that got its number.
    """

    host: str
    machine: str
    process: int
    started: str

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, process: int) -> Owner:
        """A process of this machine, by its number."""
        started = f"{_started(psutil.Process(process)):.2f} s"
        return cls(host=socket.gethostname(), machine=_machine(), process=process, started=started)

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.machine == _machine()

    @property
    def is_gone(self) -> bool:
        """Whether it is known that the process has ended."""
        if not self.is_here:
            return False
        try:
            process = psutil.Process(self.process)
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):  # it has a number, and does nothing
                return True
            started = re.fullmatch(r"(\d+\.\d+) s", self.started)
            # Earlier releases wrote the start in another unit: then only the number can be compared.
            return started is not None and abs(_started(process) - float(started[1])) > SAME_START_S
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


class LeaseStorage(Protocol):
    """What a lease needs of a storage: see `prompt_search.storage.ownership.leases.Leases`."""

    def take_lease(self, study: str, owner: str, process: Owner, seconds: float) -> None: ...

    def renew_lease(self, owner: str, seconds: float) -> bool: ...

    def end_lease(self, owner: str) -> None: ...


@dataclass
class Lease:
    """Held from ``with`` to its end, and renewed by a thread meanwhile.

    Args:
        leases: where it is written.
        study: the study that is run.
        on_lost: called once if another process has taken the lease, as happens to a machine that slept for a minute;
            ``lost`` is true then.

    Raises:
        StudyError: another process holds it; says which, and until when.
    """

    leases: LeaseStorage
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
        try:
            self.leases.end_lease(self.owner)
        except RunError:  # the lease ends by itself
            if error is None:
                raise

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
    """The same for two processes whose process numbers can be compared: containers may share a host's name.

    Of the boot and the process namespace Linux has identifiers; the time of the boot, which psutil knows, changes when
    the clock is set.
    """
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:  # not Linux
        parts.append(f"{uuid.getnode():x}")
    return " ".join(parts)


def _started(process: psutil.Process) -> float:
    """When a process began, in seconds that do not change when the clock is set.

    Linux counts them from the boot, and psutil adds its time; other systems keep the time at which it began.
    """
    began = process.create_time()
    return began - psutil.boot_time() if psutil.LINUX else began
