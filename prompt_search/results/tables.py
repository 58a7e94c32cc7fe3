"""The tables: pure functions from stored records to pandas frames.

Every table has one row per something, in a stable order, and columns in snake case with the unit in their name. What
is not known is NaN (``<NA>`` for counts, None for texts), never 0. Columns with a few repeated words (``state``,
``split``, ``role``) are categoricals.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prompt_search.errors import InputError, MissingExtra
from prompt_search.results.statistics import mean_interval, mean_intervals
from prompt_search.storage.records import USAGE_FIELDS, Columns, SampleRecord, TrialRecord

TRIAL_COLUMNS = (
    "trial", "state", "score", "score_low", "score_high", "estimate", "rows", "search_rows", "prompt_tokens",
    "cost_usd", "latency_s", "unparsed", "errors", "reason",
)  # fmt: skip
SAMPLE_COLUMNS = (
    "trial", "row", "split", "answer", "target", "score", "error", "response", "prompt_tokens",
    "completion_tokens", "latency_s", "cached", "finish_reason",
)  # fmt: skip
EFFECT_COLUMNS = (
    "choice", "option", "effect", "effect_low", "effect_high", "p", "estimate", "trials", "importance",
)  # fmt: skip
SHOWN_P = 0.05
PARETO_COLUMNS = (
    "trial", "score", "score_low", "score_high", "estimate", "rows", "search_rows", "prompt_tokens", "cost_usd",
    "latency_s", "usd_per_1000_rows", "front_tokens", "front_cost", "front_latency",
)  # fmt: skip
FRONTS = {"front_tokens": "prompt_tokens", "front_cost": "usd_per_1000_rows", "front_latency": "latency_s"}
"""The columns of a Pareto front, and the costs that they go by."""

LEDGER_COLUMNS = (
    "role", "requests", "calls", "reused", "prompt_tokens", "completion_tokens", "cost_usd", "seconds", "errors",
)  # fmt: skip
PROGRESS_COLUMNS = ("trial", "calls", "score", "rows", "best_trial", "best_score", "best_low", "best_high")
SLICE_COLUMNS = ("trial", "split", "rows", "score", "score_low", "score_high")
LABEL_COLUMNS = ("label", "rows", "answered", "right", "recall", "recall_low", "recall_high", "precision", "bias")
UNPARSED = "(unparsed)"
FOLD_COLUMNS = ("study", "winner", "changes", "rows", "default_score", "winner_score")
INTERACTION_COLUMNS = (
    "choice", "option", "other_choice", "other_option", "effect", "effect_low", "effect_high",
)  # fmt: skip
CALL_COLUMNS = (
    "call", "key", "role", "split", "attempts", "response", "error", "prompt_tokens", "cached_tokens",
    "completion_tokens", "latency_s", "cost_usd", "finish_reason",
)  # fmt: skip
STATES = ("running", "complete", "pruned", "failed")
SPLITS = ("search", "test", "evaluation")
ROLES = ("task", "proposer", "judge", "audit")


def calls_frame(calls: Columns) -> pd.DataFrame:
    """One row per request that the study used, in the order they were answered.

    Columns: ``call`` int; ``key`` of the request; ``role`` task, proposer, judge or audit; ``split``; ``attempts``
    really sent, 0 when the response was stored before; ``response`` text; ``error`` text or None; ``prompt_tokens``,
    ``cached_tokens`` (the part the server had in its cache) and ``completion_tokens`` Int64; ``latency_s`` seconds;
    ``cost_usd`` US dollars; ``finish_reason`` as the server gave it.
    """
    frame = pd.DataFrame(
        {
            "call": _series(calls["number"], "int64"),
            "key": _series(calls["key"]),
            "role": _words(calls["role"], ROLES),
            "split": _words(calls["split"], SPLITS),
            "attempts": _series(calls["attempts"], "int64"),
            "response": _series(calls["text"]),
            "error": _series(calls["error"]),
            **{name: _series(calls[name], "Int64") for name in USAGE_FIELDS},
            **{name: _series(calls[name], "float64") for name in ("latency_s", "cost_usd")},
            "finish_reason": _series(calls["finish_reason"]),
        }
    )
    return frame[list(CALL_COLUMNS)].sort_values("call", kind="stable", ignore_index=True)


def scored_frame(samples: Sequence[SampleRecord], calls: pd.DataFrame) -> pd.DataFrame:
    """One row per (trial, row, split) with all that is known of it, from which the other tables are made.

    Columns: those of `samples_frame`; ``unparsed`` bool; ``explanation`` of the metric; ``key`` of the request;
    ``call`` int, its place among the study's requests; ``cost_usd``.

    Args:
        samples: in any order.
        calls: see `calls_frame`.
    """
    fields = {field.name: list(map(attrgetter(field.name), samples)) for field in dataclasses.fields(SampleRecord)}
    places = pd.Index(calls["key"]).get_indexer(pd.Index(_series(fields["key"])))
    if (places < 0).any():
        raise LookupError("a scored row has no call")
    told = calls.take(places).reset_index(drop=True)
    frame = pd.DataFrame(
        {
            **{name: _series(fields[name], "int64") for name in ("trial", "row")},
            "split": _words(fields["split"], SPLITS),
            **{name: _series(fields[name]) for name in ("answer", "target")},
            "score": _series(fields["score"], "float64"),
            "error": _series(fields["error"]),
            **{name: told[name] for name in ("response", "prompt_tokens", "completion_tokens", "latency_s")},
            "finish_reason": told["finish_reason"],
            "cached": _series(fields["cached"], "bool"),
            "unparsed": _series(fields["unparsed"], "bool"),
            **{name: _series(fields[name]) for name in ("explanation", "key")},
            **{name: told[name] for name in ("call", "cost_usd")},
        }
    )
    return frame.sort_values(["trial", "split", "row"], kind="stable", ignore_index=True)


def samples_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """One row per (trial, row, split), by trial, split and row.

    Columns: ``trial`` int; ``row`` int, position in the data; ``split`` ``search`` or ``test``; ``answer`` what
    was read from the response, None when nothing could be; ``target``; ``score`` float, NaN when the request
    failed; ``error`` text or None; ``response`` text; ``prompt_tokens`` and ``completion_tokens`` Int64;
    ``latency_s`` float seconds; ``cached`` bool, whether the response was there already;
    ``finish_reason`` as the server gave it: ``length`` where the token limit cut the response off.
    """
    return scored[list(SAMPLE_COLUMNS)].copy()


def trials_frame(trials: Sequence[TrialRecord], scored: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """One row per trial, in the order in which they were begun.

    Columns: ``trial`` int; ``state`` running, complete, pruned or failed; ``score`` mean over the search rows
    (failed requests left out) with its 95% interval ``score_low``, ``score_high``; ``estimate`` of its true score
    from all trials' scores, which is lower for one that was lucky, NaN until the study is finished; ``rows`` scored,
    sealed ones included; ``search_rows`` scored in the search; ``prompt_tokens`` and ``latency_s`` means per request;
    ``cost_usd`` US dollars for all its requests, NaN when a price is unknown; ``unparsed`` and ``errors``
    counts; ``reason`` why it ended; then one column per choice (text of the option, None when inactive) and
    ``prompt``, the whole text with fields in braces.

    Args:
        trials: the trials.
        scored: see `scored_frame`.
        names: the choices.
    """
    place = pd.Index([trial.trial for trial in trials], dtype="int64").get_indexer(pd.Index(scored["trial"]))
    if (place < 0).any():
        raise LookupError("a scored row has no trial")
    searched = (scored["split"] == "search").to_numpy()
    score = scored["score"].to_numpy()

    def count(which: Any) -> np.ndarray:
        return np.bincount(place[np.asarray(which, dtype=bool)], minlength=len(trials))

    def mean(values: np.ndarray) -> np.ndarray:
        known = ~np.isnan(values)
        total = np.bincount(place[known], weights=values[known], minlength=len(trials))
        with np.errstate(invalid="ignore"):
            return np.asarray(total / count(known))

    scores = np.where(searched, score, math.nan)
    means = mean(scores)
    counts = count(~np.isnan(scores))
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.sqrt(mean((scores - means[place]) ** 2) * counts / (counts - 1))
    low, high = mean_intervals(counts, means, deviations, count(~np.isin(scores, (0, 1)) & ~np.isnan(scores)) == 0)
    return pd.DataFrame(
        {
            "trial": _series([trial.trial for trial in trials], "int64"),
            "state": _words([trial.state for trial in trials], STATES),
            "score": means,
            "score_low": low,
            "score_high": high,
            "estimate": _series([trial.estimate for trial in trials], "float64"),
            "rows": count(np.full(len(scored), True)).astype("int64"),
            "search_rows": count(searched).astype("int64"),
            "prompt_tokens": mean(scored["prompt_tokens"].to_numpy("float64", na_value=math.nan)),
            "cost_usd": np.bincount(place, weights=scored["cost_usd"].to_numpy(), minlength=len(trials)),
            "latency_s": mean(scored["latency_s"].to_numpy()),
            "unparsed": count(scored["unparsed"]).astype("int64"),
            "errors": count(scored["error"].notna()).astype("int64"),
            "reason": _series([trial.reason for trial in trials]),
            **{name: _series([trial.choices.get(name) for trial in trials]) for name in names},
            "prompt": _series([trial.text for trial in trials]),
        }
    )


def pareto_frame(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial that no other beats both in score and in tokens, cost or latency; highest score first.

    The score by which they are compared is ``estimate`` where it is known, because the highest raw scores are those
    of lucky trials on few rows; else ``score``.

    Columns: those of `trials_frame` that are numbers; ``usd_per_1000_rows`` US dollars; ``front_tokens``,
    ``front_cost``, ``front_latency``: whether every trial that scores as much or more has a longer prompt, costs more
    a row, answers later. What is unknown is on no front.
    """
    frame = with_costs(trials)
    value = frame["value"]
    for front, cost in FRONTS.items():
        best = value.dropna().groupby(frame[cost]).max()  # by rising cost
        before = best.cummax().shift(fill_value=-math.inf)
        frame[front] = (value == frame[cost].map(best)) & (value > frame[cost].map(before))
    kept = frame[frame[list(FRONTS)].any(axis=1)].sort_values("value", ascending=False, kind="stable")
    return kept[list(PARETO_COLUMNS)].reset_index(drop=True)


