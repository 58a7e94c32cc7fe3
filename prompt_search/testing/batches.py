"""The files and batches of a fake server: real files, a script of how batches end, and objects as OpenAI sends them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from aiohttp import web

from prompt_search.errors import InputError
from prompt_search.testing.faults import chance
from prompt_search.testing.responses import FakeResponse, failure

End = Literal["failed", "expired", "cancelled"]

CHAT_PATH: Final = "/v1/chat/completions"
"""The endpoint that the requests of a batch must name."""

VALIDATED, FINALIZING = 0.1, 0.9
"""Shares of its time after which a batch is in progress, and after which it is finalized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeBatches:
    """How the batches of a `FakeServer` go; the server's own ``faults`` and ``dialect`` apply to each request in them.

    Attributes:
        latency: seconds that a batch takes, or a function of its number, from 0.
        ends: how batches end that do not complete, by their number.
        answered: share of the requests of such a batch that are answered before; a failed one answers none.
        missing: share of the requests that are in no file.
        unanswered: numbers of the batches that are made, but whose creation is answered with an error.
        retry_after_s: Retry-After of a batch that is looked at before its end; None: none is sent.

    >>> FakeBatches(missing=2)
    Traceback (most recent call last):
    prompt_search.errors.InputError: shares must be from 0 to 1, got missing=2; correct it
    """

    latency: float | Callable[[int], float] = 0.0
    ends: Mapping[int, End] = field(default_factory=dict)
    answered: float = 0.5
    missing: float = 0.0
    unanswered: frozenset[int] = frozenset()
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("answered", "missing"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"shares must be from 0 to 1, got {name}={getattr(self, name)}; correct it")


@dataclass(slots=True, kw_only=True)
class FakeBatch:
    """A batch at a fake server.

    Attributes:
        number: from 0, in the order in which they were made.
        file: identifier of its input file.
        metadata: as it was given.
        created: seconds of the monotonic clock.
        rows: the lines of the input file.
        end: how it ends.
        errors: what is wrong with the input file.
        answered, failed: number of its requests with an answer, and with an error.
        files: identifiers of output file and error file, once it has ended.
        looks: number of times that its state was asked for.
    """

    number: int
    file: str
    metadata: Mapping[str, str] | None
    created: float
    rows: Sequence[Mapping[str, Any]]
    end: str
    errors: Sequence[Mapping[str, Any]] = ()
    answered: int = 0
    failed: int = 0
    files: tuple[str | None, str | None] | None = None
    looks: int = 0

    @property
    def id(self) -> str:
        """Its identifier."""
        return f"batch_{self.number}"


