"""A user's own program as the task, in place of one request for each row."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from prompt_search._first_tries import named
from prompt_search.data.rows import Row
from prompt_search.errors import InputError
from prompt_search.llm.messages import Message, Response
from prompt_search.prompts.prompt import Prompt

MOST_CALLS = 20
"""Number of calls that a task may make for a row, unless it is given."""

LARGEST = 1000
"""The largest such number: equal requests of a row are told apart by a number below it."""

CURE = "write async def task(prompt, row, call): response = await call(prompt.render(row)); return response.text"
"""What to do where something else was given."""

Messages = str | Sequence[Message | Response | Mapping[str, Any]]
"""What a call sends: a text for one message of the user, or chat messages."""


class TaskCall(Protocol):
    """What a task asks the model with: paid from the budget, stored, and limited like every other request."""

    async def __call__(self, messages: Messages, **parameters: Any) -> Response:
        """Ask the model of the candidate.

        Args:
            messages: a text, or messages such as those of ``prompt.render(row)``, ``response.message`` and
                ``{"role": "tool", "tool_call_id": ..., "content": ...}``.
            parameters: request parameters that differ from ``prompt.parameters``; None leaves one out.

        Raises:
            CallFailed: the request failed after all attempts.
        """
        ...


TaskFunction = Callable[[Prompt, Row, TaskCall], Awaitable[str | Response]]
"""``async def task(prompt, row, call)``: gives the answer to a row, as text or as one of the responses."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A user's own program as the task.

    The calls of a row are known by what they send. A study that is resumed runs the task again, and its calls get the
    responses that are stored. Therefore a task should depend on its arguments and on responses alone.

    Args:
        function: ``async def task(prompt, row, call) -> str | Response``. ``prompt`` is the candidate's `Prompt`,
            ``row`` has the fields without the target, and ``call`` asks the model, see `TaskCall`.
        calls: number of calls that a row takes on average, for `Study.estimate` and until the first row has shown it.
        most_calls: number of calls that the task may make for a row; a row that needs more has the failure
            ``task_calls``.

    Raises:
        InputError: the function is none that is awaited, or does not take three arguments; or a number is wrong.
    """

    function: TaskFunction
    calls: float = 1.0
    most_calls: int = MOST_CALLS

    def __post_init__(self) -> None:
        _check_function(self.function)
        if type(self.most_calls) is not int or not 1 <= self.most_calls <= LARGEST:
            raise InputError(
                f"most_calls must be a whole number from 1 to {LARGEST}, got {self.most_calls!r}; give one such as 20"
            )
        if isinstance(self.calls, bool) or not isinstance(self.calls, int | float) or not 0 < self.calls <= LARGEST:
            raise InputError(f"calls must be a number above 0, up to {LARGEST}, got {self.calls!r}; give one such as 2")

    @classmethod
    def parse(cls, given: object) -> Task | None:
        """The task that people give: a `Task`, a function, or None.

        Raises:
            InputError: it is something else.
        """
        if given is None or isinstance(given, Task):
            return given
        if not callable(given):
            raise InputError(f"task= takes an async function, not {named(given)}; {CURE}")
        return cls(function=given)

    @property
    def name(self) -> str:
        """The module, or the file of a script, and the name of the function; its name alone where it has neither."""
        of = _own(self.function)
        module = str(of.__module__ or "")
        code = getattr(of, "__code__", None)
        is_script = module == "__main__" or not module.replace(".", "_").isidentifier()
        if code is not None and is_script:
            file = Path(code.co_filename)
            module = file.stem if file.suffix == ".py" and file.exists() else ""  # a notebook's cell is no file
        return f"{module}.{self.short_name}" if module else self.short_name

    @property
    def short_name(self) -> str:
        """The name of the function."""
        of = _own(self.function)
        return str(getattr(of, "__qualname__", type(of).__qualname__))

    def identity(self) -> dict[str, Any]:
        """What makes it this task in a stored study: its name, its source as far as Python knows it, and its limit of
        calls. A function that it calls may change unnoticed."""
        of = _own(self.function)
        try:
            source = inspect.getsource(of if hasattr(of, "__code__") else type(of))
        except (OSError, TypeError):  # typed into a console
            source = ""
        digest = sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:12] if source else ""
        return {"name": self.name, "source": digest, "most_calls": self.most_calls}


def _own(function: object) -> Any:
    """The function inside of `functools.partial`; any other as it is."""
    while isinstance(function, partial):
        function = function.func
    return function


def _check_function(function: object) -> None:
    """Refuse what cannot be awaited with three arguments.

    Raises:
        InputError: with the cure.
    """
    if not callable(function):
        raise InputError(f"a task is an async function, not {named(function)}; {CURE}")
    of = _own(function)
    name = getattr(of, "__name__", type(of).__name__)
    if not inspect.iscoroutinefunction(of) and not inspect.iscoroutinefunction(getattr(of, "__call__", None)):  # noqa: B004
        raise InputError(f"the task {name} is not async, so that it cannot wait for a call; {CURE}")
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError as error:
        raise InputError(f"the task {name} must take prompt, row and call: {error}; {CURE}") from None