def with_costs(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials (`trials_frame`) with ``value``, the score that they are compared by: ``estimate`` where it is known, else
    ``score``; and with ``usd_per_1000_rows``, US dollars. Costs and times that differ by rounding alone are equal."""
    rows = trials["rows"].where(trials["rows"] > 0)
    return trials.assign(
        value=trials["estimate"].fillna(trials["score"]),
        usd_per_1000_rows=(1000 * trials["cost_usd"] / rows).round(12),
        latency_s=trials["latency_s"].round(9),
    )


def ledger_frame(calls: pd.DataFrame) -> pd.DataFrame:
    """What was spent on what: one row per role.

    Columns: ``role`` task, proposer, judge or audit; ``requests`` used; ``calls`` really sent, retries included;
    ``reused`` requests that other studies had paid for; then of what was sent: ``prompt_tokens`` and
    ``completion_tokens`` Int64 (``<NA>`` where a server does not count), ``cost_usd`` US dollars (NaN where a price
    is unknown), ``seconds`` of waiting for answers, one after the other; ``errors`` requests that failed in the end.

    Args:
        calls: see `calls_frame`.
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
            }
        )
    whole = dict.fromkeys(("requests", "calls", "reused", "errors"), "int64")
    tokens_whole = dict.fromkeys(("prompt_tokens", "completion_tokens"), "Int64")
    frame = _frame(records, LEDGER_COLUMNS).astype(
        {**whole, **tokens_whole, "cost_usd": "float64", "seconds": "float64"}
    )
    return frame.assign(role=_words(frame["role"].tolist(), ROLES))


