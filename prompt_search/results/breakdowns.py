"""Tables that break results down: by option, pair of options, fold, group of rows, row, label and field."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from prompt_search import metrics
from prompt_search.answers.target_kinds import json_object
from prompt_search.data.rows import references
from prompt_search.metrics.json_fields import Compared, Fields, Outcome
from prompt_search.metrics.majority import Majority, majority
from prompt_search.metrics.ranges import UNBOUNDED, Range
from prompt_search.results import wording
from prompt_search.results.frames import answer_text, frame_of, mean_of
from prompt_search.results.statistics import mean_interval
from prompt_search.storage.records import TrialRecord

EFFECT_COLUMNS = (
    "choice", "option", "effect", "effect_low", "effect_high", "p", "estimate", "trials", "importance",
)  # fmt: skip
INTERACTION_COLUMNS = (
    "choice", "option", "other_choice", "other_option", "effect", "effect_low", "effect_high",
)  # fmt: skip
FOLD_COLUMNS = ("study", "winner", "changes", "rows", "default_score", "winner_score")
SLICE_COLUMNS = ("trial", "split", "rows", "score", "score_low", "score_high", "missing")
LABEL_COLUMNS = ("label", "rows", "answered", "right", "recall", "recall_low", "recall_high", "precision", "bias")
FIELD_COLUMNS = (
    "trial", "field", "rows", "right", "share", "share_low", "share_high", "wrong", "missing", "extra",
)  # fmt: skip

SHOWN_P = 0.05
"""The corrected p below which an effect counts as shown."""

UNPARSED = "(unparsed)"
"""The answer of a response that could not be read, in tables of answers."""

FAILED = "(failed)"
"""The answer of a request that failed by the prompt's fault, in tables of answers."""

NO_ANSWERS = (UNPARSED, FAILED)

LEAST_ANSWERS = 10
"""Number of answers, or of rows that several prompts answered, below which nothing is said."""

LOOKED_AT = 5
"""Number of responses that are compared with what was sent."""

NEARLY_ALL = 0.9
"""Share of a prompt's answers from which on one label is nearly the only answer."""

MORE_THAN_TARGETS = 0.2
"""How much larger this share must be than that of the rows that have the label."""


def effects_frame(
    effects: Sequence[Mapping[str, Any]], trials: Sequence[TrialRecord], bounds: Range = UNBOUNDED
) -> pd.DataFrame:
    """One row per option of each choice, the most important choice and its best option first.

    Columns: ``choice``; ``option`` text; ``effect`` on the true score as observed: the difference to the mean over the
    options of the choice that several trials had, averaged over all other choices, with its 95% interval
    ``effect_low``, ``effect_high``, NaN where the scores do not determine it, or one trial alone had the option;
    ``p`` of an effect of 0, corrected for the number of options (see `shown_to_matter`); ``estimate``, the expected
    true effect, which is nearer to 0; ``trials`` number of scored trials that had the option;
    ``importance`` of the choice, the share of the variance between prompts that it is expected to explain by itself.

    Args:
        effects: the effects that the finished study stored.
        trials: the study's trials.
        bounds: the range of the metric: no effect is larger than it is wide.
    """
    scored = [trial.positions for trial in trials if trial.estimate is not None]
    records = [
        {**effect, "trials": sum(p.get(effect["choice"]) == effect["position"] for p in scored)} for effect in effects
    ]
    records.sort(key=lambda record: (-record["importance"], record["choice"], -record["estimate"]))
    numbers = dict.fromkeys(("effect", "effect_low", "effect_high", "p", "estimate", "importance"), "float64")
    frame = frame_of(records, EFFECT_COLUMNS).astype({**numbers, "trials": "int64"})
    kept = ["effect", "effect_low", "effect_high", "estimate"]
    frame[kept] = frame[kept].clip(*bounds.differences)
    return frame


def shown_to_matter(effects: pd.DataFrame) -> pd.DataFrame:
    """The options of `effects_frame` whose effect is shown (a false discovery rate of 5%: on average at most one in
    twenty of them has no effect)."""
    return effects[effects["p"] < SHOWN_P]


