"""The differences between the settings of two studies, in words."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile, zip_longest
from typing import Any

from prompt_search._json import json_text

LONGEST = 80
"""Number of characters of a value that are shown from its first difference on."""


def changes(before: Mapping[str, Any], now: Mapping[str, Any], but: Collection[str] = ()) -> str:
    """The differences between two identities, in words; settings named in ``but`` may differ."""
    now = json.loads(json_text(now))
    changed = sorted(key for key in {*now, *before} if key not in but and now.get(key) != before.get(key))
    return "; ".join(_described(key, before.get(key), now.get(key)) for key in changed)


def _described(key: str, before: Any, now: Any) -> str:
    """One setting that differs, in the words that fit it; values of an unknown shape as JSON."""
    words = {
        "models": _models,
        "rows": _rows,
        "template": _template,
        "enqueued": _enqueued,
        "data": _data,
        "proposer": _proposer,
        "prior": _prior,
    }.get(key)
    known = None not in (before, now) or key in ("proposer", "prior")  # which a study need not have
    try:
        told = words(before, now) if words is not None and known else ""
    except (AttributeError, KeyError, TypeError, ValueError):  # of another release
        told = ""
    return told or f"{key} {_change(before, now)}"


def _models(before: Any, now: Any) -> str:
    was, is_now = (", ".join(f"{name} at {endpoint}" for name, endpoint in models) for models in (before, now))
    return f"models was {was}, is {is_now}"


def _proposer(before: Any, now: Any) -> str:
    if now is None:
        name = before["model"]
        return f"proposer was {name}, is none: give it again (on the command line --propose {name})"
    if before is None:
        return f"proposer was none, is {now['model']}: leave it out"
    was, is_now = (f"{each['model']} at {each['endpoint']}" for each in (before, now))
    return "" if was == is_now else f"proposer was {was}, is {is_now}"


def _prior(before: Any, now: Any) -> str:
    was, is_now = (each["study"] if isinstance(each, Mapping) else each or "none" for each in (before, now))
    if now is None:
        return f"prior was {was}, is none: give it again (on the command line --prior {was})"
    if before is None:
        return f"prior was none, is {is_now}: leave it out"
    return "" if was == is_now else f"prior was {was}, is {is_now}"


def _rows(before: Any, now: Any) -> str:
    if before[:2] == now[:2]:
        return f"rows was another choice of {now[1]} test rows, is this one"
    was, is_now = (f"{searched} to search and {tested} to test" for searched, tested, _ in (before, now))
    return f"rows was {was}, is {is_now}"


def _data(before: Any, now: Any) -> str:
    return "data was other rows, fields or targets, is these"


def _template(before: str, now: str) -> str:
    lines = zip_longest(before.splitlines(), now.splitlines())
    for number, (was, is_now) in enumerate(lines, start=1):
        if was != is_now:
            return f"template line {number} {_change(was, is_now)}"
    return ""


def _enqueued(before: Any, now: Any) -> str:
    missing = [_candidate(each) for each in before if each not in now]
    added = [_candidate(each) for each in now if each not in before]
    told = []
    if missing:
        told.append(f"enqueued was also {', '.join(missing)}: enqueue it again (a prompt also by --prompt FILE)")
    if added:
        told.append(f"enqueued is now {', '.join(added)}, too: leave it out")
    return "; ".join(told) or "enqueued was the same candidates in another order"


def _candidate(described: Mapping[str, Any]) -> str:
    """A candidate that was enqueued: the name of its prompt, or its choices."""
    if "prompt" in described and "written" in described:
        return f"the prompt {described['written']!r}"
    return ", ".join(f"{name}={_shown(text, 0)}" for name, text in described.items())


def _change(before: Any, now: Any) -> str:
    """``was …, is …`` around the first difference."""
    texts = ["absent" if value is None else json.dumps(value, ensure_ascii=False) for value in (before, now)]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False)))
    start = max(0, same - 30)
    was, is_now = (f"{'…' if start else ''}{_clipped(text, start)}" for text in texts)
    return f"was {was}, is {is_now}"


def _shown(value: Any, start: int) -> str:
    return _clipped(json.dumps(value, ensure_ascii=False), start)


def _clipped(text: Sequence[str] | str, start: int) -> str:
    return f"{text[start : start + LONGEST]}{'…' if len(text) > start + LONGEST else ''}"
