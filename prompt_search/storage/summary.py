"""The summary of a finished study, and the settings that make a study the same study."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any

from prompt_search._json import json_text


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a finished study.

    ``order`` holds all trials in the order in which the search ranks them, ``budget`` the limits by name,
    ``candidates`` the size of the space and whether it is exact, ``sealed`` a digest of the test rows, ``rescored`` the
    study and the metric that this one was rescored from, ``dialect`` what was learned of the servers, in sentences, and
    ``effects`` and ``interactions`` the lines of `tables.effects_frame` and `tables.interactions_frame`. ``usd`` is
    None where a price is unknown.
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
    rescored: dict[str, str] = field(default_factory=dict)
    dialect: list[str] = field(default_factory=list)

    @property
    def scarcest(self) -> str:
        """The name of the limit of which the largest share was used."""
        used = {"calls": self.calls, "tokens": self.tokens, "usd": self.usd or 0.0, "seconds": self.seconds}
        return max(self.budget, key=lambda name: used[name] / self.budget[name] if self.budget[name] else math.inf)

    def to_dict(self) -> dict[str, Any]:
        """The fields as they are stored; ``rescored`` and ``dialect`` only where they say something."""
        fields = {**asdict(self), "candidates": list(self.candidates)}
        for name in ("rescored", "dialect"):
            if not fields[name]:
                del fields[name]
        return fields


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Those settings of a study that results show; a stored identity has more."""

    data: str = ""
    metric: str = ""
    models: list[tuple[str, str]] = field(default_factory=list)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], but: Collection[str] = ()) -> str:
    """The differences between two identities, in words; settings named in ``but`` may differ."""
    now = json.loads(json_text(now))
    changed = sorted(key for key in {*now, *before} if key not in but and now.get(key) != before.get(key))
    return "; ".join(f"{key} {_change(before.get(key), now.get(key))}" for key in changed)


def _change(before: Any, now: Any) -> str:
    """``was …, is …`` around the first difference."""
    texts = ["absent" if value is None else json.dumps(value, ensure_ascii=False) for value in (before, now)]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False)))
    start = max(0, same - 30)
    was, is_now = (
        f"{'…' if start else ''}{text[start : start + 80]}{'…' if len(text) > start + 80 else ''}" for text in texts
    )
    return f"was {was}, is {is_now}"
