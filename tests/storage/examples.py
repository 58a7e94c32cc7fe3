"""Requests, records and calls that the tests of the storage write."""

from __future__ import annotations

import asyncio
from typing import Any

from prompt_search.budget import Spending
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.storage.ownership.lease import Owner
from prompt_search.storage.records import SampleRecord, Saved, TrialRecord, Version
from prompt_search.storage.store import Store
from prompt_search.storage.summary import Summary

S = Version(study="s")
"""The first version of a study 's'."""

LONE = "half a pair: \ud83d"


def request(text: str = "hi", **fields: Any) -> Request:
    return Request(endpoint="e", model="m", messages=(Message("user", text),), **fields)


def trial(number: int = 0, **fields: Any) -> TrialRecord:
    given: dict[str, Any] = {
        "trial": number, "state": "running", "reason": "", "choices": {"a": "x"}, "positions": {"a": 0},
        "prompt": {"source": "s"}, "text": "s",
    }  # fmt: skip
    return TrialRecord(**{**given, **fields})


def sample(number: int = 0, row: int = 0, **fields: Any) -> SampleRecord:
    given: dict[str, Any] = {
        "trial": number, "row": row, "split": "search", "key": "k", "answer": "a", "target": "t", "score": 1.0,
        "explanation": "", "unparsed": False, "error": None, "cached": False,
    }  # fmt: skip
    return SampleRecord(**{**given, **fields})


def saved(response: Response, asked: Request, **fields: Any) -> Saved:
    given: dict[str, Any] = {"study": "s", "split": "search", "number": 0, "paid": True, "spending": Spending()}
    return Saved(key=asked.key, request=asked, response=response, **{**given, **fields})


def keep(store: Store, response: Response, asked: Request | None = None, **fields: Any) -> str:
    asked = asked or request()
    asyncio.run(store.save_call(saved(response, asked, **fields)))
    return asked.key


def damage(store: Store, column: str, text: str) -> None:
    """Store a study 'half' of which one column holds something else."""
    store.open_study("half", {"seed": 0})
    store.open_version("half", {})
    table = "versions" if column == "summary" else "studies"
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE prompt_search_{table} SET {column} = '{text}' WHERE study = 'half'")


ELSEWHERE = Owner(host="far", machine="far", process=1, started="1.00 s")


STORED: dict[str, Any] = {
    "winner": 3, "baseline": 0, "hand_written": None, "order": [3, 0], "budget": {"calls": 60}, "calls": 58,
    "reused": 0, "tokens": 41, "usd": None, "seconds": 4.5, "metric": "exact", "model": "m", "template": "t.j2",
    "candidates": [8640, True], "search_rows": 20, "held_out_rows": 10, "tested": True, "sealed": "digest",
    "effects": [{"choice": "cue", "p": None}], "interactions": [],
}  # fmt: skip


def summary(**fields: Any) -> Summary:
    return Summary(**{**STORED, "candidates": (8640, True), **fields})
