"""One file that tells which prompt to ship, how sure that is, what it costs, what mattered, and what still fails.

The HTML holds everything itself: no network, no library, a few lines of script for sorting and filtering. Samples are
summed up, never listed: a study of 200,000 of them gives a page that opens at once.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from prompt_search import _html
from prompt_search.errors import InputError
from prompt_search.report import charts
from prompt_search.results import tables

if TYPE_CHECKING:
    from prompt_search.results.result import Result

WORST = 20
"""How many of the winner's worst rows are listed."""

WITH_PROMPT = 20
"""How many of the ranked prompts are shown whole."""

IMPORTANT = 3
"""How many choices are listed at once."""

MOST_LABELS = 20
"""With more different targets, answers are not counted by target."""

LONG = 300
"""How many characters of a text are shown at once."""

SECTIONS = {
    "winner": "The prompt",
    "ranking": "All prompts",
    "effects": "Which choice mattered",
    "cost": "Score against cost, and what was spent",
    "answers": "How it answers",
    "failures": "What still fails",
    "reproduce": "How to get this again",
}

FAILURE_COLUMNS = [
    ("row", "n"), ("last message sent", ""), ("target", ""), ("answer", ""), ("response or error", ""), ("score", "n"),
    ("default", "n"),
]  # fmt: skip
"""Of the table of failing rows: (name, n for numbers)."""

Listing = tuple[Sequence[str], list[tuple[Any, ...]], Sequence[str]]
"""A table's columns, lines, and those of the columns that are numbers."""


