"""The race: the same search whatever order responses arrive in, exactly on budget, and it finds what is there."""

from __future__ import annotations

import asyncio
import random
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prompt_search.answers.forms import Label, Regex
from prompt_search.budget import Budget, Ledger
from prompt_search.data.dataset import Dataset
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.outcome import Outcome
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.messages import Response
from prompt_search.prompts.space import Factor, SearchSpace, choice
from prompt_search.prompts.template import Template
from prompt_search.search.optuna_adapter import ObservedTrial, proposals, stops
from prompt_search.search.order import common_order
from prompt_search.search.race import FINALIST_COUNT, MIN_BATCHES_PER_ROUND, Race, pooled_width, smoothed
from prompt_search.search.settings import BATCH_ROWS, CallBudget, RaceSettings
from prompt_search.search.trial import Trial
from prompt_search.storage.store import Store
from prompt_search.study.study import Study
from tests.conftest import Body, FakeClient, FakeModel, prompt_of

SOURCE = """{{ choice("instruction", ["Classify.", "Read.", "Say it.", "Decide with care.", "Which?"]) }}
{% if flag("listed") %}Labels: {{ labels | join(", ") }}{% endif %}

Text: {{ row.text }}
{{ choice("cue", ["Label:", "Answer:", "", "Sentiment:"]) }}"""
QUALITY = {"Decide with care.": 0.3, "Labels:": 0.1, "Answer:": 0.2}
"""What each right choice adds to the 0.4 of the default."""


def data(rows: int = 120) -> Dataset:
    texts = [(f"{'good' if index % 2 else 'bad'} thing number {index}", index % 2) for index in range(rows)]
    frame = pd.DataFrame([{"text": text, "label": ("negative", "positive")[good]} for text, good in texts])
    return Dataset(frame, target="label")


def quality(prompt: str) -> float:
    return 0.4 + sum(gain for mark, gain in QUALITY.items() if mark in prompt)


def truth(body: Body) -> str:
    """Right as often as the prompt's choices deserve, fixed for each prompt."""
    prompt = prompt_of(body)
    right, wrong = ("positive", "negative") if "good thing" in prompt else ("negative", "positive")
    return right if zlib.crc32(prompt.encode()) % 1000 < 1000 * quality(prompt) - 1e-9 else wrong


@dataclass
class Setting:
    """A race on a fake model, and everything that it is made of."""

    source: str = SOURCE
    answer: Callable[[Body], str | Response] = truth
    limit: int = 150
    seed: int = 0
    concurrency: int = 16
    latency_seed: int | None = None
    sampler: optuna.samplers.BaseSampler | None = None
    pruner: optuna.pruners.BasePruner | None = None
    max_trials: int | None = None
    enqueued: Sequence[Mapping[str, Any]] = ()
    data: Dataset = field(default_factory=data)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fake = FakeModel()
        self.fake.answer = self.answer
        if self.latency_seed is not None:
            generator = random.Random(self.latency_seed)
            self.fake.latency = lambda body: generator.random() / 500
        self.model = self.fake.model()
        self.study = Study(
            template=Template(self.source), data=self.data, model=self.model, seed=self.seed, **self.settings
        )
        self.rounds: list[int] = []
        self.ledger = Ledger(Budget(calls=self.limit))
        self.evaluator = Evaluator(
            EvaluationSettings(
                study="s",
                rows=self.data.rows,
                metric=self.study.metric,
                store=Store("sqlite://"),
                ledger=self.ledger,
            ),
            clients={
                (model.endpoint, model.name): FakeClient(self.fake, self.concurrency, self.ledger.reserve)
                for model in self.study.models
            },
        )
        space = self.study.space()
        self.race = Race(
            RaceSettings(
                space=space,
                prepare=lambda candidate: (self.study.prepared(candidate), self.study.rows_for(candidate)),
                row_order=self.study.search_rows,
                seed=self.seed,
                propose=None if self.sampler is None else proposals(space, self.sampler),
                stop=None if self.pruner is None else stops(space, self.pruner, BATCH_ROWS),
                enqueued=[space.candidate_of(options) for options in self.enqueued],
                max_trials=self.max_trials,
            ),
            evaluator=self.evaluator,
            budget=CallBudget(limit=lambda: self.limit, spent=lambda: self.ledger.spent),
            on_round=lambda race: self.rounds.append(self.fake.count),
        )

    def run(self) -> Trial:
        return asyncio.run(self.race.run())

    def record(self) -> list[Any]:
        """All that a race decided: every trial with its rows, scores and end, and the ranking."""
        self.run()
        trials = [
            (
                trial.number,
                trial.candidate,
                trial.state,
                trial.reason,
                [(o.row, o.score, o.key) for o in trial.outcomes],
            )
            for trial in self.race.trials
        ]
        return [trials, [trial.number for trial in self.race.ranked()], self.ledger.spent]