def interactions_frame(interactions: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per pair of options whose interaction is shown, the strongest first.

    Columns: ``choice``, ``option``; ``other_choice``, ``other_option``; ``effect`` beyond the sum of their own effects,
    with its 95% interval ``effect_low``, ``effect_high``, which excludes 0.
    """
    frame = frame_of(interactions, INTERACTION_COLUMNS)
    return frame.astype(dict.fromkeys(("effect", "effect_low", "effect_high"), "float64"))


def folds_frame(folds: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per fold of a cross-fitted study.

    Columns: ``study`` stored name of the fold's search; ``winner`` its trial; ``changes`` the winner's choices that
    differ from the default's; ``rows`` number of test rows; ``default_score`` and ``winner_score`` on them.
    """
    numbers = {"winner": "int64", "rows": "int64", "default_score": "float64", "winner_score": "float64"}
    return frame_of(folds, FOLD_COLUMNS).astype(numbers)


def slices_frame(
    scored: pd.DataFrame,
    groups: Mapping[int, tuple[Any, ...]],
    names: Sequence[str],
    bounds: Range = UNBOUNDED,
) -> pd.DataFrame:
    """One row per group of rows, trial and split with a score, in the order of the groups.

    Columns: the groups; ``trial``; ``split``; ``rows`` number of rows with a score; ``score`` their mean with
    its 95% interval ``score_low``, ``score_high``; ``missing`` number of rows without one, because a request failed and
    that was not the prompt's fault.

    Args:
        scored: the scored rows of the trials to show, see `tables.scored_frame`.
        groups: the group of each row: its values of the grouping columns.
        names: the grouping columns.
        bounds: the range of the metric, which intervals keep to.
    """
    scores: dict[tuple[Any, ...], list[float]] = {}
    columns = (scored[name] for name in ("row", "trial", "split", "score"))
    for row, trial, split, score in zip(*columns, strict=True):
        scores.setdefault((groups[row], trial, split), []).append(score)
    records = []
    for (group, trial, split), values in scores.items():
        known = [score for score in values if not math.isnan(score)]
        if not known:
            continue
        low, high = mean_interval(known, bounds=bounds)
        record = {"trial": trial, "split": split, "rows": len(known), "score": bounds.clipped(mean_of(known))}
        record |= {"score_low": low, "score_high": high, "missing": len(values) - len(known)}
        records.append({**dict(zip(names, group, strict=True)), **record})
    records.sort(key=lambda record: [str(record[name]) for name in (*names, "split")] + [record["trial"]])
    frame = frame_of(records, [*names, *SLICE_COLUMNS])
    measures = dict.fromkeys(("score", "score_low", "score_high"), "float64")
    return frame.astype({"trial": "int64", "rows": "int64", "missing": "int64", **measures})


def difficulty_frame(scored: pd.DataFrame, trials: Sequence[int]) -> pd.DataFrame:
    """Scores of some trials on the rows that at least one of them was scored on, the hardest row first.

    Index: ``row``, search rows and test rows. Columns: the given trials in their order; NaN where a trial was not
    scored on the row.
    """
    found = scored[scored["trial"].isin(list(trials)) & scored["score"].notna()]
    table = found.pivot_table(index="row", columns="trial", values="score").reindex(columns=list(trials))
    order = table.mean(axis=1).sort_values(kind="stable").index
    table = table.loc[order].astype("float64")
    table.columns.name = "trial"
    return table


def confusion_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """The number of rows for each target and answer.

    Index: ``target``, sorted. Columns: ``answer``, sorted; each value is the number of rows of the target that got the
    answer. Answers that could not be parsed are in the column ``(unparsed)``, and requests that failed by the prompt's
    fault in the column ``(failed)``; other failed requests are left out.
    """
    counts = Counter(_answers(scored))
    targets = sorted({target for target, _ in counts})
    answers = sorted({answer for _, answer in counts}, key=lambda answer: (answer in NO_ANSWERS, answer))
    table = [[counts[target, answer] for answer in answers] for target in targets]
    return pd.DataFrame(
        table, index=pd.Index(targets, name="target"), columns=pd.Index(answers, name="answer"), dtype="int64"
    )


def labels_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """One row per label, the one with the highest bias first.

    Columns: ``label``; ``rows`` number of rows with this target; ``answered`` number of rows with this answer;
    ``right`` number of rows with both; ``recall`` with its 95% interval ``recall_low``, ``recall_high``; ``precision``;
    ``bias``, the share of rows that got this label as answer minus the share of rows that have it. A row whose request
    failed by the prompt's fault has no answer; other failed requests are left out.
    """
    pairs = _answers(scored)
    records: list[dict[str, Any]] = []
    for label in sorted({target for target, _ in pairs} | {answer for _, answer in pairs if answer not in NO_ANSWERS}):
        hits = [float(answer == label) for target, answer in pairs if target == label]
        answered = sum(answer == label for _, answer in pairs)
        low, high = mean_interval(hits)
        records.append(
            {
                "label": label,
                "rows": len(hits),
                "answered": answered,
                "right": int(sum(hits)),
                "recall": mean_of(hits),
                "recall_low": low,
                "recall_high": high,
                "precision": sum(hits) / answered if answered else math.nan,
                "bias": (answered - len(hits)) / len(pairs),
            }
        )
    records.sort(key=lambda record: (-record["bias"], record["label"]))
    shares = dict.fromkeys(("recall", "recall_low", "recall_high", "precision", "bias"), "float64")
    return frame_of(records, LABEL_COLUMNS).astype({**dict.fromkeys(("rows", "answered", "right"), "int64"), **shares})


def _answers(scored: pd.DataFrame) -> list[tuple[str, str]]:
    """Target and answer as text, for the rows that are not missing."""
    found = scored[scored["score"].notna()]
    columns = (found[name] for name in ("target", "answer", "unparsed", "error"))
    return [
        (answer_text(target), FAILED if error is not None else UNPARSED if unparsed else answer_text(answer))
        for target, answer, unparsed, error in zip(*columns, strict=True)
    ]


def fields_metric(targets: Iterable[Any], metric: str) -> Fields | None:
    """How the fields of answers are compared: as the metric with this text does, or else as `Fields` does; None where
    the targets are no JSON objects."""
    every = [each for target in targets for each in references(target)]
    if not every or any(json_object(target) is None for target in every):
        return None
    stored = metrics.stored_metric(metric)
    return stored if isinstance(stored, Fields) else Fields()


def fields_frame(scored: pd.DataFrame, metric: Fields) -> pd.DataFrame:
    """One row per trial and field, in the order of the fields in the targets.

    Columns: ``trial``; ``field`` path of the field; ``rows`` number of rows whose target or answer names the field;
    ``right`` number of rows in which it is right; ``share`` of the rows in which it is right, with its 95% interval
    ``share_low``, ``share_high``; ``wrong`` number of rows with another value, or whose answer could not be read;
    ``missing`` number of rows in which only the target has a value; ``extra`` number of rows in which only the answer
    has one. A request that failed by the prompt's fault has no right field; other failed requests are left out.

    Args:
        scored: the scored rows of the trials to show, see `tables.scored_frame`.
        metric: how fields are compared.
    """
    counts: dict[tuple[int, str], Counter[Outcome]] = {}
    for trial, path, field in compared_fields(scored, metric):
        counts.setdefault((trial, path), Counter())[field.outcome] += 1
    order = {path: place for place, path in enumerate(dict.fromkeys(path for _, path in counts))}
    ranked = sorted(counts, key=lambda key: (order[key[1]], key[0]))
    records = [{"trial": trial, "field": path, **_measures(counts[trial, path])} for trial, path in ranked]
    numbers = dict.fromkeys(("trial", "rows", "right", "wrong", "missing", "extra"), "int64")
    shares = dict.fromkeys(("share", "share_low", "share_high"), "float64")
    return frame_of(records, FIELD_COLUMNS).astype({**numbers, **shares})


def compared_fields(scored: pd.DataFrame, metric: Fields) -> Iterator[tuple[int, str, Compared]]:
    """Trial, path and comparison of each field of the scored rows; rows without a score are left out."""
    found = scored[scored["score"].notna()]
    columns = (found[name] for name in ("trial", "target", "answer", "unparsed", "error"))
    for trial, target, answer, unparsed, error in zip(*columns, strict=True):
        readable = answer if error is None and not unparsed else None
        for path, field in metric.compared(readable, target).items():
            yield trial, path, field


def _measures(outcomes: Mapping[Outcome, int]) -> dict[str, Any]:
    """The columns that count the outcomes of one field."""
    rows, right = sum(outcomes.values()), outcomes["right"]
    hits = [1.0] * right + [0.0] * (rows - right)
    low, high = mean_interval(hits)
    others = {name: outcomes[name] for name in ("wrong", "missing", "extra")}
    return {"rows": rows, "right": right, "share": mean_of(hits), "share_low": low, "share_high": high, **others}


def below_full_score(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with less than full score, failed requests first, then the worst.

    The full score is 1, or the highest score that occurs where the metric gives more than 1.
    """
    full = max(1.0, rows["score"].max())
    below: pd.DataFrame = rows[rows["score"].isna() | (rows["score"] < full)]
    failed_first = below.assign(answered=below["error"].isna()).sort_values(["answered", "score", "row"])
    return failed_first.drop(columns="answered")


def rows_of_all(scored: pd.DataFrame) -> pd.DataFrame:
    """The scored rows of some trials without those on which one of them has no score."""
    missing = scored["row"][scored["score"].isna()]
    trials = scored["row"].map(scored["row"].value_counts())
    return scored[(trials == scored["trial"].nunique()) & ~scored["row"].isin(missing)]


def majority_of(scored: pd.DataFrame, identity: Mapping[str, Any]) -> Majority | None:
    """What always answering the most frequent label scores on some rows; None where answers are no labels, and where
    that cannot be computed, see `metrics.majority.majority`.

    Args:
        scored: scored rows, each with a score; a row that several trials have counts once.
        identity: the settings of their study.
    """
    if not any(form.get("kind") == "label" for form in identity.get("answers", ())):
        return None
    answers = scored["answer"].where(scored["error"].isna() & ~scored["unparsed"], None)
    given = list(zip(scored["score"].tolist(), answers.tolist(), scored["target"].tolist(), strict=True))
    return majority(scored.drop_duplicates("row")["target"].tolist(), str(identity.get("metric")), given)


def one_answer(scored: pd.DataFrame) -> tuple[str, int, int] | None:
    """The label that nearly all answers of a prompt are, though the targets are not, with its number and that of
    all answers; None where there is no such label."""
    answered = scored[scored["error"].isna()]
    given = Counter(answer_text(answer) for answer in answered["answer"][~answered["unparsed"]])
    if not given:
        return None
    label, count = given.most_common(1)[0]
    share = count / len(answered)
    of_targets = mean_of([float(label in map(answer_text, references(target))) for target in answered["target"]])
    return (label, count, len(answered)) if share >= NEARLY_ALL and share - of_targets >= MORE_THAN_TARGETS else None


def answers_remark(
    scored: pd.DataFrame, sent: Callable[[Collection[str]], dict[str, list[tuple[str, str]]]]
) -> str | None:
    """What people must know about the answers of a study before they read a score, without its full stop; None where
    the answers tell rows and prompts apart.

    Args:
        scored: the rows of all trials, see `tables.scored_frame`.
        sent: gives the messages of requests by their keys.
    """
    answered = scored[scored["error"].isna()]
    if len(answered) < LEAST_ANSWERS:
        return None
    if answered["unparsed"].all():
        first = answered.head(LOOKED_AT)
        messages = sent(first["key"].tolist())
        said = [str(response).strip() for response in first["response"]]
        echoes = [
            bool(text) and any(text == content.strip() for _, content in messages.get(key, ()))
            for text, key in zip(said, first["key"], strict=True)
        ]
        return wording.nothing_read(len(answered), said[0], echoed=all(echoes))
    answers = pd.Series(
        [
            None if unread else answer_text(each)
            for each, unread in zip(answered["answer"], answered["unparsed"], strict=True)
        ],
        index=answered.index,
    )
    read = answers.dropna()
    if read.nunique() == 1 and answered["target"].map(answer_text).nunique() > 1:
        return wording.one_answer_to_all(len(read), read.iloc[0], some_unread=len(read) < len(answers))
    by_row = answers.groupby(answered["row"])
    shared = answered.groupby("row")["trial"].nunique() > 1
    if shared.sum() >= LEAST_ANSWERS and (by_row.nunique()[shared] == 1).all():
        return wording.same_answers(int(answered["trial"].nunique()), int(shared.sum()))
    return None
