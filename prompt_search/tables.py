"""The tables: pure functions from stored records to pandas frames."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from prompt_search.statistics import mean_interval
from prompt_search.store import Call, SampleRecord, TrialRecord

TRIAL_COLUMNS = (
    "trial", "state", "score", "score_low", "score_high", "estimate", "rows", "search_rows", "prompt_tokens",
    "cost_usd", "latency_s", "unparsed", "errors", "reason",
)  # fmt: skip
SAMPLE_COLUMNS = (
    "trial", "row", "split", "answer", "target", "score", "error", "response", "prompt_tokens",
    "completion_tokens", "latency_s", "cached", "finish_reason",
)  # fmt: skip
EFFECT_COLUMNS = ("choice", "option", "effect", "effect_low", "effect_high", "trials", "importance")
SLICE_COLUMNS = ("trial", "split", "rows", "score", "score_low", "score_high")
LABEL_COLUMNS = ("label", "rows", "answered", "right", "recall", "recall_low", "recall_high", "precision", "bias")
UNPARSED = "(unparsed)"
FOLD_COLUMNS = ("study", "winner", "changes", "rows", "default_score", "winner_score")
INTERACTION_COLUMNS = (
    "choice", "option", "other_choice", "other_option", "effect", "effect_low", "effect_high",
)  # fmt: skip
CALL_COLUMNS = (
    "call", "key", "split", "attempts", "response", "error", "prompt_tokens", "cached_tokens",
    "completion_tokens", "latency_s", "cost_usd", "finish_reason",
)  # fmt: skip


def samples_frame(samples: Sequence[SampleRecord], calls: Mapping[str, Call]) -> pd.DataFrame:
    """One row per (trial, row, split).

    Columns: ``trial`` int; ``row`` int, position in the data; ``split`` ``search`` or ``test``; ``answer`` what
    was read from the response, None when nothing could be; ``target``; ``score`` float, NaN when the request
    failed; ``error`` text or None; ``response`` text; ``prompt_tokens`` and ``completion_tokens`` Int64;
    ``latency_s`` float seconds; ``cached`` bool, whether the response was there already;
    ``finish_reason`` as the server gave it: ``length`` where the token limit cut the response off.
    """
    records = []
    for sample in samples:
        response = calls[sample.key].response
        records.append(
            {
                "trial": sample.trial,
                "row": sample.row,
                "split": sample.split,
                "answer": sample.answer,
                "target": sample.target,
                "score": math.nan if sample.score is None else sample.score,
                "error": sample.error,
                "response": response.text,
                "prompt_tokens": response.usage.prompt_tokens,
                "completion_tokens": response.usage.completion_tokens,
                "latency_s": response.latency_s,
                "cached": sample.cached,
                "finish_reason": response.finish_reason,
            }
        )
    frame = _frame(records, SAMPLE_COLUMNS)
    whole = {"trial": "int64", "row": "int64", "prompt_tokens": "Int64", "completion_tokens": "Int64"}
    return frame.astype({**whole, "score": "float64", "latency_s": "float64", "cached": "bool"})


def trials_frame(
    trials: Sequence[TrialRecord],
    samples: Sequence[SampleRecord],
    calls: Mapping[str, Call],
    names: Sequence[str],
) -> pd.DataFrame:
    """One row per trial.

    Columns: ``trial`` int; ``state`` running, complete, pruned or failed; ``score`` mean over the search rows
    (failed requests left out) with its 95% interval ``score_low``, ``score_high``; ``estimate`` of its true score
    from all trials' scores, which is lower for one that was lucky, NaN until the study is finished; ``rows`` scored,
    sealed ones included; ``search_rows`` scored in the search; ``prompt_tokens`` and ``latency_s`` means per request;
    ``cost_usd`` US dollars for all its requests, NaN when a price is unknown; ``unparsed`` and ``errors``
    counts; ``reason`` why it ended; then one column per choice (text of the option, None when inactive) and
    ``prompt``, the whole text with fields in braces.
    """
    by_trial: dict[int, list[SampleRecord]] = {trial.trial: [] for trial in trials}
    for sample in samples:
        by_trial[sample.trial].append(sample)
    records = [_trial_record(trial, by_trial[trial.trial], calls, names) for trial in trials]
    frame = _frame(records, [*TRIAL_COLUMNS, *names, "prompt"])
    return frame.astype(
        dict.fromkeys(("trial", "rows", "search_rows", "unparsed", "errors"), "int64")
        | dict.fromkeys(
            ("score", "score_low", "score_high", "estimate", "prompt_tokens", "cost_usd", "latency_s"), "float64"
        )
    )


def _trial_record(
    trial: TrialRecord, samples: Sequence[SampleRecord], calls: Mapping[str, Call], names: Sequence[str]
) -> dict[str, Any]:
    scores = [s.score for s in samples if s.split == "search" and s.score is not None]
    responses = [calls[sample.key].response for sample in samples]
    tokens = [r.usage.prompt_tokens for r in responses if r.usage.prompt_tokens is not None]
    latencies = [r.latency_s for r in responses if not math.isnan(r.latency_s)]
    low, high = mean_interval(scores)
    return {
        "trial": trial.trial,
        "state": trial.state,
        "score": _mean(scores),
        "score_low": low,
        "score_high": high,
        "estimate": math.nan if trial.estimate is None else trial.estimate,
        "rows": len(samples),
        "search_rows": sum(sample.split == "search" for sample in samples),
        "prompt_tokens": _mean(tokens),
        "cost_usd": sum(r.cost_usd for r in responses),
        "latency_s": _mean(latencies),
        "unparsed": sum(sample.unparsed for sample in samples),
        "errors": sum(sample.error is not None for sample in samples),
        "reason": trial.reason,
        **{name: trial.choices.get(name) for name in names},
        "prompt": trial.text,
    }


def effects_frame(effects: Sequence[Mapping[str, Any]], trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row per option of each choice, the most important choice and its best option first.

    Columns: ``choice``; ``option`` text; ``effect`` on the true score, from the mean over the choice's options and
    averaged over all other choices, with its 95% interval ``effect_low``, ``effect_high``; ``trials`` with a score
    that had the option; ``importance`` of the choice, the part of the variance between prompts that it explains by
    itself.
    """
    scored = [trial.positions for trial in trials if trial.estimate is not None]
    records = [
        {**effect, "trials": sum(p.get(effect["choice"]) == effect["position"] for p in scored)} for effect in effects
    ]
    records.sort(key=lambda record: (-record["importance"], record["choice"], -record["effect"]))
    numbers = dict.fromkeys(("effect", "effect_low", "effect_high", "importance"), "float64")
    return _frame(records, EFFECT_COLUMNS).astype({**numbers, "trials": "int64"})


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


