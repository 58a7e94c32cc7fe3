"""Sentences about a task; made from values alone."""

from __future__ import annotations


def task_sentence(task: str, calls: float) -> str:
    """How many calls a row took, and what the prompt needs.

    >>> task_sentence("study.solve", 2.25)
    'A row took 2.2 calls on average with the task study.solve, which the prompt needs.'
    """
    return f"A row took {calls:.1f} calls on average with the task {task}, which the prompt needs."