def write_report(result: Result, path: str | Path, slices: Sequence[pd.DataFrame] = ()) -> Path:
    """Write the report of a study, as `Result.report`.

    Raises:
        InputError: another suffix than ``.html`` and ``.md``, or the file cannot be written.
    """
    file = Path(path)
    writers = {".html": html_report, ".md": markdown_report}
    if file.suffix not in writers:
        raise InputError(f"{path}: a report is written as {' or '.join(writers)}, got {file.suffix or 'no suffix'!r}")
    content = writers[file.suffix](result, slices)
    try:
        file.write_bytes(content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError(f"{path}: cannot write the report: {error.strerror}") from None
    return file


class _Report:
    """What both forms of the report say."""

    def __init__(self, result: Result, slices: Sequence[pd.DataFrame]) -> None:
        self.result = result
        self.given_slices = slices
        self.winner = result.best_trial
        self.trials = result.ranking()
        self.tested = result.tested if result.finished else {}

    @property
    def verdict(self) -> str:
        if not self.result.finished:
            return "unfinished"
        if self.winner == 0:
            return "the default prompt stays"
        if self.result.verdict.rows < 2:
            return "not tested"
        return {
            "better": "better than the default prompt",
            "worse": "worse than the default prompt",
            "not shown": "not shown to be better",
        }[self.result.verdict]

    @property
    def advice(self) -> str:
        if not self.result.finished:
            return "The study is unfinished: run the same line to go on. What follows is what is known so far."
        if self.winner == 0:
            return "Ship the default prompt: no candidate was found that is expected to beat it."
        if self.result.verdict.rows < 2:
            return (
                f"The best guess is trial {self.winner}, but nothing was tested on rows that the search never saw: "
                f"its score is optimistic."
            )
        said = {
            "better": f"Ship the winner, trial {self.winner}: it is better than the default prompt.",
            "worse": "Keep the default prompt: the winner of the search is worse on rows that it was not chosen by.",
            "not shown": f"The best guess is the winner, trial {self.winner}, but it is not shown that it beats the "
            f"default prompt: ship it where its price does not matter, or test both on more rows.",
        }[self.result.verdict]
        return f"{said}{self._size}"

    @property
    def _size(self) -> str:
        """How much longer the winner's prompt is."""
        tokens = self.trials.set_index("trial")["prompt_tokens"]
        if math.isnan(tokens[self.winner]) or not tokens[0] > 0:
            return ""
        return f" A row takes {tokens[self.winner]:.0f} prompt tokens with it, {tokens[0]:.0f} with the default."

    @property
    def facts(self) -> list[tuple[str, str, str]]:
        """(what, value, note)."""
        found = [
            (name, _number(score[0]), f"{_range(score[1], score[2])} (95%) on {score[3]} unseen rows")
            for name, score in ((name, self.result.test_score(trial)) for name, trial in reversed(self.tested.items()))
        ]
        if len(self.tested) > 1:
            verdict = self.result.verdict
            counted = f"better on {verdict.won} rows, worse on {verdict.lost}"
            certain = (
                f"{verdict.low:+.3f} to {verdict.high:+.3f} (95%), p = {verdict.p:.2g}{verdict.decider}; {counted}"
            )
            found.append(("winner minus default", f"{verdict.difference:+.3f}", certain))
        return [*found, *self.winner_costs, ("the study cost", self.spent[0], self.spent[1])]

    @property
    def winner_costs(self) -> list[tuple[str, str, str]]:
        """What 1,000 rows cost with the winner, and with the default."""
        found: list[tuple[str, str, str]] = []
        for name, trial in {"1,000 rows with the winner": self.winner, "1,000 rows with the default": 0}.items():
            rows = self.result.trial_samples(trial)
            answered = rows[rows["error"].isna()]
            if not len(answered) or (trial == 0 and self.winner == 0 and found):
                continue
            usd, sent, received = (
                1000 * float(answered[column].mean(skipna=False)) if answered[column].notna().all() else math.nan
                for column in ("cost_usd", "prompt_tokens", "completion_tokens")
            )
            tokens = "tokens unknown" if math.isnan(sent + received) else f"{sent:,.0f} + {received:,.0f} tokens"
            seconds = answered["latency_s"].mean()
            found.append((name, _dollars(usd), f"{tokens}, {_number(seconds, '.2f')} s a request"))
        return found

    @cached_property
    def spent(self) -> tuple[str, str]:
        ledger = self.result.ledger_df()
        usd = float(ledger["cost_usd"].sum(skipna=False)) if len(ledger) else math.nan
        tokens = [ledger[name].sum(skipna=False) for name in _TOKENS]
        counted = "tokens unknown" if pd.isna(sum(tokens)) else f"{sum(tokens):,} tokens"
        return f"{ledger['calls'].sum():,} calls", f"{counted}, {_dollars(usd)}"

    @property
    def export(self) -> str:
        name, storage = shlex.quote(self.result.name), shlex.quote(self.result.storage)
        return f"prompt-search export {name} --storage {storage} -o best.j2"

    @property
    def simplest(self) -> str:
        if not self.result.finished or (trial := self.result.simplest_trial()) == self.winner:
            return ""
        size = self.trials.set_index("trial")["prompt"].str.len()
        return (
            f"A shorter prompt will do: trial {trial} has {size[trial]:,} characters instead of {size[self.winner]:,}, "
            f"and is all but surely no more than 0.02 worse."
        )

    # Tables, as (columns, lines, which columns are numbers)

    @property
    def effects(self) -> list[tuple[Listing, str]]:
        """The most important choices, and all others, which are shown on demand."""
        frame = self.result.effects_df()
        most = max([*frame["effect_low"].dropna().abs(), *frame["effect_high"].dropna().abs()], default=1.0)
        lines = [
            (
                line["choice"],
                _html.clipped(line["option"], 120),
                _number(line["effect"], "+.3f"),
                _html.bar(line["effect"], line["effect_low"], line["effect_high"], least=-most, most=most),
                _range(line["effect_low"], line["effect_high"], "+.2f"),
                f"{line['estimate']:+.3f}",
                line["trials"],
                f"{line['importance']:.0%}",
            )
            for line in frame.to_dict("records")
        ]
        columns = ("choice", "option", "effect", "", "95% interval", "expected", "trials", "importance")
        numbers = ("effect", "expected", "trials", "importance")
        first = list(dict.fromkeys(line[0] for line in lines))[:IMPORTANT]
        parts = {
            "What each option adds to the true score, averaged over all other choices: what the scores say, with its "
            "interval, and what is expected, which is nearer to 0": [line for line in lines if line[0] in first],
            "The other choices": [line for line in lines if line[0] not in first],
        }
        return [((columns, part, numbers), caption) for caption, part in parts.items() if part]

    @property
    def mattered(self) -> str:
        frame = self.result.effects_df()
        if frame.empty:
            return "Nothing is known of the choices' effects before the study is finished."
        top = frame.iloc[0]
        said = (
            f"The choice that is expected to matter most is {top['choice']}: by itself it explains "
            f"{top['importance']:.0%} of what differs between prompts. Its best option is expected to be "
            f"“{_html.clipped(top['option'], 80)}” ({top['estimate']:+.3f})."
        )
        shown = tables.shown_to_matter(frame)
        if shown.empty:
            return f"{said} But so few answers show of no option that it matters by itself."
        named = shown["choice"] + " “" + shown["option"].map(lambda option: _html.clipped(option, 40)) + "”"
        return f"{said} Shown to matter, of {len(frame)} options: {', '.join(named)}."

    @property
    def interactions(self) -> Listing:
        lines = [
            (
                f"{line['choice']}={_html.clipped(line['option'], 60)}",
                f"{line['other_choice']}={_html.clipped(line['other_option'], 60)}",
                f"{line['effect']:+.3f}",
                _range(line["effect_low"], line["effect_high"], "+.2f"),
            )
            for line in self.result.interactions_df().head(10).to_dict("records")
        ]
        return ("option", "with", "effect", "95% interval"), lines, ("effect",)

    @cached_property
    def fronts(self) -> pd.DataFrame:
        return self.result.pareto_df()

    @property
    def front(self) -> Listing:
        names = {front.removeprefix("front_"): front for front in tables.FRONTS}
        lines = [
            (
                line["trial"],
                _number(line["score"] if math.isnan(line["estimate"]) else line["estimate"]),
                _number(line["prompt_tokens"], ",.0f"),
                _dollars(line["usd_per_1000_rows"]),
                _number(line["latency_s"], ".2f"),
                ", ".join(name for name, column in names.items() if line[column]),
            )
            for line in self.fronts.to_dict("records")
        ]
        columns = ("trial", "score, corrected", "prompt tokens", "per 1,000 rows", "seconds", "nothing better by")
        return columns, lines[:WITH_PROMPT], columns[:5]

    @property
    def ledger(self) -> Listing:
        lines = [
            (
                line["role"],
                f"{line['calls']:,}",
                f"{line['reused']:,}",
                *("unknown" if pd.isna(line[name]) else f"{line[name]:,}" for name in _TOKENS),
                _dollars(line["cost_usd"]),
                _number(line["seconds"], ",.0f"),
                line["errors"],
            )
            for line in self.result.ledger_df().to_dict("records")
        ]
        columns = ("role", "calls sent", "reused", "prompt tokens", "completion tokens", "cost", "seconds", "errors")
        return columns, lines, columns[1:]

    @property
    def answered_on(self) -> str:
        tested = self.winner in self.tested.values()
        rows = len(self.result.trial_samples(self.winner)) if len(self.trials) else 0
        where = "rows that the search never saw" if tested else "the rows that it was searched on, which is optimistic"
        of_winner = self.trials[self.trials["trial"] == self.winner]
        unparsed, errors = (of_winner[name].sum() for name in ("unparsed", "errors"))
        return f"On {rows} {where}. Of all its answers {unparsed} could not be read; {errors} requests failed."

    @cached_property
    def by_target(self) -> bool:
        """Whether there are few enough targets to count by."""
        if not len(self.trials):
            return False
        targets = self.result.trial_samples(self.winner)["target"]
        return 1 < len(set(map(tables.answer_text, targets))) <= MOST_LABELS

    @property
    def slices(self) -> list[tuple[Listing, str]]:
        """Scores by group of rows, of default and winner."""
        frames = list(self.given_slices)
        if self.by_target:
            frames.insert(0, self.result.slices_by_target())
        return [(_slice(frame, self.winner), f"Scores by {', '.join(_groups(frame))}") for frame in frames]

    @property
    def labels(self) -> Listing:
        frame = self.result.labels_df() if self.by_target else pd.DataFrame(columns=list(tables.LABEL_COLUMNS))
        lines = [
            (
                _html.clipped(line["label"], 80),
                line["rows"],
                line["answered"],
                _number(line["recall"], ".2f"),
                _html.bar(line["recall"], line["recall_low"], line["recall_high"]),
                _number(line["precision"], ".2f"),
                f"{line['bias']:+.2f}",
            )
            for line in frame.to_dict("records")
        ]
        columns = ("label", "rows", "answered", "recall", "", "precision", "bias")
        return columns, lines[: 2 * MOST_LABELS], ("rows", "answered", "recall", "precision", "bias")

    @property
    def confusion(self) -> pd.DataFrame | None:
        frame = self.result.confusion_df() if self.by_target else pd.DataFrame()
        return frame if 0 < frame.shape[1] <= 2 * MOST_LABELS else None

    @cached_property
    def worst(self) -> pd.DataFrame:
        """The winner's rows below its best score, the worst first; failed requests before them."""
        rows = self.result.trial_samples(self.winner)
        below = rows["score"].isna() | (rows["score"] < max(rows["score"].max(), 1.0))
        found: pd.DataFrame = rows[below].sort_values(["score", "row"], na_position="first")
        return found

    @property
    def failing(self) -> str:
        if not len(self.trials):
            return "Nothing was answered yet."
        rows = len(self.result.trial_samples(self.winner))
        said = f"{len(self.worst)} of {rows} rows have less than full score. Rows are numbered from 0, as in the data."
        difficulty = self.result.difficulty_df()
        enough = difficulty[difficulty.notna().sum(axis=1) >= 3]
        hopeless = enough.index[enough.max(axis=1) <= 0].tolist()
        if hopeless:
            numbers = ", ".join(map(str, hopeless[:WORST])) + (" and more" if len(hopeless) > WORST else "")
            said += (
                f" Of {len(enough)} rows on which at least three of the best prompts were tried, {len(hopeless)} got 0 "
                f"from every one, whatever its wording: look at their targets. They are {numbers}."
            )
        return said

    @property
    def read_by(self) -> str:
        """Why an answer may not be what the response says."""
        form = self.result.best.answer or {} if len(self.trials) else {}
        by_logprobs = form.get("mode") == "logprobs"
        return (
            "; the answer is read from the labels' probabilities, not from the response's text" if by_logprobs else ""
        )

    @property
    def failures(self) -> list[dict[str, Any]]:
        shown = self.worst.head(WORST)
        sent = self.result.sent(shown["key"].tolist())
        default = self.result.trial_samples(0).set_index("row")["score"]
        return [
            {
                "row": line["row"],
                "sent": sent[line["key"]][-1][1] if line["key"] in sent else "(not answered)",
                "target": tables.answer_text(line["target"]),
                "answer": "(unparsed)" if line["unparsed"] else _answer(line["answer"]),
                "response": line["error"] or line["response"],
                "score": _number(line["score"]),
                "default": _number(default.get(line["row"], math.nan)),
            }
            for line in shown.to_dict("records")
        ]

    @property
    def reproduce(self) -> list[str]:
        url = self.result.storage
        summary = self.result.record.summary
        flags = " ".join(f"--{name} {limit:g}" for name, limit in summary.budget.items()) if summary else "--calls …"
        seed = self.result.identity.get("seed", 0)
        name = shlex.quote(self.result.name)
        return [
            f"prompt-search run STUDY.py {flags} --seed {seed} --name {name} --storage {shlex.quote(url)}",
            f"prompt-search report {name} --storage {shlex.quote(url)} -o report.html",
            f"ps.open_result({url!r}, {self.result.name!r}).best.messages(row)",
        ]

    @property
    def identity(self) -> Listing:
        identity, summary = self.result.identity, self.result.record.summary
        models = "; ".join(f"{name} at {endpoint}" for name, endpoint in identity.get("models", ()))
        facts = {
            "begun": f"{datetime.fromtimestamp(self.result.created, UTC):%Y-%m-%d %H:%M} UTC",
            "template": summary.template if summary else "",
            "data": identity.get("data", ""),
            "rows": f"{summary.search_rows} to search on, {summary.held_out_rows} sealed" if summary else "",
            "model": models,
            "answer": json.dumps(identity.get("answers", []), ensure_ascii=False),
            "metric": identity.get("metric", ""),
            "seed": identity.get("seed", ""),
            "sampler": identity.get("sampler", ""),
            "prompt_search": metadata.version("prompt_search"),
        }
        return ("what", "value"), [(name, value) for name, value in facts.items() if value != ""], ()


_TOKENS = ("prompt_tokens", "completion_tokens")


def html_report(result: Result, slices: Sequence[pd.DataFrame] = ()) -> str:
    """The report as one HTML page."""
    report = _Report(result, slices)
    files = resources.files("prompt_search.report")
    environment = jinja2.Environment(
        autoescape=True, finalize=_html.text, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.globals.update(table=_html.table, details=_html.details)
    page = environment.from_string((files / "report.html.j2").read_text("utf-8"))
    css = _html.STYLE + (files / "report.css").read_text("utf-8")
    js = (files / "report.js").read_text("utf-8")
    known = len(report.trials) > 0
    columns, ranking = _ranking(report)
    return page.render(
        css=_html.Markup(css),
        js=_html.Markup(js),
        name=result.name,
        badge=report.result.verdict if result.finished and report.winner else "",
        verdict=report.verdict,
        advice=report.advice,
        headline=result.headline.splitlines(),
        facts=report.facts if known else [],
        sections=SECTIONS.items(),
        titles=SECTIONS,
        winner=_winner(report) if known else None,
        export=report.export,
        difference=_html.diff(result.baseline.diff(result.best)) if report.winner else "",
        simplest=report.simplest,
        columns=columns,
        ranking=ranking,
        read_by=report.read_by,
        mattered=report.mattered,
        effects=report.effects,
        interactions=report.interactions,
        cost=" ".join(f"{what}: {value} ({note})." for what, value, note in report.winner_costs) if known else "",
        charts=_charts(report) if known else [],
        front=report.front,
        ledger=report.ledger,
        answered_on=report.answered_on,
        slices=report.slices,
        labels=report.labels,
        confusion=_confusion(report),
        failing=report.failing,
        failure_columns=FAILURE_COLUMNS,
        failures=[{name: _shortened(value) for name, value in line.items()} for line in report.failures]
        if known
        else [],
        reproduce=[_html.fill("<code>{}</code>", line) for line in report.reproduce],
        identity=report.identity,
    )


def _winner(report: _Report) -> dict[str, Any]:
    prompt = report.result.best
    settings = {"model": prompt.model, **prompt.parameters}
    samples = report.result.trial_samples(report.winner)
    answered = samples[samples["error"].isna()].head(1)
    sent = report.result.sent(answered["key"].tolist())
    return {
        "trial": report.winner,
        "length": f"{len(prompt.text):,}",
        "settings": "".join(f", {name} {value}" for name, value in settings.items() if value is not None),
        "messages": _html.messages(prompt.turns),
        "sent": _html.join(_html.messages(turns) for turns in sent.values()),
        "row": answered["row"].sum(),
        "choices": (("choice", "option"), list(prompt.choices.items())),
    }


def _ranking(report: _Report) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """The columns as (name, kind) and the lines; what says nothing about any prompt is left out."""
    frame = tables.with_costs(report.trials)
    usd = frame["usd_per_1000_rows"]
    columns: dict[str, Iterable[Any] | None] = {
        "rank": list(range(1, len(frame) + 1)),
        "trial": frame["trial"],
        "score": frame["score"].map(_number),
        "corrected": frame["estimate"].map(_number),
        "rows": frame["search_rows"],
        "tokens": frame["prompt_tokens"].map("{:.0f}".format),
        "seconds": frame["latency_s"].map("{:.2f}".format),
        "$ per 1,000": usd.map("{:.4f}".format) if usd.gt(0).any() else None,
        "unparsed": frame["unparsed"] if frame["unparsed"].any() else None,
        "errors": frame["errors"] if frame["errors"].any() else None,
    }
    numbers = {name: [str(value) for value in values] for name, values in columns.items() if values is not None}
    ends = _html.scale(frame["score_low"], frame["score_high"])
    lines = [
        {
            "winner": trial == report.winner,
            "numbers": cells,
            "low": _number(low),
            "bar": _html.bar(score, low, high, **ends),
            "interval": _range(low, high),
            "state": state,
            "choices": report.result.compared_html(trial),
            "prompt": _html.messages(report.result.prompt(trial).turns) if rank < WITH_PROMPT else "",
        }
        for rank, (trial, state, score, low, high, *cells) in enumerate(
            zip(*(frame[name] for name in ("trial", "state", "score", "score_low", "score_high")), *numbers.values(),
                strict=True)
        )
    ]  # fmt: skip
    return [*((name, "n") for name in numbers), ("95% interval", "n"), ("state", ""), ("choices", "")], lines


def _charts(report: _Report) -> list[tuple[_html.Markup, str]]:
    trials = tables.with_costs(report.trials)
    trials = trials.merge(report.fronts[["trial", *tables.FRONTS]], on="trial", how="left")
    made = []
    for front, cost in tables.FRONTS.items():
        label = _COSTS[cost]
        known = trials[cost].dropna()
        if len(known) and known.nunique() > 1:
            points = trials.assign(**{front: trials[front].eq(True)})
            note = f"Corrected score against {label}. Blue: nothing scores as well for less. Ringed: the winner."
            made.append((charts.scatter(points, cost, label=label, front=front, winner=report.winner), note))
    progress = report.result.progress_df()
    if len(progress):
        note = "Each prompt's score when it got its last row, and the best so far with its 95% interval (band)."
        made.append((charts.progress(progress), note))
    return made


_COSTS = {
    "prompt_tokens": "prompt tokens",
    "usd_per_1000_rows": "US dollars per 1,000 rows",
    "latency_s": "seconds a request",
}


def _confusion(report: _Report) -> dict[str, Any] | None:
    frame = report.confusion
    if frame is None:
        return None
    most = max(1, int(frame.to_numpy().max()))
    lines = [
        {
            "target": _html.clipped(target, 60),
            "cells": [
                {"count": count, "share": round(60 * count / most), "right": answer == target}
                for answer, count in zip(frame.columns, counts, strict=True)
            ],
        }
        for target, counts in zip(frame.index, frame.to_numpy().tolist(), strict=True)
    ]
    return {"answers": [_html.clipped(answer, 60) for answer in frame.columns], "lines": lines}


def _groups(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns if name not in tables.SLICE_COLUMNS]


def _slice(frame: pd.DataFrame, winner: int) -> Listing:
    groups = _groups(frame)
    ends = _html.scale(frame["score_low"], frame["score_high"])
    lines = [
        (
            *(_html.clipped(tables.answer_text(line[name]), 80) for name in groups),
            "winner" if line["trial"] == winner else "default" if line["trial"] == 0 else f"trial {line['trial']}",
            line["rows"],
            _number(line["score"]),
            _html.bar(line["score"], line["score_low"], line["score_high"], **ends),
            _range(line["score_low"], line["score_high"]),
        )
        for line in frame.to_dict("records")
    ]
    return (*groups, "prompt", "rows", "score", "", "95% interval"), lines, ("rows", "score")


def _shortened(value: Any) -> Any:
    """A long text with its end on demand."""
    if not isinstance(value, str) or len(value) <= LONG:
        return value
    return _html.text(value[:LONG] + "…") + _html.details(f"all {len(value):,} characters", _html.exact(value))


def markdown_report(result: Result, slices: Sequence[pd.DataFrame] = ()) -> str:
    """The report as Markdown."""
    report = _Report(result, slices)
    parts = [f"# {_inline(result.name)}", f"**{_inline(report.verdict)}.** {_inline(report.advice)}"]
    parts += map(_inline, result.headline.splitlines())
    if len(report.trials):
        parts.append(_listed((("what", "value", ""), list(report.facts), ())))
        parts += [f"## {SECTIONS['winner']}", f"Trial {report.winner}; `{report.export}` writes it to a file."]
        parts += [part for role, content in result.best.turns for part in (f"{role}:", _fenced(content))]
        if report.winner:
            parts += ["What it changes in the default prompt:", _fenced(result.baseline.diff(result.best), "diff")]
        parts.append(_inline(report.simplest))
    ranked = report.trials.head(WITH_PROMPT)
    names = ["trial", "state", "score", "score_low", "score_high", "estimate", "search_rows", "prompt_tokens"]
    changed = [result.changes(trial, 60) for trial in ranked["trial"].tolist()]
    parts += [f"## {SECTIONS['ranking']}", tables.markdown(ranked[names].assign(differs_from_default=changed))]
    parts += [
        f"## {SECTIONS['effects']}",
        _inline(report.mattered),
        *(_listed(part) for part, _ in report.effects),
        _listed(report.interactions),
    ]
    parts += [f"## {SECTIONS['cost']}", _listed(report.front), _listed(report.ledger)]
    parts += [f"## {SECTIONS['answers']}", _inline(report.answered_on)]
    parts += [part for listing, caption in report.slices for part in (_inline(f"{caption}:"), _listed(listing))]
    parts.append(_listed(report.labels))
    if report.confusion is not None:
        parts.append(tables.markdown(report.confusion.reset_index()))
    parts += [f"## {SECTIONS['failures']}", _inline(report.failing)]
    if len(report.trials) and report.failures:
        failed = [{name: _html.clipped(str(value), LONG) for name, value in line.items()} for line in report.failures]
        parts.append(tables.markdown(pd.DataFrame(failed)))
    parts += [f"## {SECTIONS['reproduce']}", _fenced("\n".join(report.reproduce)), _listed(report.identity)]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _listed(listing: Listing) -> str:
    """A table without its bars."""
    columns, lines, _ = listing
    if not lines:
        return ""
    kept = [index for index, name in enumerate(columns) if name or not isinstance(lines[0][index], _html.Markup)]
    frame = pd.DataFrame([[line[index] for index in kept] for line in lines], dtype=object)
    return tables.markdown(frame.set_axis([columns[index] for index in kept], axis=1))


def _inline(line: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    return tables.markdown_text(line)


def _fenced(content: str, language: str = "text") -> str:
    """Text as it is, in a fence that it cannot close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    return f"{fence}{language}\n{content}\n{fence}"


def _number(value: float, form: str = ".3f") -> str:
    return "unknown" if math.isnan(value) else format(value, form)


def _dollars(value: float) -> str:
    if math.isnan(value):
        return "price unknown"
    return f"${value:,.4f}" if 0 < value < 1 else f"${value:,.2f}"


def _range(low: float, high: float, form: str = ".2f") -> str:
    return "unknown" if math.isnan(low) else f"{low:{form}} to {high:{form}}"


def _answer(value: Any) -> str:
    return "" if value is None else tables.answer_text(value)
