"""When a run in which requests fail, or answers cannot be read, is not worth its budget any more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prompt_search.answers.base import CUT_WHILE_THINKING, Unparsed, quoted
from prompt_search.errors import RequestRefused
from prompt_search.llm.failures import RATE_CURE, fault_of, kind_of
from prompt_search.llm.messages import ANSWER_LIMITS, Response

MAX_INITIAL_FAILURES = 10
"""Number of failed requests after which a run ends in which no request was ever answered."""

MAX_CONSECUTIVE_FAILURES = 20
"""Number of failures without an answer in between after which a run ends that had answers before. A server that fails
one request in two at random reaches it once in a million requests."""

MIN_FAILING_PROMPTS = 3
"""Number of different prompts among the consecutive failures that is needed to end a run, unless it is the server that
fails: a single prompt that is too long for the model fails on every row."""

MAX_CONSECUTIVE_UNREAD = 20
"""Number of answers that cannot be read, without one in between that can, after which a run ends."""

ROOM_FOR_REASONING = 4096
"""Number of tokens that an error proposes for an answer for which there was no room."""


class FailureLimit:
    """Ends a run in which nothing is answered: from its beginning, or any more.

    Args:
        answered: whether a request of the study was answered in an earlier run.
    """

    def __init__(self, *, answered: bool) -> None:
        self._answered = answered
        self._failures = self._failed = 0
        self._last: tuple[str, Mapping[str, Any]] = "", {}
        self._failing_prompts: set[str] = set()

    def check(self, response: Response, prompt: str, parameters: Mapping[str, Any]) -> None:
        """Count a response to a prompt, which is given by its source; ``parameters`` are those of its request.

        Raises:
            RequestRefused: too many requests failed without one in between that was answered.
        """
        self.saw(response, parameters)
        if response.error is None:
            return
        self._failures += 1
        self._failing_prompts.add(prompt)
        if not self._answered:
            if self._failures >= MAX_INITIAL_FAILURES:
                raise RequestRefused(
                    f"the first {self._failures} requests all failed, the last with {response.error}; "
                    f"{_way_on(response.error, parameters)}, then run it again"
                )
            return
        server_fails = fault_of(response.error) == "road"
        prompts_fail = len(self._failing_prompts) >= MIN_FAILING_PROMPTS
        if self._failures >= MAX_CONSECUTIVE_FAILURES and (server_fails or prompts_fail):
            raise RequestRefused(
                f"the last {self._failures} requests all failed, the last with {response.error}; earlier responses "
                "are stored: fix the cause, then run it again with retry_errors=True (--retry-errors)"
            )

    def saw(self, response: Response, parameters: Mapping[str, Any]) -> None:
        """Take note of a response that does not end the run: one that was stored, or that the budget cut short.

        After an answer, a stored one too, failures before it are not the first any more.
        """
        if response.error is None:
            self._answered = True
            self._failures = 0
            self._failing_prompts.clear()
        else:
            self._failed += 1
            self._last = response.error, parameters

    def check_answered(self) -> None:
        """Refuse to go on at the end of a run, however small its budget, in which nothing was answered.

        Raises:
            RequestRefused: with the last error.
        """
        if self._failed and not self._answered:
            error, parameters = self._last
            raise RequestRefused(
                f"no request was answered, {self._failed} failed, the last with {error}; "
                f"{_way_on(error, parameters)}, then run it again"
            )


def _way_on(error: str, parameters: Mapping[str, Any]) -> str:
    """What to do where the first requests all failed: how to find out which parameter a server refuses that does not
    say which."""
    if " answered 429 " in error:
        return RATE_CURE
    named = [name for name in parameters if name not in ("logprobs", "top_logprobs")]  # an answer form needs these
    if kind_of(error) != "bad_request" or not named:
        return "fix the cause"
    line = json.dumps(dict.fromkeys(named)).replace("null", "None")
    return f"fix the cause, or find it with request={line} in the study, which sends none of these parameters"


class UnreadLimit:
    """Ends a run whose answers cannot be read: from its beginning, or any more.

    It counts answers from the storage as well, so that a run that is resumed ends where it ended.

    - Answers that had no room (without a text, or cut off) end a run in which none could be read. Where none has a
      text, one prompt is enough. A text that is complete does not end it: another answer form may read it, for free.
    - Once answers were read, those of prompts that were never read say nothing about the server: they may be bad
      prompts, which the search finds out. The run ends if several prompts that were read are not any more.
    """

    def __init__(self) -> None:
        self._readable: set[str] = set()
        """The prompts of which an answer was read."""
        self._unread = 0
        self._unread_prompts: set[str] = set()
        self._empty = self._without_room = 0
        self._most_tokens = 0
        """The length of the longest answer, reasoning included."""

    def check(self, answer: Any, response: Response, prompt: str, parameters: Mapping[str, Any]) -> None:
        """Count an answer to a prompt, which is given by its source; ``parameters`` are those of its requests.

        Raises:
            RequestRefused: too many answers could not be read without one in between that could.
        """
        self._most_tokens = max(self._most_tokens, response.usage.completion_tokens or 0)
        if not isinstance(answer, Unparsed):
            self._readable.add(prompt)
            self._unread = self._empty = self._without_room = 0
            self._unread_prompts.clear()
            return
        if self._readable and prompt not in self._readable:
            return
        self._unread += 1
        self._unread_prompts.add(prompt)
        empty = not response.text.strip() or answer.reason.startswith(CUT_WHILE_THINKING)
        self._empty += empty
        self._without_room += empty or response.finish_reason == "length"
        several = len(self._unread_prompts) >= MIN_FAILING_PROMPTS
        if self._readable:
            ends = several
        else:
            ends = self._empty == self._unread or (several and self._without_room == self._unread)
        if self._unread >= MAX_CONSECUTIVE_UNREAD and ends:
            raise RequestRefused(
                f"the last {self._unread} answers could not be read, the last {_described(response)}: {answer.reason}; "
                f"{_remedy(response, parameters, self._most_tokens)}"
            )


class UnratedLimit:
    """Ends a run in which a judge has rated nothing: it pays for answers that say nothing.

    Args:
        model: the name of the judge's model.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._rated = False
        self._unrated = 0

    def check(self, error: str | None) -> None:
        """Count an answer of the judge; ``error`` says why it has no rating.

        Raises:
            RequestRefused: none of the first answers has one.
        """
        self._rated |= error is None
        self._unrated += error is not None
        if not self._rated and self._unrated >= MAX_CONSECUTIVE_UNREAD:
            raise RequestRefused(
                f"none of the first {self._unrated} answers of the judge {self._model} has a rating, the last with "
                f"{error}; state in its template what it is to answer, or give another judge"
            )


