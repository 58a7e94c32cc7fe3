"""Metrics of all rows together, and what each row adds to them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search import metrics
from prompt_search.answers import Unparsed
from prompt_search.data.rows import Row
from prompt_search.metrics.corpus import Corpus, CorpusBleu, Kappa, MacroF1, Matthews, WorstSlice
from prompt_search.results.statistics import mean_interval
from tests.conftest import Body, InProcessExecutor, prompt_of

UNREAD = Unparsed("nothing")
AGREEMENTS = [MacroF1(), Matthews(), Kappa()]


def pairs_of(targets: list[Any], answers: list[Any]) -> list[tuple[Any, Row]]:
    return [(answer, Row({"x": "", "y": target}, target="y")) for target, answer in zip(targets, answers, strict=True)]


def value_of(metric: Corpus, targets: list[Any], answers: list[Any]) -> float:
    return float(np.mean(metric.influences(pairs_of(targets, answers))))


def test_macro_f1_is_scikit_learns() -> None:
    """The example of scikit-learn's f1_score."""
    assert value_of(MacroF1(), [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1]) == pytest.approx(0.26666, abs=1e-4)


def test_labels_are_compared_by_value_and_without_typography() -> None:
    """A table's 1.0 is the label 1, and quotation marks, accents and widths make no difference."""
    assert value_of(MacroF1(), [1.0, 0.0, 1.0], ["1", "0", "1"]) == 1
    assert value_of(MacroF1(), ["1", "0"], [1.0, 0]) == 1
    assert value_of(Kappa(), ["Don’t know", "café"], ["don't know", "cafe\u0301"]) == 1
    assert value_of(MacroF1(), ["1.5", "1"], ["1", "1.5"]) == 0


def test_matthews_is_scikit_learns() -> None:
    """The example of scikit-learn's matthews_corrcoef, and for two labels the correlation of indicators."""
    assert value_of(Matthews(), [1, 1, 1, -1], [1, -1, 1, 1]) == pytest.approx(-1 / 3)
    generator = np.random.default_rng(0)
    targets, answers = generator.integers(0, 2, (2, 50))
    expected = np.corrcoef(targets, answers)[0, 1]
    assert value_of(Matthews(), targets.tolist(), answers.tolist()) == pytest.approx(expected)


def test_kappa_is_scikit_learns() -> None:
    """The example of scikit-learn's cohen_kappa_score."""
    first = ["negative", "positive", "negative", "neutral", "positive"]
    second = ["negative", "positive", "negative", "neutral", "negative"]
    assert value_of(Kappa(), first, second) == pytest.approx(0.6875)


def test_corpus_bleu_is_sacrebleus() -> None:
    """The score that sacrebleu gives all rows at once, and not the mean of those of single rows."""
    from sacrebleu.metrics.bleu import BLEU

    answers = ["the cat sat on the mat", "a dog barked at night", "yes", ""]
    targets = ["the cat sat on a mat", "the dog barked loudly at night", "yes indeed", "no"]
    expected = BLEU().corpus_score(answers, [targets]).score / 100
    assert value_of(CorpusBleu(), targets, answers) == pytest.approx(expected)
    assert value_of(CorpusBleu(), targets, targets) == pytest.approx(1)
    assert value_of(CorpusBleu(), targets, [UNREAD] * 4) == 0