# Order of arrival


def test_order_of_responses_and_concurrency_change_nothing() -> None:
    """Same seed and same responses: same trials, rows, reasons, ranking, whatever arrives first."""
    expected = Setting(concurrency=1).record()
    assert len(expected[0]) > MIN_BATCHES_PER_ROUND
    for concurrency, latency_seed in ((3, 1), (16, 2), (64, 3)):
        assert Setting(concurrency=concurrency, latency_seed=latency_seed).record() == expected


def test_other_seed_is_another_search() -> None:
    """The seed decides what is left to chance."""
    assert Setting(seed=0, limit=60).record() != Setting(seed=1, limit=60).record()


# Budget


@settings(max_examples=10)
@given(limit=st.integers(1, 120), seed=st.integers(0, 5), concurrency=st.integers(1, 32))
def test_budget_is_exact(limit: int, seed: int, concurrency: int) -> None:
    """All calls are spent, none too many, where there are more candidates and rows than calls."""
    setting = Setting(limit=limit, seed=seed, concurrency=concurrency)
    setting.run()
    assert setting.fake.count == setting.ledger.paid.calls <= limit
    assert setting.fake.count > limit - 6  # the finalists share what is left evenly
    assert sum(len(trial.outcomes) for trial in setting.race.trials) == setting.fake.count


@pytest.mark.parametrize("most", [1, 3, 12])
def test_no_more_candidates_than_asked_for(most: int) -> None:
    """With a limit to the trials there are so many, and the calls go to their rows."""
    setting = Setting(limit=150, max_trials=most)
    setting.run()
    assert len(setting.race.trials) == most
    useful = min(150, most * len(setting.study.search_rows))
    assert useful - most < setting.fake.count <= useful


def test_nothing_is_asked_twice() -> None:
    """No request is sent a second time, and no row is scored twice for one candidate."""
    setting = Setting(limit=150)
    setting.run()
    assert len({prompt_of(body) for body in setting.fake.bodies}) == setting.fake.count
    for trial in setting.race.trials:
        rows = [outcome.row for outcome in trial.outcomes]
        assert len(set(rows)) == len(rows)


def test_all_candidates_see_rows_in_one_order() -> None:
    """Every trial's rows are the first of one common order, so that comparisons are paired."""
    setting = Setting(limit=150)
    setting.run()
    for trial in setting.race.trials:
        assert [outcome.row for outcome in trial.outcomes] == setting.study.search_rows[: len(trial.outcomes)]


def test_every_trial_was_looked_at() -> None:
    """A candidate for which no call was left is not listed as a trial."""
    for limit in (40, 61):
        setting = Setting(limit=limit)
        setting.run()
        assert all(trial.outcomes for trial in setting.race.trials)


def test_sealed_rows_are_not_searched_on() -> None:
    """The search asks about none of the rows that are kept for the test."""
    setting = Setting(limit=150)
    setting.run()
    sealed = {setting.data.rows[row]["text"] for row in setting.study.test_rows}
    assert not any(text + "\n" in prompt_of(body) + "\n" for body in setting.fake.bodies for text in sealed)


# What the search finds


def test_search_finds_the_best_prompt() -> None:
    """Where choices decide, 400 calls find prompts within 0.1 of the best (1.0) on average and 0.2 always, from a
    default of 0.4."""
    found = []
    for seed in range(3):
        setting = Setting(limit=400, seed=seed, data=data(400))
        found.append(quality(setting.run().prepared.prompt.text))
        assert quality(setting.race.trials[0].prepared.prompt.text) == pytest.approx(0.4)
    assert np.mean(found) >= 0.9
    assert min(found) >= 0.8 - 1e-9


def test_default_is_the_first_trial() -> None:
    """Trial 0 is the template with every choice at its first option."""
    setting = Setting(limit=30)
    setting.run()
    assert setting.race.trials[0].candidate == setting.study.space().default