class TaskLimit:
    """Ends a run whose task answers no row, or asks the model about none: then no prompt matters.

    Args:
        task: the name of the task.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._rows = self._failed = self._calls = 0

    def check(self, error: str | None, calls: int) -> None:
        """Count a row; ``error`` says why the task gave no answer.

        Raises:
            RequestRefused: it gave none to the first rows, or made no call for them.
        """
        self._rows += 1
        self._calls += calls
        self._failed += error is not None and kind_of(error).startswith("task")
        if self._rows < MAX_CONSECUTIVE_UNREAD:
            return
        if self._failed == self._rows:
            raise RequestRefused(
                f"the task {self._task} gave no answer to the first {self._rows} rows, the last with {error}; correct "
                "it"
            )
        if not self._calls:
            raise RequestRefused(
                f"the task {self._task} answered the first {self._rows} rows without a call, so that no prompt can be "
                "better than another; ask the model with await call(prompt.render(row))"
            )


def _described(response: Response) -> str:
    """What came, in a few words."""
    came = quoted(response.text) if response.text.strip() else "an empty text"
    details = [f"finish_reason {response.finish_reason}"] if response.finish_reason else []
    tokens = response.usage.completion_tokens
    details += [] if tokens is None else [f"{tokens} tokens"]
    return f"{came} ({', '.join(details)})" if details else came


def _remedy(response: Response, parameters: Mapping[str, Any], used: int) -> str:
    """What makes such answers readable; ``used``: the number of tokens of the longest answer."""
    if response.text.strip() and response.finish_reason != "length":
        return "state the expected form in the prompt, or use another answer form"
    if response.finish_reason == "stop" and response.usage.completion_tokens in (0, 1):
        return "the model ended its answer at once: check its chat template, and ask it by hand with one prompt"
    name = next((name for name in ANSWER_LIMITS if parameters.get(name) is not None), ANSWER_LIMITS[-1])
    limit = parameters.get(name)
    most = max(ROOM_FOR_REASONING, 4 * limit if isinstance(limit, int) else 0, 2 * used)
    return (
        f'give answers more room, which a model that reasons needs: request={{"{name}": {most}}} in the study, or as '
        "the prompt's parameters"
    )