def test_corpus_bleu_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A short answer is counted without a warning of sacrebleu, of which a study would print one per row."""
    value_of(CorpusBleu(), ["yes indeed", "no"], ["yes", ""])
    assert not caplog.records


def test_worst_slice_is_the_lowest_mean() -> None:
    """Groups are compared by their means; an answer that could not be read counts as 0."""
    metric = WorstSlice(metrics.exact, by="y")
    assert value_of(metric, ["a", "a", "a", "b", "b"], ["a", "a", "b", "b", "a"]) == pytest.approx(1 / 2)
    assert value_of(metric, ["a", "b"], ["a", UNREAD]) == 0
    lowest = WorstSlice(lambda answer, row: -float(answer), by="y")
    assert value_of(lowest, ["a", "b", "b"], [1, 2, 4]) == pytest.approx(-3)


@pytest.mark.parametrize("metric", AGREEMENTS, ids=lambda metric: str(metric.name))
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*"abc", "A ", UNREAD])), min_size=1, max_size=25))
def test_influences_have_the_metric_as_mean(metric: Corpus, read: list[tuple[str, Any]]) -> None:
    """Whatever was answered, the mean of what rows add is the metric of all, and is finite."""
    pairs = pairs_of([target for target, _ in read], [answer for _, answer in read])
    influences = metric.influences(pairs)
    whole = metric.value(sum((metric.counts(*pair) for pair in pairs), metric.counts(*pairs[0]).__class__()))
    assert np.mean(influences) == pytest.approx(whole, abs=1e-9)
    assert all(math.isfinite(value) for value in influences)
    assert -1 <= whole <= 1


@pytest.mark.parametrize("metric", AGREEMENTS, ids=lambda metric: str(metric.name))
def test_perfect_answers_have_1_and_no_spread(metric: Corpus) -> None:
    """Case and white space aside, any of several accepted answers is right."""
    assert metric.influences(pairs_of(["a", "b", ["c", "d"]], ["A", " b", "D"])) == pytest.approx([1, 1, 1])
    assert metric.influences([]) == []


def test_spread_of_influences_is_that_of_the_metric() -> None:
    """The standard error from what rows add is that over many draws of rows, and their intervals hold the truth."""
    generator = np.random.default_rng(0)

    def drawn(rows: int) -> tuple[list[Any], list[Any]]:
        targets = generator.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1])
        return targets.tolist(), np.where(generator.random(rows) < 0.7, targets, "a").tolist()

    truth = value_of(MacroF1(), *drawn(20_000))
    found = [MacroF1().influences(pairs_of(*drawn(150))) for _ in range(300)]
    errors = [np.std(values, ddof=1) / len(values) ** 0.5 for values in found]
    assert np.mean(errors) == pytest.approx(np.std([np.mean(values) for values in found]), rel=0.1)
    inside = [low <= truth <= high for low, high in map(mean_interval, found)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


def test_representation_is_the_same_in_every_process() -> None:
    """A study is resumed only by an equal metric, so no address of a function is part of it."""

    def judged(answer: Any, row: Row) -> float:
        return 1.0

    assert repr(WorstSlice(judged, by="y")) == "WorstSlice(judged, by='y')"
    assert repr(WorstSlice(metrics.exact, by="y")) == f"WorstSlice({metrics.exact!r}, by='y')"


def test_column_that_is_not_there_is_refused() -> None:
    """A grouping column must be one of the data's, before any request."""
    message = "the metric worst_slice groups by the column 'kind', which is not in the data; there are: text, y"
    with pytest.raises(ps.InputError, match=f"^{message}$"):
        metrics.check(WorstSlice(metrics.exact, by="kind"), ["text", "y"])
    metrics.check(metrics.macro_f1, ["text", "y"])


def test_coroutine_has_no_worst_slice() -> None:
    """A metric that must be awaited is refused before the run."""

    async def judge(answer: Any, row: Row) -> float:
        return 1.0

    message = "the metric worst_slice cannot use a coroutine function as its metric; give a plain function"
    with pytest.raises(ps.InputError, match=f"^{message}$"):
        metrics.check(WorstSlice(judge, by="y"), ["x", "y"])


def test_study_by_macro_f1(fake: InProcessExecutor) -> None:
    """A study's scores, verdict and tables are those of all rows together."""

    def answer(body: Body) -> str:
        prompt = prompt_of(body)
        return "rare" if "care" in prompt and "odd" in prompt else "common"

    fake.answer = answer
    records = [
        {"text": f"{'odd' if i % 5 == 0 else 'plain'} {i}", "y": "rare" if i % 5 == 0 else "common"} for i in range(90)
    ]
    study = ps.Study(
        template=ps.Template('{{ choice("instruction", ["Read.", "Which?", "Take care."]) }} {{ row.text }}'),
        data=ps.Dataset(pd.DataFrame(records), target="y"),
        model=fake.model(),
        executor=fake,
        metric=metrics.macro_f1,
    )
    result = study.run(150)
    assert "care" in result.best.text
    assert result.verdict == "better"
    samples = result.samples_df()
    for trial, found in samples[samples["split"] == "search"].groupby("trial"):
        expected = value_of(MacroF1(), found["target"].tolist(), found["answer"].tolist())
        assert result.trials_df().set_index("trial")["score"][trial] == pytest.approx(expected)
    assert result.test_score(result.best_trial)[0] == pytest.approx(1)
    assert result.test_score(0)[0] < 0.5
    assert result.summary["metric"] == "macro_f1"
    rescored = study.replace(metric=metrics.exact)
    assert rescored.identity()["metric"] != study.identity()["metric"]
    evaluation = ps.evaluate(result.baseline, study.data, model=fake.model(), executor=fake, metric=metrics.macro_f1)
    assert evaluation.score == pytest.approx(value_of(MacroF1(), [r["y"] for r in records], ["common"] * 90))