class BatchDesk:
    """Answers requests for files and batches.

    Args:
        settings: how batches go.
        answer: answers a request of a batch, given as JSON text; None where the server fails without a response.
        seed: decides which requests are missing.

    Attributes:
        made: all batches, oldest first.
    """

    def __init__(
        self, settings: FakeBatches, answer: Callable[[bytes], FakeResponse | None], seed: int | str = 0
    ) -> None:
        self.made: list[FakeBatch] = []
        self._settings = settings
        self._answer = answer
        self._seed = seed
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: dict[str, Path] = {}

    def close(self) -> None:
        """Delete all files."""
        if self._folder is not None:
            self._folder.cleanup()

    async def handle(self, request: web.BaseRequest, path: str) -> FakeResponse | None:
        """The response to a request for a path below the base URL; None where there is no such path."""
        match request.method, path.strip("/").split("/"):
            case "POST", ["files"]:
                return await self._uploaded(request)
            case "GET", ["files", name, "content"] if name in self._files:
                return FakeResponse(body=self._files[name].read_bytes())
            case "POST", ["batches"]:
                return self._created(json.loads(await request.read()))
            case "GET", ["batches"]:
                return self._listed(request.query)
            case "GET", ["batches", name] if (found := self._found(name)) is not None:
                found.looks += 1
                shown = self._shown(found)
                wait_s = self._settings.retry_after_s if found.files is None else None
                headers = {} if wait_s is None else {"Retry-After": f"{wait_s:g}"}
                return FakeResponse(body=shown, headers=headers)
            case "POST", ["batches", name, "cancel"] if (found := self._found(name)) is not None:
                found.end = "cancelled" if found.files is None else found.end
                return FakeResponse(body=self._shown(found))
            case _, ["files" | "batches", *_]:
                return failure(404, f"there is no {path}")
        return None

    async def _uploaded(self, request: web.BaseRequest) -> FakeResponse:
        purpose, content, filename = "", b"", ""
        async for part in await request.multipart():
            if part.name == "purpose":  # type: ignore[union-attr]
                purpose = (await part.read()).decode()  # type: ignore[union-attr]
            elif part.name == "file":  # type: ignore[union-attr]
                content, filename = bytes(await part.read()), str(part.filename)  # type: ignore[union-attr]
        if purpose != "batch":
            return failure(400, f"'{purpose}' is not one of ['batch'] - 'purpose'")
        return FakeResponse(body=self._file(self._stored(content), content, filename, "batch"))

    def _stored(self, content: bytes) -> str:
        """The identifier of a new file."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="fake_server_", ignore_cleanup_errors=True)
        name = f"file-{len(self._files)}"
        self._files[name] = Path(self._folder.name) / f"{name}.jsonl"
        self._files[name].write_bytes(content)
        return name

    def _file(self, name: str, content: bytes, filename: str, purpose: str) -> dict[str, Any]:
        about = {"id": name, "object": "file", "bytes": len(content), "created_at": int(time.time())}
        return {**about, "filename": filename, "purpose": purpose, "status": "processed"}

    def _created(self, body: Mapping[str, Any]) -> FakeResponse:
        file = body.get("input_file_id")
        if file not in self._files:
            return failure(400, f"No such File object: {file}")
        if body.get("endpoint") != CHAT_PATH or body.get("completion_window") != "24h":
            return failure(400, f"Invalid endpoint or completion_window: {body.get('endpoint')}")
        number = len(self.made)
        rows, errors = _checked(self._files[file].read_bytes())
        ends = self._settings.ends.get(number, "completed")
        if ends == "failed":
            errors = [
                *errors,
                {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None},
            ]
        batch = FakeBatch(
            number=number,
            file=file,
            metadata=body.get("metadata"),
            created=time.monotonic(),
            rows=rows,
            end="failed" if errors else ends,
            errors=errors,
        )
        self.made.append(batch)
        if number in self._settings.unanswered:
            return failure(500, "the server stumbled after it had made the batch")
        return FakeResponse(body=self._shown(batch, at_once=True))

    def _listed(self, query: Mapping[str, str]) -> FakeResponse:
        newest = [batch.id for batch in reversed(self.made)]
        after = newest.index(query["after"]) + 1 if query.get("after") in newest else 0
        most = int(query.get("limit", 20))
        page = [self._shown(batch) for batch in reversed(self.made) if batch.id in newest[after : after + most]]
        body = {"object": "list", "data": page, "has_more": len(newest) > after + most}
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return FakeResponse(body={**body, **ends})

    def _found(self, name: str) -> FakeBatch | None:
        return next((batch for batch in self.made if batch.id == name), None)

    def _status(self, batch: FakeBatch) -> str:
        latency = self._settings.latency
        takes_s = latency(batch.number) if callable(latency) else latency
        passed_s = time.monotonic() - batch.created
        if batch.end != "cancelled" or batch.number in self._settings.ends:
            if passed_s < VALIDATED * takes_s:
                return "validating"
            if batch.end != "failed" and passed_s < takes_s:
                return "in_progress" if passed_s < FINALIZING * takes_s else "finalizing"
        return batch.end

    def _shown(self, batch: FakeBatch, *, at_once: bool = False) -> dict[str, Any]:
        """A batch as OpenAI sends it; its requests are answered when it is first shown after its end."""
        status = "validating" if at_once else self._status(batch)
        if status == batch.end and batch.files is None:
            self._finish(batch)
        output, errors = batch.files or (None, None)
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": CHAT_PATH,
            "completion_window": "24h",
            "created_at": int(time.time()),
            "input_file_id": batch.file,
            "status": status,
            "errors": {"object": "list", "data": list(batch.errors)} if status == "failed" else None,
            "output_file_id": output,
            "error_file_id": errors,
            "request_counts": {"total": len(batch.rows), "completed": batch.answered, "failed": batch.failed},
            "metadata": batch.metadata,
        }

    def _finish(self, batch: FakeBatch) -> None:
        """Answer the requests of a batch, as far as it gets."""
        if batch.end == "failed":
            batch.files = (None, None)
            return
        done = len(batch.rows) if batch.end == "completed" else int(self._settings.answered * len(batch.rows))
        files: tuple[list[str], list[str]] = ([], [])
        for place, row in enumerate(batch.rows):
            if chance("missing", self._seed, row["body"]) < self._settings.missing:
                continue
            line = self._line(batch, row) if place < done else _unbegun(batch, row)
            is_error = (line["response"] or {}).get("status_code") != 200
            files[is_error].append(json.dumps(line) + "\n")
        batch.answered, batch.failed = map(len, files)
        output, errors = (self._stored("".join(lines).encode()) if lines else None for lines in files)
        batch.files = (output, errors)

    def _line(self, batch: FakeBatch, row: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._answer(json.dumps(row["body"]).encode())
        line = {"id": f"{batch.id}_{row['custom_id'][:8]}", "custom_id": row["custom_id"], "response": None}
        if answer is None:
            return {**line, "error": {"code": "server_error", "message": "the server stumbled over this request"}}
        try:
            body = json.loads(answer.content)
        except ValueError:
            body = answer.content.decode("utf-8", "replace")
        return {**line, "response": {"status_code": answer.status, "request_id": "r", "body": body}, "error": None}


def _unbegun(batch: FakeBatch, row: Mapping[str, Any]) -> dict[str, Any]:
    words = {
        "expired": "This request could not be executed before the completion window expired.",
        "cancelled": "This request was cancelled before it was executed.",
    }
    error = {"code": f"batch_{batch.end}", "message": words[batch.end]}
    return {"id": f"{batch.id}_", "custom_id": row["custom_id"], "response": None, "error": error}


def _checked(content: bytes) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The lines of an input file, and what is wrong with them."""
    rows: list[Mapping[str, Any]] = []
    errors: list[Mapping[str, Any]] = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = json.loads(line)
            known = {"method": "POST", "url": CHAT_PATH}
            wrong = [name for name, value in known.items() if row[name] != value]
            wrong += ["model"] if rows and rows[0]["body"]["model"] != row["body"]["model"] else []
        except (ValueError, LookupError, TypeError) as error:
            wrong = [str(error)]
        if wrong:
            errors.append({"code": "invalid_line", "message": f"wrong: {', '.join(wrong)}", "line": number})
        else:
            rows.append(row)
    if not rows:
        errors.append({"code": "empty_file", "message": "the file has no requests", "line": None})
    if len({row["custom_id"] for row in rows}) < len(rows):
        errors.append({"code": "duplicate_custom_id", "message": "a custom_id is there twice", "line": None})
    return rows, errors