@pytest.mark.parametrize("answer", ["positive", "mumble"])
def test_constant_scores_leave_the_default(answer: str) -> None:
    """Where no prompt is better than another, the default wins."""
    setting = Setting(answer=lambda body: answer, settings={"metric": lambda a, row: 0.5 if a else 0.0})
    assert setting.run().number == 0


def test_one_candidate_is_a_search() -> None:
    """A template without choices is scored on its rows, and nothing is proposed."""
    setting = Setting(source="Text: {{ row.text }}", limit=500)
    assert setting.run().number == 0
    assert len(setting.race.trials) == 1
    assert setting.fake.count == len(setting.study.search_rows)


@pytest.mark.parametrize("options", [2, 3, 4])
def test_small_space_is_tried_whole(options: int) -> None:
    """Where there are fewer candidates than a round takes, all are tried on all rows and the race ends."""
    listed = ", ".join(f'"{number}"' for number in range(options))
    setting = Setting(source=f'{{{{ choice("a", [{listed}]) }}}} {{{{ row.text }}}}', limit=5_000)
    setting.run()
    assert len(setting.race.trials) == options
    assert setting.fake.count <= options * len(setting.study.search_rows)
    assert {trial.state for trial in setting.race.trials} == {"complete"}


def test_equal_prompts_are_one_candidate() -> None:
    """Options that lead to the same prompt are asked about once; answers that read differently are not equal."""
    source = '{% if choice("a", ["x", "y"]) == "z" %}!{% endif %}{% if flag("b") %}Hm. {% endif %}{{ row.text }}'
    setting = Setting(source=source, limit=5_000)
    setting.run()
    assert len(setting.race.trials) == 2
    answers = choice({"first": Regex("(posi)"), "second": Regex("(nega)")})
    setting = Setting(source="{{ row.text }}", limit=5_000, settings={"answer": answers})
    setting.run()
    assert len(setting.race.trials) == 2


def test_inactive_choices_make_no_other_candidate() -> None:
    """A choice that a branch leaves out does not multiply the candidates."""
    source = '{% if flag("b") %}{{ choice("c", ["1", "2", "3"]) }} {% endif %}{{ row.text }}'
    setting = Setting(source=source, limit=5_000)
    setting.run()
    assert len(setting.race.trials) == 4


def test_rows_shown_as_shots_are_never_scored() -> None:
    """No candidate is scored on a row that it shows, nor on one with the same text."""
    source = """{% for shot in examples("shots", max=3, min=1) %}
{{ shot.text }} is {{ shot.label }}
{% endfor %}
{{ row.text }} is"""
    repeated = data(40).frame()
    repeated["text"] = [f"{'good' if i % 2 else 'bad'} thing number {i // 2 % 8}" for i in range(40)]
    for rows in (data(24), Dataset(repeated, target="label")):
        setting = Setting(source=source, limit=150, data=rows)
        setting.run()
        pickers = {dict(r.candidate.positions)["shots.picker"] for r in setting.race.trials}
        assert len(pickers) > 3
        for trial in setting.race.trials:
            for outcome in trial.outcomes:
                row = rows.rows[outcome.row]
                prompt = trial.prepared.prompt.messages(row.fields)[0]["content"]
                assert prompt.count(f"{row.text} is") == 1


def test_shots_of_one_answer_form_are_not_scored_either() -> None:
    """Where only one answer form shows examples, its rows are left out for that form."""
    source = """{% if answer == "second" %}{% for shot in examples("shots", max=4, min=4, pickers=["random 1"]) %}
{{ shot.text }} is {{ shot.label }}
{% endfor %}{% endif %}
{{ row.text }} is"""
    labels = ["positive", "negative"]
    answers = choice({"first": Label(labels), "second": Label(labels, max_tokens=5)})
    setting = Setting(source=source, limit=100, data=data(24), settings={"answer": answers})
    setting.run()
    shown = setting.race.trials[1]
    assert len(shown.rows) == len(setting.study.search_rows) - 4
    for row in shown.rows:
        fields = setting.data.rows[row].fields
        assert shown.prepared.prompt.messages(fields)[0]["content"].count(f"{fields.text} is") == 1


# Failures


