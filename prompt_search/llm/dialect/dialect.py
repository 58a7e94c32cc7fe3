"""What is known of one model's server, and what follows for requests to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from prompt_search.llm.dialect.features import cure, features, value_feature, way_out
from prompt_search.llm.failures import fault_of
from prompt_search.llm.lesson import Lesson
from prompt_search.llm.messages import Request, Response

ALIKE_REFUSALS: Final = 2
"""Number of successive refusals in the same words after which a feature is taken to be refused that no accepted request
had, where the words do not say what is wrong."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A feature that a server refuses: what it said, and what a user can do."""

    feature: str
    reason: str

    def __str__(self) -> str:
        return f"the server refuses {self.feature} ({self.reason})"

    @property
    def cure(self) -> str:
        """What a user can do."""
        return cure(self.feature)


class Dialect:
    """What is known of one model's server.

    What it has accepted stays as it is: no lesson changes or closes a request whose parameters and roles were
    accepted before. Stored responses therefore stay the responses to what is sent.

    Attributes:
        lessons: what was learned, in the order of learning.
        alone: a lock for requests that have a feature which the server has not accepted yet: one at a time finds out
            what is refused, so that others do not repeat it.
    """

    def __init__(self) -> None:
        self.lessons: list[Lesson] = []
        self.alone = asyncio.Lock()
        self._tried: set[str] = set()
        """The features of requests that were accepted, or that failed for another reason than being refused."""
        self._accepted: dict[frozenset[str], Mapping[str, Any]] = {}
        """The parameters of accepted requests, by their features."""
        self._heard: set[str] = set()
        """All lessons so far in words, those that were not learned included."""
        self._alike: tuple[str, int] = ("", 0)
        """The words of the last refusal that said nothing, and how often they came in a row."""

    def applied(self, request: Request) -> Request:
        """The request as this server takes it, as far as is known; the same object where nothing changes."""
        parameters = self.changed(request.parameters)
        return request if parameters is request.parameters else replace(request, parameters=parameters)

    def changed(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """The parameters of a request as this server takes them; the same object where nothing changes."""
        for lesson in self.lessons:
            parameters = lesson.changed(parameters)
        return parameters

    def refusal(self, request: Request) -> Refusal | None:
        """The feature of a request that the server refuses; None where none is known."""
        closed = [lesson for lesson in self.lessons if lesson.action == "close"]
        if not closed:
            return None
        of_request = features(request)
        found = next((lesson for lesson in closed if lesson.name in of_request), None)
        return None if found is None else Refusal(found.name, found.reason)

    def is_tried(self, request: Request) -> bool:
        """Whether every feature of a request has been in one that was not refused for its features."""
        return features(request) <= self._tried

    def is_news(self, response: Response) -> bool:
        """Whether a response says something about the server that none before has said."""
        return response.lesson is not None and response.lesson.told not in self._heard

    def observe(self, request: Request, response: Response) -> bool:
        """Take in the response to a request, and say whether something was learned that concerns the request."""
        lesson = response.lesson or self._alike_lesson(request, response)
        if lesson is not None:
            self._heard.add(lesson.told)
        if lesson is not None and self._learn(request, lesson, refused=response.error is not None):
            return True
        if response.error is None:
            self._tried |= features(request)
            self._accepted.setdefault(features(request), request.parameters)
        elif fault_of(response.error) == "road" or (self._accepted and self._alike[1] >= ALIKE_REFUSALS):
            self._tried |= features(request)
        return False

    def _alike_lesson(self, request: Request, response: Response) -> Lesson | None:
        """The feature of a refused request that no accepted one has, after refusals in the same words."""
        if response.error is None or not response.error.startswith("bad_request:"):
            return None
        before, count = self._alike
        words = re.sub(r"\b[\w-]*\d[\w-]*\b", "#", response.error)  # numbers and identifiers of requests differ
        self._alike = (words, count + 1 if words == before else 1)
        new = features(request) - self._tried
        if self._alike[1] < ALIKE_REFUSALS or not self._accepted or not new:
            return None
        # A parameter is named rather than its value, and the most telling of several features comes first.
        feature = min(new, key=lambda name: (" = " in name, name))
        return Lesson(action="close", name=feature, reason=response.error.partition(": ")[2])

    def _learn(self, request: Request, lesson: Lesson, *, refused: bool) -> bool:
        """Remember a lesson, unless it concerns requests that were accepted; then at most the value of this one is
        refused."""
        if lesson in self.lessons:
            return self.applied(request) is not request or self.refusal(request) is not None
        if any(before.action == "rename" and before.name == lesson.value for before in self.lessons):
            lesson = Lesson(action="drop", name=lesson.name, reason=lesson.reason)  # it is refused by either name
        if self._concerns_accepted(lesson):
            if not refused or lesson.name not in request.parameters:
                return False
            feature = value_feature(lesson.name, request.parameters[lesson.name])
            lesson = Lesson(action="close", name=feature, reason=lesson.reason)
            if self._concerns_accepted(lesson):
                return False
        if lesson.action != "close" and lesson.changed(request.parameters) is request.parameters:
            return False
        if lesson.action == "close" and lesson.name not in features(request):
            return False
        self.lessons.append(lesson)
        self._alike = ("", 0)
        return True

    def _concerns_accepted(self, lesson: Lesson) -> bool:
        if lesson.action == "close":
            return any(lesson.name in of_request for of_request in self._accepted)
        return any(lesson.changed(parameters) is not parameters for parameters in self._accepted.values())

    def evade(self, request: Request) -> bool:
        """Change requests so that they do without the feature for which this one is refused, and say whether that is
        possible."""
        refusal = self.refusal(request)
        change = None if refusal is None else way_out(refusal.feature, request)
        if refusal is None or change is None:
            return False
        self.lessons = [lesson for lesson in self.lessons if lesson.name != refusal.feature]
        self.lessons.append(replace(change, reason=refusal.reason))
        return True

    @property
    def told(self) -> str:
        """All lessons in words, without a full stop; "" without any."""
        last = {
            (lesson.action, lesson.name): lesson.told for lesson in self.lessons
        }  # a later bound replaces an earlier
        return "; ".join(last.values())


class Dialects:
    """What is known of several models' servers."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Dialect] = {}

    def of(self, endpoint: str, model: str) -> Dialect:
        """What is known of the server of one model."""
        return self._known.setdefault((endpoint, model), Dialect())

    def applied(self, request: Request) -> Request:
        """A request as its server takes it, as far as is known."""
        return self.of(request.endpoint, request.model).applied(request)

    @property
    def refuse_anything(self) -> bool:
        """Whether any server is known to refuse a feature of requests."""
        return any(lesson.action == "close" for dialect in self._known.values() for lesson in dialect.lessons)

    def copy(self) -> Dialects:
        """What is known now, which later lessons do not change."""
        copied = Dialects()
        for (endpoint, model), dialect in self._known.items():
            copied.of(endpoint, model).lessons = list(dialect.lessons)
        return copied

    @property
    def told(self) -> list[str]:
        """What was learned of each model's server, in one sentence; without those of which nothing was."""
        return [
            f"The server of {model} differs: {dialect.told}."
            for (_, model), dialect in self._known.items()
            if dialect.lessons
        ]
