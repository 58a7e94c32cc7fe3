"""When a run in which requests fail is not worth its budget any more."""

from __future__ import annotations

from prompt_search.errors import RequestRefused
from prompt_search.llm.failures import fault_of
from prompt_search.llm.messages import Response

MAX_INITIAL_FAILURES = 10
"""Number of failed requests after which a run ends in which no request was ever answered."""

MAX_CONSECUTIVE_FAILURES = 20
"""Number of failures without an answer in between after which a run ends that had answers before. A server that fails
one request in two at random reaches it once in a million requests."""

MIN_FAILING_PROMPTS = 3
"""Number of different prompts among the consecutive failures that is needed to end a run, unless it is the server that
fails: a single prompt that is too long for the model fails on every row."""


class FailureLimit:
    """Ends a run in which nothing is answered: from its beginning, or any more.

    Args:
        answered: whether a request of the study was answered in an earlier run.
    """

    def __init__(self, *, answered: bool) -> None:
        self._answered = answered
        self._failures = 0
        self._failing_prompts: set[str] = set()

    def check(self, response: Response, prompt: str) -> None:
        """Count a response to a prompt, which is given by its source.

        Raises:
            RequestRefused: too many requests failed without one in between that was answered.
        """
        if response.error is None:
            self._answered = True
            self._failures = 0
            self._failing_prompts.clear()
            return
        self._failures += 1
        self._failing_prompts.add(prompt)
        if not self._answered:
            if self._failures >= MAX_INITIAL_FAILURES:
                raise RequestRefused(
                    f"the first {self._failures} requests all failed, the last with {response.error}; fix the "
                    "cause, then run it again"
                )
            return
        server_fails = fault_of(response.error) == "road"
        prompts_fail = len(self._failing_prompts) >= MIN_FAILING_PROMPTS
        if self._failures >= MAX_CONSECUTIVE_FAILURES and (server_fails or prompts_fail):
            raise RequestRefused(
                f"the last {self._failures} requests all failed, the last with {response.error}; earlier responses "
                "are stored: fix the cause, then run it again with retry_errors=True (--retry-errors)"
            )
