"""Whether a task can answer the rows of a study."""

from __future__ import annotations

from collections.abc import Iterable

from prompt_search.answers.base import Answer
from prompt_search.errors import InputError
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.task import Task


def check_task_settings(task: Task | None, answers: Iterable[Answer], *, has_objective: bool = False) -> None:
    """Refuse settings that are about single requests, or their responses, of which a task says nothing.

    Raises:
        InputError: an answer form is calibrated, or an objective is about costs.
    """
    if task is not None and has_objective:
        raise InputError(
            "an objective is about the costs of one request for a row, and the task "
            f"{task.short_name} may make several; leave objective= out, and compare prompts in result.pareto_df()"
        )
    calibrated = [answer.name for answer in answers if answer.calibrates_on_rows or answer.needs_baseline]
    if task is not None and calibrated:
        raise InputError(
            f"the answers of {calibrated[0]} are calibrated by single requests, and the task {task.short_name} makes "
            "others; take an answer form without calibrate=, such as ps.Label(labels)"
        )


def check_task_shots(task: Task | None, *, asks_about_pool: bool) -> None:
    """Refuse shots that show how one request was answered.

    Raises:
        InputError: an option picks such shots.
    """
    if task is not None and asks_about_pool:
        raise InputError(
            "the pickers solved and hard show what the model answers to one request with the prompt, and the task "
            f"{task.short_name} may make several; give pickers such as random and balanced"
        )


def check_needs_task(prompt: Prompt, task: Task | None = None) -> None:
    """Refuse to send a prompt by itself that was chosen for a task.

    Raises:
        InputError: the prompt names a task, and none is given.
    """
    if prompt.task is not None and task is None:
        raise InputError(
            f"the prompt {prompt.name!r} was chosen for the task {prompt.task}, without which it answers something "
            "else; give the function, as in ps.evaluate(prompt, data, task=function)"
        )
