"""The tables made of stored records: calls, scored rows, trials, costs and progress; pure functions to pandas frames.

A table has one row per call, trial and so on, in a stable order, and columns in snake case with the unit in their name.
What is not known is NaN (``<NA>`` for counts, None for texts), never 0. Columns with a few repeated words (``state``,
``split``, ``role``) are categoricals.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from prompt_search.metrics.ranges import SHARE, UNBOUNDED, Range
from prompt_search.results.frames import categorical, frame_of, series
from prompt_search.results.lines.task_rows import calls_of_rows
from prompt_search.results.statistics import mean_intervals
from prompt_search.storage.records import USAGE_FIELDS, Columns, SampleRecord, TrialRecord

CALL_COLUMNS = (
    "call", "key", "role", "split", "attempts", "response", "error", "prompt_tokens", "cached_tokens",
    "completion_tokens", "latency_s", "cost_usd", "finish_reason", "reasoning_tokens", "batch_discount",
)  # fmt: skip
SAMPLE_COLUMNS = (
    "trial", "row", "split", "answer", "target", "score", "error", "response", "prompt_tokens",
    "completion_tokens", "latency_s", "cached", "finish_reason", "ambiguous",
)  # fmt: skip
TRIAL_COLUMNS = (
    "trial", "state", "score", "score_low", "score_high", "estimate", "rows", "search_rows", "prompt_tokens",
    "cost_usd", "latency_s", "unparsed", "errors", "ambiguous", "reason",
)  # fmt: skip
PARETO_COLUMNS = (
    "trial", "score", "score_low", "score_high", "estimate", "rows", "search_rows", "prompt_tokens", "cost_usd",
    "latency_s", "usd_per_1000_rows", "front_tokens", "front_cost", "front_latency",
)  # fmt: skip
LEDGER_COLUMNS = (
    "role", "requests", "calls", "reused", "prompt_tokens", "completion_tokens", "cost_usd", "seconds", "errors",
    "batched",
)  # fmt: skip
ANSWER_COLUMNS = (
    "answer", "response", "unparsed", "error", "prompt_tokens", "completion_tokens", "cost_usd", "latency_s", "cached",
    "finish_reason", "ambiguous",
)  # fmt: skip
PROGRESS_COLUMNS = ("trial", "calls", "score", "rows", "best_trial", "best_score", "best_low", "best_high")

UNREAD = "unparsed: "
"""How the explanation of an answer that could not be read begins; the reason follows."""

FRONTS = {"front_tokens": "prompt_tokens", "front_cost": "usd_per_1000_rows", "front_latency": "latency_s"}
"""The columns that say whether a trial is on a Pareto front, with the cost that each front is about."""

STATES = ("running", "complete", "pruned", "failed")
SPLITS = ("search", "test", "evaluation")
ROLES = ("task", "bootstrap", "proposer", "judge", "audit", "lost")


def calls_frame(calls: Columns) -> pd.DataFrame:
    """One row per request that the study used, in the order in which they were answered.

    Columns: ``call`` int; ``key`` of the request; ``role`` task, bootstrap, proposer, judge or audit; ``split``;
    ``attempts`` int, number of times that it was sent, 0 for a response from the cache; ``response`` text; ``error``
    text or None;
    ``prompt_tokens``, ``cached_tokens`` (prompt tokens that the server had in its cache) and ``completion_tokens``
    Int64; ``latency_s`` float seconds; ``cost_usd`` float US dollars; ``finish_reason`` as the server gave it;
    ``reasoning_tokens`` Int64, the part of ``completion_tokens`` that is no answer; ``batch_discount`` float,
    the share of the price that a batch took off, NaN for a request that was sent alone.
    """
    frame = pd.DataFrame(
        {
            "call": series(calls["number"], "int64"),
            "key": series(calls["key"]),
            "role": categorical(calls["role"], ROLES),
            "split": categorical(calls["split"], SPLITS),
            "attempts": series(calls["attempts"], "int64"),
            "response": series(calls["text"]),
            "error": series(calls["error"]),
            **{name: series(calls[name], "Int64") for name in USAGE_FIELDS},
            **{name: series(calls[name], "float64") for name in ("latency_s", "cost_usd")},
            "finish_reason": series(calls["finish_reason"]),
            "batch_discount": series(calls["batch_discount"], "float64"),
        }
    )
    return frame[list(CALL_COLUMNS)].sort_values("call", kind="stable", ignore_index=True)


def scored_frame(samples: Sequence[SampleRecord], calls: pd.DataFrame) -> pd.DataFrame:
    """One row per (trial, row, split) with everything that is known of it. The other tables are made of this one.

    Columns: those of `samples_frame`; ``unparsed`` bool; ``explanation`` of the metric; ``key`` of the request;
    ``call`` int, the request's place among those of the study; ``cost_usd`` float US dollars of the request when it is
    sent alone, so that prompts can be compared; with a task those of `calls_of_rows`.

    Args:
        samples: the stored rows, in any order.
        calls: the study's requests, see `calls_frame`.

    Raises:
        LookupError: a sample has no call.
    """
    fields = {field.name: list(map(attrgetter(field.name), samples)) for field in dataclasses.fields(SampleRecord)}
    alone = calls["cost_usd"] / (1 - calls["batch_discount"].fillna(0.0))
    answered = calls_of_rows(samples, calls.assign(cost_usd=alone))
    frame = pd.DataFrame(
        {
            **{name: series(fields[name], "int64") for name in ("trial", "row")},
            "split": categorical(fields["split"], SPLITS),
            **{name: series(fields[name]) for name in ("answer", "target")},
            "score": series(fields["score"], "float64"),
            "error": series(fields["error"]),
            **{name: answered[name] for name in ("response", "prompt_tokens", "completion_tokens", "latency_s")},
            "finish_reason": answered["finish_reason"],
            "cached": series(fields["cached"], "bool"),
            "ambiguous": series(fields["ambiguous"], "bool"),
            "unparsed": series(fields["unparsed"], "bool"),
            **{name: series(fields[name]) for name in ("explanation", "key")},
            **{name: answered[name] for name in ("call", "cost_usd", *answered.columns.intersection(["calls"]))},
        }
    )
    return frame.sort_values(["trial", "split", "row"], kind="stable", ignore_index=True)


def samples_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """One row per (trial, row, split), by trial, split and row.

    Columns: ``trial`` int; ``row`` int, position in the data; ``split`` ``search`` or ``test``; ``answer``, parsed
    from the response, None when it could not be parsed; ``target``; ``score`` float, 0 when the request failed by
    the prompt's fault, NaN when it failed otherwise; ``error`` text or None; ``response`` text; ``prompt_tokens`` and
    ``completion_tokens`` Int64; ``latency_s`` float seconds; ``cached`` bool, whether the response came from the cache;
    ``finish_reason`` as the server gave it, ``length`` where the token limit truncated the response; ``ambiguous``
    bool, whether the response mentions several possible answers, so that the first was taken.
    With a task also ``calls`` int, the number of calls of the row: ``response`` and ``finish_reason`` are then those of
    the last call, or of the one that failed; tokens and seconds are sums over the calls.
    """
    return scored[[*SAMPLE_COLUMNS, *scored.columns.intersection(["calls"])]].copy()


def answers_frame(
    fields: Mapping[str, Sequence[Any]],
    samples: Sequence[SampleRecord],
    calls: pd.DataFrame,
    *,
    rows: int,
    unsent: str,
    index: Any = None,
) -> pd.DataFrame:
    """One row per row that a model was asked about; `Prompt.ask_many` has the columns.

    Args:
        fields: the columns of the rows.
        samples: what came of the rows that were sent, by row.
        calls: their requests, see `calls_frame`.
        rows: the number of rows.
        unsent: the error of the rows that were not sent.
        index: the index of the table; default: the numbers of the rows.
    """
    own = {"row", *ANSWER_COLUMNS}
    given = {f"{name} (field)" if name in own else name: list(values) for name, values in fields.items()}
    found: list[SampleRecord | None] = [None] * rows
    for sample in samples:
        found[sample.row] = sample
    answered = calls.set_index("key").reindex(series([sample.key if sample else None for sample in found]))
    columns = {
        "answer": series([sample.answer if sample else None for sample in found]),
        "response": series([text if isinstance(text, str) else None for text in answered["response"]]),
        "unparsed": series(
            [sample.explanation.removeprefix(UNREAD) if sample and sample.unparsed else None for sample in found]
        ),
        "error": series([sample.error if sample else unsent for sample in found]),
        "cached": series([sample is not None and sample.cached for sample in found], "bool"),
        "finish_reason": series([text if isinstance(text, str) else None for text in answered["finish_reason"]]),
        "ambiguous": series([sample is not None and sample.ambiguous for sample in found], "bool"),
        **{name: answered[name].reset_index(drop=True) for name in ("prompt_tokens", "completion_tokens")},
        **{name: answered[name].reset_index(drop=True) for name in ("cost_usd", "latency_s")},
    }
    frame = pd.DataFrame(
        {"row": series(range(rows), "int64"), **given, **{name: columns[name] for name in ANSWER_COLUMNS}}
    )
    return frame if index is None else frame.set_axis(index, axis=0)


def trials_frame(
    trials: Sequence[TrialRecord], scored: pd.DataFrame, names: Sequence[str], bounds: Range = UNBOUNDED
) -> pd.DataFrame:
    """One row per trial, in the order in which they were started.

    Columns: ``trial`` int; ``state`` running, complete, pruned or failed; ``score`` mean over the search rows (those
    that failed by the prompt's fault score 0, others that failed are left out) with its 95% interval ``score_low``,
    ``score_high``; ``estimate``, the selection-corrected score that is expected on new rows, NaN until the study is
    finished; ``rows`` number of evaluated rows, failed requests and test rows included; ``search_rows`` number of
    search rows that ``score`` is the mean of; ``prompt_tokens`` and ``latency_s`` means per request, with a task per
    row; ``cost_usd`` US dollars for all its requests if they were sent alone (refused ones cost nothing), NaN when a
    price is unknown; ``unparsed``, ``errors`` and ``ambiguous`` counts over the search rows, as ``score``; ``reason``
    why it ended; then one column per choice (the option's text, None when it is inactive) and ``prompt``, the text with
    fields in braces.

    Args:
        trials: the trials.
        scored: their scored rows, see `scored_frame`.
        names: the names of the choices.
        bounds: the range of the metric, which intervals and estimates keep to.

    Raises:
        LookupError: a scored row has no trial.
    """
    place = pd.Index([trial.trial for trial in trials], dtype="int64").get_indexer(pd.Index(scored["trial"]))
    if (place < 0).any():
        raise LookupError("a scored row has no trial")
    count = len(trials)
    searched = (scored["split"] == "search").to_numpy()
    scores = np.where(searched, scored["score"].to_numpy(), math.nan)
    means, low, high = _group_intervals(place, scores, count, bounds)
    refused = scored["error"].notna() & scored["score"].notna()
    costs = scored["cost_usd"].mask(scored["cost_usd"].isna() & refused, 0.0)  # what is refused is not billed
    prompt_tokens = scored["prompt_tokens"].to_numpy("float64", na_value=math.nan)
    return pd.DataFrame(
        {
            "trial": series([trial.trial for trial in trials], "int64"),
            "state": categorical([trial.state for trial in trials], STATES),
            "score": means,
            "score_low": low,
            "score_high": high,
            "estimate": series([trial.estimate for trial in trials], "float64").clip(*bounds),
            "rows": _group_count(place, np.full(len(scored), True), count),
            "search_rows": _group_count(place, ~np.isnan(scores), count),
            "prompt_tokens": _group_mean(place, prompt_tokens, count),
            "cost_usd": np.bincount(place, weights=costs.to_numpy(), minlength=count),
            "latency_s": _group_mean(place, scored["latency_s"].to_numpy(), count),
            "unparsed": _group_count(place, searched & scored["unparsed"].to_numpy(), count),
            "errors": _group_count(place, searched & scored["error"].notna().to_numpy(), count),
            "ambiguous": _group_count(place, searched & scored["ambiguous"].to_numpy(), count),
            "reason": series([trial.reason for trial in trials]),
            **{name: series([trial.choices.get(name) for trial in trials]) for name in names},
            "prompt": series([trial.text for trial in trials]),
        }
    )


def _group_count(place: np.ndarray, chosen: np.ndarray, groups: int) -> np.ndarray:
    """The number of chosen rows in each group; ``place`` has the group of each row."""
    return np.bincount(place[chosen], minlength=groups).astype("int64")


def _group_mean(place: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    """The mean of the known values in each group; NaN without any."""
    known = ~np.isnan(values)
    total = np.bincount(place[known], weights=values[known], minlength=groups)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / _group_count(place, known, groups))


def _group_intervals(
    place: np.ndarray, scores: np.ndarray, groups: int, bounds: Range
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of the known scores in each group, and the ends of its 95% interval."""
    means = _group_mean(place, scores, groups)
    counts = _group_count(place, ~np.isnan(scores), groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.sqrt(_group_mean(place, (scores - means[place]) ** 2, groups) * counts / (counts - 1))
    other = ~np.isin(scores, (0, 1)) & ~np.isnan(scores)
    binary = _group_count(place, other, groups) == 0 if bounds in (UNBOUNDED, SHARE) else np.full(groups, False)
    low, high = mean_intervals(counts, means, deviations, binary, bounds=bounds)
    return means, low, high


def pareto_frame(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial that no other beats both in score and in tokens, cost or latency; highest score first.

    Trials are compared by ``estimate`` where it is known, because the highest raw scores are those of lucky trials on
    few rows; else by ``score``.

    Columns: the columns of `trials_frame` that are numbers; ``usd_per_1000_rows`` US dollars; ``front_tokens``,
    ``front_cost``, ``front_latency`` bool: every trial that scores as much or more has a longer prompt, costs more per
    row, answers later. A trial whose cost is unknown is not on that front.
    """
    frame = with_fronts(trials)
    kept = frame[frame[list(FRONTS)].any(axis=1)].sort_values("value", ascending=False, kind="stable")
    return kept[list(PARETO_COLUMNS)].reset_index(drop=True)


def with_fronts(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials with their costs (`with_costs`) and, for each of the `FRONTS`, whether the trial is on it, bool.

    Charts of score against cost draw these points.
    """
    frame = with_costs(trials)
    value = frame["value"]
    for front, cost in FRONTS.items():
        best = value.dropna().groupby(frame[cost]).max()  # by rising cost
        before = best.cummax().shift(fill_value=-math.inf)
        frame[front] = (value == frame[cost].map(best)) & (value > frame[cost].map(before))
    return frame


def with_costs(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials (`trials_frame`) with ``value``, the score that they are compared by: ``estimate`` where it is known, else
    ``score``; and with ``usd_per_1000_rows``, US dollars.

    Costs and times that differ by rounding alone are equal. The columns of choices are left out, because a choice may
    have any name that is added here or later.
    """
    rows = trials["rows"].where(trials["rows"] > 0)
    return trials[list(TRIAL_COLUMNS)].assign(
        value=trials["estimate"].fillna(trials["score"]),
        usd_per_1000_rows=(1000 * trials["cost_usd"] / rows).round(12),
        latency_s=trials["latency_s"].round(9),
    )


def prompt_sizes(trials: pd.DataFrame) -> tuple[pd.Series[float], str]:
    """The size of each trial's prompt, and its unit: mean prompt tokens per request, or characters where the tokens of
    some trial are not known. The index is the trial."""
    frame = trials.set_index("trial")
    if frame["prompt_tokens"].notna().all():
        return frame["prompt_tokens"], "prompt tokens"
    return frame["prompt"].str.len().astype("float64"), "characters"


def ledger_frame(calls: pd.DataFrame) -> pd.DataFrame:
    """One row per role of requests, with what was spent on them.

    Columns: ``role`` task, bootstrap, proposer, judge or audit, or lost (see `with_lost`); ``requests`` used; ``calls``
    sent, retries included; ``reused`` requests that other studies had paid for; then of those that were sent:
    ``prompt_tokens`` and ``completion_tokens`` Int64 (``<NA>`` where a server does not count), ``cost_usd`` US dollars
    (NaN where a price is unknown), ``seconds`` sum of the latencies; ``errors`` requests that failed in the end;
    ``batched`` requests whose response came by a batch.

    Args:
        calls: the study's requests, see `calls_frame`.
    """
    records = []
    for role, of_role in calls.groupby("role", sort=True, observed=True):
        sent = of_role[of_role["attempts"] > 0]
        answered = sent[sent["error"].isna()]  # a failed request has no price and is not billed
        tokens = {name: answered[name].sum(skipna=False) for name in ("prompt_tokens", "completion_tokens")}
        records.append(
            {
                "role": role,
                "requests": len(of_role),
                "calls": of_role["attempts"].sum(),
                "reused": len(of_role) - len(sent),
                **tokens,
                "cost_usd": answered["cost_usd"].sum(skipna=False),
                "seconds": sent["latency_s"].sum(),
                "errors": of_role["error"].notna().sum(),
                "batched": sent["batch_discount"].notna().sum(),
            }
        )
    whole = dict.fromkeys(("requests", "calls", "reused", "errors", "batched"), "int64")
    tokens_whole = dict.fromkeys(("prompt_tokens", "completion_tokens"), "Int64")
    frame = frame_of(records, LEDGER_COLUMNS).astype(
        {**whole, **tokens_whole, "cost_usd": "float64", "seconds": "float64"}
    )
    return frame.assign(role=categorical(frame["role"].tolist(), ROLES))


def progress_frame(scored: pd.DataFrame, bounds: Range = UNBOUNDED) -> pd.DataFrame:
    """One row per trial with a score, in the order in which the trials got their last search score.

    Columns: ``trial``; ``calls`` answered when it got its last search score; ``score`` mean over its ``rows``; then the
    best trial at that moment, by the lower end of the 95% interval, so that a score on few rows counts for less:
    ``best_trial``, its ``best_score`` and the interval ``best_low``, ``best_high``.

    Args:
        scored: the scored rows, see `scored_frame`.
        bounds: the range of the metric, which intervals keep to.
    """
    found = scored[(scored["split"] == "search") & scored["score"].notna()].sort_values("call", kind="stable")
    trials, codes = np.unique(found["trial"].to_numpy(), return_inverse=True)
    score, call = found["score"].to_numpy(), found["call"].to_numpy()
    last = np.zeros(len(trials), dtype=int)
    np.maximum.at(last, codes, np.arange(len(codes)))
    binary = np.full(len(trials), bounds in (UNBOUNDED, SHARE) and bool(np.isin(score, (0, 1)).all()))
    counts, totals, squares = (np.zeros(len(trials)) for _ in range(3))
    records, done = [], 0
    for trial in np.argsort(last):
        end = int(last[trial]) + 1
        for sums, values in ((counts, np.ones(end - done)), (totals, score[done:end]), (squares, score[done:end] ** 2)):
            np.add.at(sums, codes[done:end], values)
        done = end
        with np.errstate(invalid="ignore", divide="ignore"):
            means = totals / counts
            deviations = np.sqrt(np.maximum(squares - counts * means**2, 0) / (counts - 1))
        low, high = mean_intervals(counts, means, deviations, binary, bounds=bounds)
        by_low = np.nan_to_num(low, nan=-math.inf)
        best = int(np.argmax(by_low)) if np.isfinite(by_low).any() else int(np.nanargmax(means))
        leader = (trials[best], means[best], low[best], high[best])
        records.append((trials[trial], call[end - 1] + 1, means[trial], counts[trial], *leader))
    whole = dict.fromkeys(("trial", "calls", "rows", "best_trial"), "int64")
    numbers = dict.fromkeys(("score", "best_score", "best_low", "best_high"), "float64")
    return pd.DataFrame(records, columns=list(PROGRESS_COLUMNS)).astype({**whole, **numbers})