def slices_frame(
    samples: Sequence[SampleRecord], groups: Mapping[int, tuple[Any, ...]], names: Sequence[str]
) -> pd.DataFrame:
    """One row per group of rows, trial and split, in the order of the groups.

    Args:
        samples: of the trials to show.
        groups: row position to its values of the grouping columns.
        names: the grouping columns.

    Columns: those of ``names``; ``trial``; ``split``; ``rows`` with a score; ``score`` their mean with its 95% interval
    ``score_low``, ``score_high``.
    """
    scores: dict[tuple[Any, ...], list[float]] = {}
    for sample in samples:
        if sample.score is not None:
            scores.setdefault((groups[sample.row], sample.trial, sample.split), []).append(sample.score)
    records = []
    for (group, trial, split), values in scores.items():
        low, high = mean_interval(values)
        record = {"trial": trial, "split": split, "rows": len(values), "score": _mean(values)}
        records.append({**dict(zip(names, group, strict=True)), **record, "score_low": low, "score_high": high})
    records.sort(key=lambda record: [str(record[name]) for name in (*names, "split")] + [record["trial"]])
    frame = _frame(records, [*names, *SLICE_COLUMNS])
    measures = dict.fromkeys(("score", "score_low", "score_high"), "float64")
    return frame.astype({"trial": "int64", "rows": "int64", **measures})


def confusion_frame(samples: Sequence[SampleRecord]) -> pd.DataFrame:
    """How many rows of each target (index ``target``) got each answer (columns ``answer``), sorted; answers that could
    not be read are in the column ``(unparsed)``, failed requests are left out."""
    counts = Counter((answer_text(sample.target), _answered(sample)) for sample in samples if sample.error is None)
    targets = sorted({target for target, _ in counts})
    answers = sorted({answer for _, answer in counts}, key=lambda answer: (answer == UNPARSED, answer))
    table = [[counts[target, answer] for answer in answers] for target in targets]
    return pd.DataFrame(
        table, index=pd.Index(targets, name="target"), columns=pd.Index(answers, name="answer"), dtype="int64"
    )


def labels_frame(samples: Sequence[SampleRecord]) -> pd.DataFrame:
    """One row per label, the one that is answered too often by most first.

    Columns: ``label``; ``rows`` that have it; ``answered`` how often it was the answer; ``right`` of these; ``recall``
    with its 95% interval ``recall_low``, ``recall_high``; ``precision``; ``bias``, the share of answers that are this
    label minus the share of rows that have it.
    """
    read = [(answer_text(sample.target), _answered(sample)) for sample in samples if sample.error is None]
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


def _answered(sample: SampleRecord) -> str:
    return UNPARSED if sample.unparsed else answer_text(sample.answer)


def calls_frame(calls: Mapping[str, Call]) -> pd.DataFrame:
    """One row per request that the study used, in the order they were answered.

    Columns: ``call`` int; ``key`` of the request; ``split``; ``attempts`` really sent, 0 when the response was
    stored before; ``response`` text; ``error`` text or None; ``prompt_tokens``, ``cached_tokens`` (the part the
    server had in its cache) and ``completion_tokens`` Int64; ``latency_s`` seconds; ``cost_usd`` US dollars;
    ``finish_reason`` as the server gave it.
    """
    records = [
        {
            "call": call.number,
            "key": call.key,
            "split": call.split,
            "attempts": call.attempts,
            "response": call.response.text,
            "error": call.response.error,
            "prompt_tokens": call.response.usage.prompt_tokens,
            "cached_tokens": call.response.usage.cached_tokens,
            "completion_tokens": call.response.usage.completion_tokens,
            "latency_s": call.response.latency_s,
            "cost_usd": call.response.cost_usd,
            "finish_reason": call.response.finish_reason,
        }
        for call in calls.values()
    ]
    frame = _frame(records, CALL_COLUMNS)
    return frame.astype(
        dict.fromkeys(("call", "attempts"), "int64")
        | dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens"), "Int64")
        | dict.fromkeys(("latency_s", "cost_usd"), "float64")
    )


def _frame(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """All columns as they are given: where pandas chose the types, None would be NaN in some frames."""
    return pd.DataFrame(records, columns=list(columns), dtype=object)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def answer_text(value: Any) -> str:
    """An answer or a target as one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