def progress_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """How the search went: one row per trial with a score, in the order in which they got their last one.

    Columns: ``trial``; ``calls`` answered when it got its last search score; ``score`` its mean, ``rows`` of it; then
    what was best at that moment, by the lower end of the 95% interval, so that few rows count for less:
    ``best_trial``, its ``best_score`` and the interval ``best_low``, ``best_high``.

    Args:
        scored: see `scored_frame`.
    """
    found = scored[(scored["split"] == "search") & scored["score"].notna()].sort_values("call", kind="stable")
    trials, codes = np.unique(found["trial"].to_numpy(), return_inverse=True)
    score, call = found["score"].to_numpy(), found["call"].to_numpy()
    last = np.zeros(len(trials), dtype=int)
    np.maximum.at(last, codes, np.arange(len(codes)))
    binary = np.full(len(trials), bool(np.isin(score, (0, 1)).all()))
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
        low, high = mean_intervals(counts, means, deviations, binary)
        by_low = np.nan_to_num(low, nan=-math.inf)
        best = int(np.argmax(by_low)) if np.isfinite(by_low).any() else int(np.nanargmax(means))
        leader = (trials[best], means[best], low[best], high[best])
        records.append((trials[trial], call[end - 1] + 1, means[trial], counts[trial], *leader))
    whole = dict.fromkeys(("trial", "calls", "rows", "best_trial"), "int64")
    numbers = dict.fromkeys(("score", "best_score", "best_low", "best_high"), "float64")
    return pd.DataFrame(records, columns=list(PROGRESS_COLUMNS)).astype({**whole, **numbers})