def test_all_errors_end_without_a_score() -> None:
    """Where every request fails, all trials are failed, the default stays, and the reason says so."""
    setting = Setting(answer=lambda body: Response(error="server: 500"), limit=9)
    winner = setting.run()
    assert (winner.number, winner.state, winner.scores) == (0, "failed", [])
    assert winner.reason == f"all {len(winner.outcomes)} requests failed: server: 500"


def test_failing_default_does_not_win() -> None:
    """A prompt that was never answered is behind every one that was, the default too."""

    def answer(body: Body) -> str | Response:
        return Response(error="bad_request: too long") if "Classify." in prompt_of(body) else "positive"

    setting = Setting(answer=lambda body: answer(body), limit=60, settings={"metric": lambda a, row: 1.0})
    other = setting.study.prepared(setting.study.space().candidate_of({"instruction": "Read."}))
    asyncio.run(setting.evaluator.evaluate([(other, setting.study.search_rows[0])], "search"))
    winner = setting.run()
    assert "Classify." not in winner.prepared.prompt.text
    assert setting.race.trials[0].state == "failed"


def test_pruned_trials_rank_behind_finalists() -> None:
    """Every trial says why it ended; finalists stand before the pruned, the last survivor first."""
    setting = Setting(limit=200)
    winner = setting.run()
    ranked = setting.race.ranked()
    states = [trial.state for trial in ranked]
    assert states == sorted(states)  # complete before pruned
    assert ranked[0] is winner
    assert winner.reason == f"to the end of the finals, {len(winner.outcomes)} rows"
    finalists = [trial for trial in ranked if trial.state == "complete"]
    assert len(finalists) == FINALIST_COUNT
    assert all(trial.reason.startswith("left the finals: estimated") for trial in finalists[1:])
    assert all(trial.reason for trial in setting.race.trials)


# Samplers


@pytest.mark.parametrize(
    "sampler", [optuna.samplers.RandomSampler(seed=1), optuna.samplers.TPESampler(seed=1)], ids=["random", "tpe"]
)
def test_any_optuna_sampler_can_be_used(sampler: optuna.samplers.BaseSampler) -> None:
    """A sampler that is passed in proposes, and a second run with the same object proposes the same."""
    first, second = Setting(sampler=sampler, limit=100).record(), Setting(sampler=sampler, limit=100).record()
    assert first == second


def test_proposals_of_a_sampler_are_repeatable() -> None:
    """A copy of the sampler is asked, so that a second proposer gives the same."""
    space = Setting().study.space()
    sampler = optuna.samplers.TPESampler(seed=3)
    trials = [
        ObservedTrial(
            {factor.name: index % len(factor.options) for factor in space.factors}, "running", [1.0], index / 12
        )
        for index in range(12)
    ]
    first, second = proposals(space, sampler), proposals(space, sampler)
    assert [first(trials, 8), first(trials, 8)] == [second(trials, 8), second(trials, 8)]


PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=3),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=BATCH_ROWS),
    "wilcoxon": lambda: optuna.pruners.WilcoxonPruner(n_startup_steps=14),
    "none": optuna.pruners.NopPruner,
}


@pytest.mark.filterwarnings("ignore:WilcoxonPruner is experimental")
@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("sampler", [None, optuna.samplers.TPESampler(seed=1)], ids=["ours", "tpe"])
def test_any_optuna_pruner_can_be_used(name: str, sampler: optuna.samplers.BaseSampler | None) -> None:
    """Trials go on until the pruner stops them or they had rows enough, the same in a second run."""
    pruner = PRUNERS[name]()
    first = Setting(sampler=sampler, pruner=pruner, limit=240)
    assert first.record() == Setting(sampler=sampler, pruner=pruner, limit=240, latency_seed=1).record()
    reasons = [trial.reason for trial in first.race.trials]
    stopped = sum("stopped by the pruner" in reason for reason in reasons)
    assert stopped == 0 if name == "none" else stopped < len(reasons)
    assert any(len(trial.outcomes) >= 2 * BATCH_ROWS for trial in first.race.trials)


