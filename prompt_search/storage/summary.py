"""The summary of a finished study, and the settings that make a study the same study."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from prompt_search.budget import Spending


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a finished study.

    ``order`` holds all trials in the order in which the search ranks them, ``budget`` the limits by name,
    ``candidates`` the size of the space and whether it is exact, ``sealed`` a digest of the test rows, ``test_uses``
    the number of winners that were tested on them until then (0 where it was not counted), ``rescored`` the study and
    the metric that this one was rescored from, ``dialect`` what was learned of the servers, in sentences,
    ``next_call`` the number that the study's next call would have got (None where it was not kept), ``lost_calls``,
    ``lost_tokens`` and ``lost_usd`` the most that was sent besides by processes that ended before the answers were
    stored, ``unmet`` what each operator of a proposer needs, by its name, where the budget had room for proposals and
    none was asked for, ``unused`` the calls that nothing was left to use for, by their part (``search``, whose winner
    was scored on all rows, and ``test``), and ``effects`` and ``interactions`` the lines of `tables.effects_frame` and
    `tables.interactions_frame`. ``usd`` is None where a price is unknown. ``batched`` is the number of
    responses that came by batches.
    """

    winner: int
    baseline: int = 0
    hand_written: int | None = None
    order: list[int]
    budget: dict[str, int | float]
    calls: int
    reused: int = 0
    tokens: int
    usd: float | None
    seconds: float
    metric: str = ""
    model: str
    template: str = ""
    candidates: tuple[int, bool]
    search_rows: int
    held_out_rows: int
    tested: bool
    sealed: str
    effects: list[dict[str, Any]] = field(default_factory=list)
    interactions: list[dict[str, Any]] = field(default_factory=list)
    test_uses: int = 0
    rescored: dict[str, str] = field(default_factory=dict)
    dialect: list[str] = field(default_factory=list)
    next_call: int | None = None
    batched: int = 0
    lost_calls: int = 0
    lost_tokens: int = 0
    lost_usd: float = 0.0
    unmet: dict[str, str] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> Spending:
        """What was sent besides by processes that ended before the answers were stored."""
        return Spending(calls=self.lost_calls, tokens=self.lost_tokens, usd=self.lost_usd)

    @property
    def scarcest(self) -> str:
        """The name of the limit of which the largest share was used."""
        used = {"calls": self.calls, "tokens": self.tokens, "usd": self.usd or 0.0, "seconds": self.seconds}
        return max(self.budget, key=lambda name: used[name] / self.budget[name] if self.budget[name] else math.inf)

    def to_dict(self) -> dict[str, Any]:
        """The fields as they are stored; those that may be missing only where they say something."""
        found = {each.name: getattr(self, each.name) for each in fields(self)} | {"candidates": list(self.candidates)}
        lost = ("lost_calls", "lost_tokens", "lost_usd")
        for name in ("rescored", "dialect", "test_uses", "next_call", "batched", *lost, "unmet", "unused"):
            if not found[name]:
                del found[name]
        return found


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Those settings of a study that results show; a stored identity has more."""

    data: str = ""
    metric: str = ""
    models: list[tuple[str, str]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)


SHOWN_ALONE = ("metric_range",)
"""Settings of an identity that results are shown by, and that may differ between runs of the same study."""