def difficulty_frame(scored: pd.DataFrame, trials: Sequence[int]) -> pd.DataFrame:
    """Scores of some trials on the rows that at least one of them was scored on, the hardest row first.

    Index: ``row``. Columns: the trials, in their order; NaN where a trial was not scored on the row. Search and
    sealed rows are both there.
    """
    found = scored[scored["trial"].isin(list(trials)) & scored["score"].notna()]
    table = found.pivot_table(index="row", columns="trial", values="score").reindex(columns=list(trials))
    order = table.mean(axis=1).sort_values(kind="stable").index
    table = table.loc[order].astype("float64")
    table.columns.name = "trial"
    return table


def effects_frame(effects: Sequence[Mapping[str, Any]], trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row per option of each choice, the most important choice and its best option first.

    Columns: ``choice``; ``option`` text; ``effect`` on the true score as the scores have it, from the mean over the
    choice's options that were tried and averaged over all other choices, with its 95% interval ``effect_low``,
    ``effect_high``, NaN where the scores say nothing; ``p`` of an effect of 0, corrected for the number of options (see
    `shown_to_matter`); ``estimate``, what is expected of the true effect, which is nearer to 0; ``trials`` with a score
    that had the option; ``importance`` of the choice, the part of the variance between prompts that it is expected to
    explain by itself.
    """
    scored = [trial.positions for trial in trials if trial.estimate is not None]
    records = [
        {**effect, "trials": sum(p.get(effect["choice"]) == effect["position"] for p in scored)} for effect in effects
    ]
    records.sort(key=lambda record: (-record["importance"], record["choice"], -record["estimate"]))
    numbers = dict.fromkeys(("effect", "effect_low", "effect_high", "p", "estimate", "importance"), "float64")
    return _frame(records, EFFECT_COLUMNS).astype({**numbers, "trials": "int64"})


def shown_to_matter(effects: pd.DataFrame) -> pd.DataFrame:
    """The options that are shown to do something, of those of `effects_frame`: on average at most one in twenty of them
    does nothing."""
    return effects[effects["p"] < SHOWN_P]


def folds_frame(folds: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per fold of a cross-fitted study.

    Columns: ``study`` its stored name; ``winner`` its trial; ``changes`` the winner's choices that are not the
    default's; ``rows`` tested; ``default_score`` and ``winner_score`` on them.
    """
    numbers = {"winner": "int64", "rows": "int64", "default_score": "float64", "winner_score": "float64"}
    return _frame(folds, FOLD_COLUMNS).astype(numbers)


def interactions_frame(interactions: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per pair of options that is shown to add something together, the strongest first.

    Columns: ``choice``, ``option``; ``other_choice``, ``other_option``; ``effect`` beyond what each adds by itself,
    with its 95% interval ``effect_low``, ``effect_high``, which leaves out 0.
    """
    frame = _frame(interactions, INTERACTION_COLUMNS)
    return frame.astype(dict.fromkeys(("effect", "effect_low", "effect_high"), "float64"))


def slices_frame(scored: pd.DataFrame, groups: Mapping[int, tuple[Any, ...]], names: Sequence[str]) -> pd.DataFrame:
    """One row per group of rows, trial and split, in the order of the groups.

    Args:
        scored: see `scored_frame`; of the trials to show.
        groups: row position to its values of the grouping columns.
        names: the grouping columns.

    Columns: those of ``names``; ``trial``; ``split``; ``rows`` with a score; ``score`` their mean with its 95% interval
    ``score_low``, ``score_high``.
    """
    scores: dict[tuple[Any, ...], list[float]] = {}
    known = scored[scored["score"].notna()]
    for row, trial, split, score in zip(*(known[name] for name in ("row", "trial", "split", "score")), strict=True):
        scores.setdefault((groups[row], trial, split), []).append(score)
    records = []
    for (group, trial, split), values in scores.items():
        low, high = mean_interval(values)
        record = {"trial": trial, "split": split, "rows": len(values), "score": _mean(values)}
        records.append({**dict(zip(names, group, strict=True)), **record, "score_low": low, "score_high": high})
    records.sort(key=lambda record: [str(record[name]) for name in (*names, "split")] + [record["trial"]])
    frame = _frame(records, [*names, *SLICE_COLUMNS])
    measures = dict.fromkeys(("score", "score_low", "score_high"), "float64")
    return frame.astype({"trial": "int64", "rows": "int64", **measures})


def confusion_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """How many rows of each target (index ``target``) got each answer (columns ``answer``), sorted; answers that could
    not be read are in the column ``(unparsed)``, failed requests are left out."""
    counts = Counter(_read(scored))
    targets = sorted({target for target, _ in counts})
    answers = sorted({answer for _, answer in counts}, key=lambda answer: (answer == UNPARSED, answer))
    table = [[counts[target, answer] for answer in answers] for target in targets]
    return pd.DataFrame(
        table, index=pd.Index(targets, name="target"), columns=pd.Index(answers, name="answer"), dtype="int64"
    )


def labels_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """One row per label, the one that is answered too often by most first.

    Columns: ``label``; ``rows`` that have it; ``answered`` how often it was the answer; ``right`` of these; ``recall``
    with its 95% interval ``recall_low``, ``recall_high``; ``precision``; ``bias``, the share of answers that are this
    label minus the share of rows that have it.
    """
    read = _read(scored)
    records: list[dict[str, Any]] = []
    for label in sorted({target for target, _ in read} | {answer for _, answer in read if answer != UNPARSED}):
        hits = [float(answer == label) for target, answer in read if target == label]
        answered = sum(answer == label for _, answer in read)
        low, high = mean_interval(hits)
        records.append(
            {
                "label": label,
                "rows": len(hits),
                "answered": answered,
                "right": int(sum(hits)),
                "recall": _mean(hits),
                "recall_low": low,
                "recall_high": high,
                "precision": sum(hits) / answered if answered else math.nan,
                "bias": (answered - len(hits)) / len(read),
            }
        )
    records.sort(key=lambda record: (-record["bias"], record["label"]))
    shares = dict.fromkeys(("recall", "recall_low", "recall_high", "precision", "bias"), "float64")
    return _frame(records, LABEL_COLUMNS).astype({**dict.fromkeys(("rows", "answered", "right"), "int64"), **shares})


def _read(scored: pd.DataFrame) -> list[tuple[str, str]]:
    """Target and answer as text, of requests that did not fail."""
    found = scored[scored["error"].isna()]
    return [
        (answer_text(target), UNPARSED if unparsed else answer_text(answer))
        for target, answer, unparsed in zip(found["target"], found["answer"], found["unparsed"], strict=True)
    ]


def _frame(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """All columns as they are given: where pandas chose the types, None would be NaN in some frames."""
    return pd.DataFrame(records, columns=list(columns), dtype=object)


def _series(values: Sequence[Any], dtype: str = "object") -> pd.Series[Any]:
    """A column of the given type: where pandas chose it, None would be NaN in some frames."""
    return pd.Series(values, dtype=dtype)


def _words(values: Sequence[str], known: Sequence[str]) -> pd.Series[Any]:
    """A categorical in the order of the known words."""
    strange = dict.fromkeys(value for value in values if value not in known) if {*values} - {*known} else ()
    words = [*known, *strange]
    codes = np.fromiter(map({word: code for code, word in enumerate(words)}.__getitem__, values), np.intp, len(values))
    return pd.Series(pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(words)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def answer_text(value: Any) -> str:
    """An answer or a target as one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def write_frame(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as ``.csv``, ``.jsonl`` (one object a line), ``.parquet`` or ``.md``.

    Answers and targets that are not text are JSON in csv, parquet and Markdown. An index without a name is left out.

    Raises:
        InputError: another suffix, or the file cannot be written.
        MissingExtra: parquet without pyarrow.
    """
    file = Path(path)
    writers = {".csv": _csv, ".jsonl": _jsonl, ".md": _markdown_bytes, ".parquet": _parquet}
    if file.suffix not in writers:
        raise InputError(f"{path}: a table is written as {', '.join(writers)}, got {file.suffix or 'no suffix'!r}")
    whole = frame.reset_index() if any(name is not None for name in frame.index.names) else frame
    content = writers[file.suffix](whole)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path}: cannot write the table: {error.strerror}") from None
    return file


def markdown_text(text: str) -> str:
    r"""One line in which nothing is Markdown or HTML.

    >>> print(markdown_text("a|b <i>\n[x] per_row _y_"))
    a\|b &lt;i&gt; \[x\] per_row \_y\_
    """
    escaped = re.sub(r"([\\`*\[\]|~#]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """A table in GitHub's Markdown; texts are one line each, and nothing in them ends a cell or begins a tag."""

    def cell(value: Any) -> str:
        if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            return ""
        value = value.item() if isinstance(value, np.generic) else value
        return f"{value:.{digits}f}" if isinstance(value, float) else markdown_text(answer_text(value))

    head = [cell(str(name)) for name in frame.columns]
    rule = ["---:" if pd.api.types.is_numeric_dtype(frame[name]) else "---" for name in frame.columns]
    body = [[cell(value) for value in values] for values in frame.itertuples(index=False, name=None)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *body]) + "\n"


def _markdown_bytes(frame: pd.DataFrame) -> bytes:
    return markdown(frame).encode("utf-8", "backslashreplace")


def _csv(frame: pd.DataFrame) -> bytes:
    return _flat(frame).to_csv(index=False).encode("utf-8", "backslashreplace")


def _jsonl(frame: pd.DataFrame) -> bytes:
    def plain(value: Any) -> Any:
        if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            return None
        return value.item() if isinstance(value, np.generic) else value

    names = [str(name) for name in frame.columns]
    lines = (
        json.dumps(dict(zip(names, map(plain, values), strict=True)), ensure_ascii=False, default=str)
        for values in frame.itertuples(index=False, name=None)
    )
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _parquet(frame: pd.DataFrame) -> bytes:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtra("parquet", package="pyarrow", extra="parquet") from None
    flat = _flat(frame)
    flat.columns = flat.columns.astype(str)
    return bytes(flat.to_parquet(index=False))


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """With texts, or nothing, in all columns of objects, and nothing in them that UTF-8 cannot hold."""

    def text(value: Any) -> str | None:
        return None if value is None else answer_text(value).encode("utf-8", "backslashreplace").decode("utf-8")

    objects = [name for name in frame.columns if frame[name].dtype == object]
    return frame.assign(**{name: _series([text(value) for value in frame[name]]) for name in objects})