def test_median_pruner_stops_what_is_worse() -> None:
    """A pruner sees each trial's running means, so that the median pruner stops trials below the median."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=0)
    trials = [
        ObservedTrial({"a": 0}, "complete", [1.0] * 20, 1.0),
        ObservedTrial({"a": 1}, "complete", [0.8, 0.9] * 10, 0.85),
        ObservedTrial({"a": 2}, "running", [0.0] * 10, 0.1),
        ObservedTrial({"a": 3}, "running", [1.0] * 10, 0.9),
    ]
    space = SearchSpace([Factor(name="a", kind="choice", options=("w", "x", "y", "z"))], lambda values: ["a"])
    assert stops(space, pruner, BATCH_ROWS)(trials) == [False, False, True, False]


# Who is raced in any case


def test_every_option_is_raced() -> None:
    """Each option of each choice is looked at, and so are the default and what was enqueued, in that order."""
    options = {"instruction": "Which?", "cue": "Sentiment:"}
    setting = Setting(limit=200, enqueued=[options])
    space = setting.study.space()
    wanted = space.candidate_of(options)
    setting.run()
    assert [trial.candidate for trial in setting.race.trials[:2]] == [space.default, wanted]
    for factor in space.factors:
        raced = {trial.candidate.to_dict()[factor.name] for trial in setting.race.trials}
        assert raced == set(range(len(factor.options)))


# Stopping


def test_hopeless_candidates_are_stopped_and_say_why() -> None:
    """A candidate that is all but surely worse than the leader is stopped with its probability and rows."""
    setting = Setting(
        limit=400,
        answer=lambda body: truth(body) if "Decide" in prompt_of(body) else "neither",
    )
    winner = setting.run()
    stopped = [trial for trial in setting.race.trials if trial.reason.startswith("stopped after")]
    assert stopped
    for trial in stopped:
        assert re.fullmatch(r"stopped after \d+ rows: better than trial \d+ with probability 0\.\d%", trial.reason)
        assert np.mean(trial.scores) < np.mean(winner.scores)


# Margins


def outcomes_of(margins: Sequence[float]) -> list[Outcome]:
    return [
        Outcome(
            row=row,
            key="",
            answer=None,
            score=float(margin > 0),
            explanation="",
            unparsed=False,
            error=None,
            cached=False,
            margin=margin,
        )
        for row, margin in enumerate(margins)
    ]


@pytest.mark.parametrize("right", [0.3, 0.5, 0.7, 0.85])
def test_smoothed_scores_estimate_the_same_with_less_noise(right: float) -> None:
    """The mean of smoothed scores is the share of right answers, at a smaller variance."""
    generator = np.random.default_rng(0)
    studies = generator.normal(stats.norm.ppf(right), 1, (1500, BATCH_ROWS)) * 3
    smooth = [np.mean(smoothed(outcomes_of(study.tolist()), 3.0)) for study in studies]
    counted = (studies > 0).mean(axis=1)
    assert np.mean(smooth) == pytest.approx(right, abs=0.02)
    assert np.var(smooth) < 0.85 * np.var(counted)


def test_scores_without_margins_are_kept() -> None:
    """Where nothing tells by how much an answer is right, scores are taken as they are."""
    bare = [replace(outcome, margin=None) for outcome in outcomes_of([1.0, -1.0, 2.0])]
    assert smoothed(bare, 1.0) == [1.0, 0.0, 1.0]
    assert smoothed(outcomes_of([1.0, -1.0]), 0.0) == [1.0, 0.0]


@given(st.lists(st.floats(-6, 6), min_size=2, max_size=40))
def test_smoothing_keeps_the_order_of_answers(margins: list[float]) -> None:
    """An answer that is more right never scores less."""
    scores = smoothed(outcomes_of(margins), pooled_width([margins]) or 1.0)
    assert [scores[index] for index in np.argsort(margins, kind="stable")] == sorted(scores)


# The common order


@given(labels=st.lists(st.sampled_from("abc"), min_size=1, max_size=80), seed=st.integers(0, 9))
def test_common_order_is_a_permutation(labels: list[str], seed: int) -> None:
    """Every row once, the same for the same seed."""
    rows = [3 * index for index in range(len(labels))]
    order = common_order(labels, rows, seed)
    assert sorted(order) == rows
    assert order == common_order(labels, rows, seed)
    assert sorted(common_order(None, rows, seed)) == rows


@pytest.mark.parametrize("seed", range(5))
def test_common_order_keeps_proportions(seed: int) -> None:
    """Each look holds the labels nearly as all rows do, though the rows are sorted by label."""
    labels = ["a"] * 90 + ["b"] * 30
    order = common_order(labels, range(120), seed)
    for start in range(0, 120, BATCH_ROWS):
        assert 1 <= sum(labels[row] == "b" for row in order[start : start + BATCH_ROWS]) <= 5
