"""Landscapes whose truth is known: what is read is what the files say, and searches on it are replayed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import prompt_search as ps
from experiments.benchmarks import landscape, search_truth
from experiments.benchmarks import search_truth_strategies as strategies
from experiments.benchmarks.search_truth_landscapes import Landscape, Simulated, families, measured
from experiments.benchmarks.search_truth_world import Levels
from prompt_search.errors import InputError
from prompt_search.evaluation.outcome import Outcome
from prompt_search.testing import FakeServer, truth_model

PUBLIC_SETS = Path(os.environ.get("PROMPT_SEARCH_DATA_DIR", Path(__file__).parents[2].parent / "shared" / "data"))
SHARED = PUBLIC_SETS / "landscapes"
"""The folder of the real landscapes, which are no part of the repository."""

GRID = "instruction,examples,accuracy\n" + "".join(f"{a},{b},{(a + b) / 10}\n" for a in range(3) for b in range(4))
WORDINGS = ["Say it.", "", "Say it.", 'Say "it", please.']
CONDITIONAL = """candidate,style,cue,row,score,margin
0,plain,(absent),3,1.0,0.5
0,plain,(absent),7,0.0,
1,cue,,3,1.0,2.0
1,cue,,7,1.0,1.0
2,cue,Label:,3,0.0,-1.0
2,cue,Label:,7,0.0,-2.0
"""
TEMPLATE = """{{ choice("instruction", ["Classify.", "Which label?"]) }}
{{ row.text }}
{% if choice("style", ["plain", "cue"]) == "cue" %}{{ choice("cue", ["Label:", ""]) }}{% endif %}"""
TEXTS = {f"text {number}.": "ab"[number % 2] for number in range(12)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one landscape of each kind."""
    made = tmp_path / "landscapes"
    (made / "measured").mkdir(parents=True)
    (made / "gsm8k_grid.csv").write_text(GRID)
    texts = [("B", task, number, text) for task in ("t", "u") for number, text in enumerate(WORDINGS, 1)]
    key = ["benchmark", "task", "paraphrase"]
    pd.DataFrame(texts, columns=[*key, "text"]).to_csv(made / "paraphrase_texts.csv", index=False)
    lines = [(*wording[:3], model, 0.2 * wording[2]) for wording in texts for model in ("m", "n")]
    pd.DataFrame(lines, columns=[*key, "model", "accuracy"]).to_csv(made / "paraphrases.csv", index=False)
    (made / "measured" / "small.csv").write_text(CONDITIONAL)
    return made


def test_families_of_a_folder(folder: Path) -> None:
    """A grid is one landscape, paraphrases are one for each task and model, a measured table is one."""
    found = families(folder)

    assert {name: len(each) for name, each in found.items()} == {"gsm8k": 1, "B": 4, "small": 1}
    assert found["gsm8k"][0].accuracies == {(a, b): (a + b) / 10 for a in range(3) for b in range(4)}
    assert found["gsm8k"][0].choices["examples"] == [f"examples {number}" for number in range(4)]
    assert sorted(each.name for each in found["B"]) == ["B t m", "B t n", "B u m", "B u n"]
    assert found["B"][0].choices == {"paraphrase": ["Say it.", "", "Say it. [3]", 'Say "it", please.']}
    assert list(found["B"][0].accuracies.values()) == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_measured_table_keeps_conditions_and_margins(folder: Path) -> None:
    """A choice that a candidate lacks is inactive there; scores and margins are those of the rows, in any order."""
    found = measured(folder / "measured" / "small.csv")
    space = found.space
    worlds = [found.world(seed) for seed in range(8)]

    assert found.accuracies == {(0, -1): 0.5, (1, 0): 1.0, (1, 1): 0.0}
    assert [space.texts(each) for each in space.candidates()] == [
        {"style": "plain"},
        {"style": "cue", "cue": ""},
        {"style": "cue", "cue": "Label:"},
    ]
    assert worlds[0].canonical(np.array([[0, 1], [1, 1]])).tolist() == [[0, -1], [1, 1]]
    assert {tuple(world.scores((0, -1)).tolist()) for world in worlds} == {(1.0, 0.0), (0.0, 1.0)}
    assert all(np.isnan(world.margins((0, -1))).tolist() == (world.scores((0, -1)) == 0).tolist() for world in worlds)


def test_simulated_answers_have_the_given_accuracies() -> None:
    """The mean probability over the rows is the accuracy, and answers are right that often; rows differ."""
    accuracies: dict[Levels, float] = {(level,): level / 20 for level in range(21)}
    world = Simulated(Landscape(name="x", choices={"a": [str(n) for n in range(21)]}, accuracies=accuracies), seed=3)

    for levels, accuracy in accuracies.items():
        assert expit(world.ability(accuracy) - world.difficulty).mean() == pytest.approx(accuracy, abs=1e-4)
        assert world.scores(levels).mean() == pytest.approx(accuracy, abs=4 * (0.25 / world.rows) ** 0.5)
    by_row = np.mean([world.scores(levels) for levels in accuracies], axis=0)
    assert np.corrcoef(by_row, world.difficulty)[0, 1] < -0.7


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no landscapes": (
        lambda folder: [file.rename(folder / "x") for file in folder.rglob("*.csv")],
        "has no landscapes: no gsm8k_",
    ),
    "a column": (lambda folder: (folder / "gsm8k_grid.csv").write_text("a,b\n"), "has no column 'instruction'; it nee"),
    "texts": (
        lambda folder: (folder / "paraphrase_texts.csv").rename(folder / "x"),
        "there is no file .*paraphrase_texts.csv",
    ),
    "a text": (
        lambda folder: (folder / "paraphrase_texts.csv").write_text("benchmark,task,paraphrase,text\nB,t,1,x\n"),
        "paraphrase_texts.csv lacks a wording that paraphrases.csv has",
    ),
    "a row": (
        lambda folder: (folder / "measured" / "small.csv").write_text(
            CONDITIONAL.replace("2,cue,Label:,7,0.0,-2.0", "")
        ),
        "small.csv lacks rows of some candidates; run landscape.py again",
    ),
    "a candidate": (
        lambda folder: (folder / "measured" / "small.csv").write_text(
            "candidate,a,b,row,score,margin\n0,x,x,0,1,\n1,x,y,0,1,\n2,y,x,0,1,\n"
        ),
        "small.csv lacks candidates; run landscape.py again",
    ),
    "a conditional candidate": (
        lambda folder: (folder / "measured" / "small.csv").write_text(
            "candidate,a,b,row,score,margin\n0,x,(absent),0,1,\n1,y,p,0,1,\n2,z,q,0,1,\n"
        ),
        "small has no candidate .* measure all candidates of the template",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_landscapes_are_refused(what: str, folder: Path) -> None:
    """A file that lacks something is an error in one line that names it."""
    break_it, message = BROKEN[what]
    break_it(folder)

    with pytest.raises(InputError, match=message):
        families(folder)


@pytest.mark.parametrize("strategy", strategies.without_missing(list(strategies.STRATEGIES)))
def test_every_strategy_ends_on_a_small_landscape(strategy: str, folder: Path) -> None:
    """With more calls than there are cells too, a strategy ends, keeps to its calls, and returns a candidate."""
    for name, calls in (("gsm8k", 100), ("gsm8k", 300), ("small", 3), ("small", 30)):
        each = families(folder)[name][0]
        counter = strategies.Counter(each.world(1), calls)
        found = strategies.STRATEGIES[strategy](counter, 1)
        assert found.levels in each.accuracies
        assert counter.spent <= min(calls, len(each.accuracies) * counter.truth.rows)


def test_halving_finds_the_best_where_it_has_all_rows(folder: Path) -> None:
    """Sequential halving spends nearly all calls, more of them on better candidates."""
    counter = strategies.Counter(families(folder)["gsm8k"][0].world(0), 900)
    found = strategies.halving(counter, 0)

    assert 700 < counter.spent <= 900
    assert counter.truth.accuracy(found.levels) >= 0.4


def test_replays_are_tables_and_resume(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table a family in Markdown; lines that are there are not run again, and more seeds add theirs."""
    output = folder / "out.csv"
    words = ["--landscapes", str(folder), "--strategies", "ours", "random", "--calls", "40", "300", "--processes", "1"]

    def run(*more: str) -> list[str]:
        assert search_truth.main([*words, "--output", str(output), *more]) == 0
        return capsys.readouterr().out.splitlines()

    first = run("--seeds", "1", "--studies", "B")
    before = output.read_text()
    shown = run("--seeds", "2")

    assert first[0] == "| B (1 seed, 1 landscape) | 40 | minus ours | 300 | minus ours |"
    assert [line.split(" | ")[0] for line in first[2:]] == [
        "| ours",
        "| random",
        "| best of all candidates",
        "| average of all candidates",
    ]
    assert "| best of all candidates | 0.800 | | | |" in first
    assert output.read_text().startswith(before)
    assert len(pd.read_csv(output)) == 3 * 2 * 2 * 2
    assert "| B (2 seeds, 2 landscapes) | 40 | minus ours | 300 | minus ours |" in shown
    assert "| best of all candidates | 0.500 (0.000) | | | |" in shown
    kept = output.read_text()
    assert run("--seeds", "2") == shown
    assert output.read_text() == kept


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--landscapes", "missing"], "error: there is no folder missing; give one with landscapes"),
        (["--landscapes", ".", "--studies", "x"], "error: there are no landscapes 'x'; there are gsm8k, B, small"),
    ],
)
def test_landscapes_that_are_not_there(
    words: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder or family that is missing is an error in one line, with exit code 2."""
    monkeypatch.chdir(folder)

    assert search_truth.main([*words, "--strategies", "ours"]) == 2
    assert capsys.readouterr().err.splitlines() == [message]


def test_strategy_without_its_package_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without torch, Optuna's Gaussian process is left out, and a line says so."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert strategies.without_missing(["ours", "gp"]) == ["ours"]
    assert capsys.readouterr().err == "gp is skipped, as torch is not installed\n"


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of `landscape.py` for a small template; the key is for a fake server."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"text": list(TEXTS), "label": list(TEXTS.values())}).to_csv("data.csv", index=False)
    Path("t.j2").write_text(TEMPLATE)
    return ["data.csv", "t.j2", "--rows", "8", "--output", "out.csv", "--model", "fake", "--base-url"]


def test_landscape_is_asked_once(words: list[str], tmp_path: Path) -> None:
    """All candidates answer the same rows; a second run asks nothing, whether the table or its end is lost."""
    truth = truth_model(TEXTS, lambda wording: 0.9 if "Which" in wording else 0.3, seed=2)
    with FakeServer(truth) as server:
        assert landscape.main([*words, server.url, "--answers", "label", "logprobs"]) == 0
        whole, count = Path("out.csv").read_text(), server.count
        Path("out.csv").write_text("".join(whole.splitlines(keepends=True)[:33]))
        assert landscape.main([*words, server.url, "--answers", "label", "logprobs"]) == 0
        assert (Path("out.csv").read_text(), server.count) == (whole, count)

    table = pd.read_csv("out.csv", keep_default_na=False)
    found = measured(tmp_path / "out.csv")
    assert list(table) == ["candidate", "instruction", "style", "cue", "answer", "row", "score", "margin"]
    assert (len(table), count) == (12 * 8, 8 * 8)  # without a cue the prompt is that of the plain style
    assert {len(rows) for rows in table.groupby("row").groups.values()} == {12}
    assert (table["margin"] == "").tolist() == (table["answer"] == "label").tolist()
    with_margin = table[table["margin"] != ""]
    assert ((with_margin["margin"].astype(float) > 0) == (with_margin["score"] == 1)).all()
    assert max(found.accuracies, key=lambda levels: found.accuracies[levels])[0] == 1
    assert len(list(found.space.candidates())) == 12


def test_landscape_goes_on_where_it_stopped(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Where the server refuses everything the command fails in one line; later it asks only what is missing."""
    with FakeServer(truth_model(TEXTS), fail_after=20) as server:
        assert landscape.main([*words, server.url]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
        assert pd.read_csv("out.csv")["candidate"].unique().tolist() == [0, 1, 2]
        server.fail_after = None
        assert landscape.main([*words, server.url]) == 0
        assert server.answered == 4 * 8


def test_candidate_without_all_answers_is_left_out(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that is lost on the road leaves out its candidate, and the same command adds it later."""
    asked = landscape.asked

    def losing(study: ps.Study, candidate: ps.Candidate, rows: Sequence[int]) -> list[Outcome]:
        found = asked(study, candidate, rows)
        return [replace(each, score=None) for each in found] if candidate == study.space().default else found

    with FakeServer(truth_model(TEXTS)) as server:
        monkeypatch.setattr(landscape, "asked", losing)
        assert landscape.main([*words, server.url]) == 1
        assert (
            capsys.readouterr().err.splitlines()[-1] == "candidates without all answers: 1 of 6; run the command again"
        )
        monkeypatch.setattr(landscape, "asked", asked)
        assert landscape.main([*words, server.url]) == 0
    assert measured(Path("out.csv")).accuracies.keys() == {(a, *b) for a in (0, 1) for b in ((0, -1), (1, 0), (1, 1))}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--most", "5"], "error: the template has more than 5 candidates; remove options, or give a larger --most"),
        (["--rows", "13"], "error: only 12 rows are shown by no candidate; give --rows 12 or less"),
        (["--rows", "7"], "error: out.csv is of another template, data or number of rows; give another --output"),
        (["--answers", "text"], None),
    ],
)
def test_landscape_that_cannot_be_measured(
    more: list[str], message: str | None, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments that do not fit are an error in one line; another answer form has the same columns."""
    with FakeServer(truth_model(TEXTS)) as server:
        assert landscape.main([*words, server.url]) == 0
        capsys.readouterr()
        code = landscape.main([*words, server.url, *more])

    assert code == (0 if message is None else 2)
    assert message is None or capsys.readouterr().err.splitlines() == [message]


def test_choice_with_a_name_of_the_table(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A choice called margin is refused before any request."""
    Path("t.j2").write_text('{{ choice("margin", ["a", "b"]) }} {{ row.text }}')

    assert landscape.main([*words, "http://127.0.0.1:9/v1"]) == 2
    assert "the choice 'margin' has the name of a column of the table; give it another name" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is missing; set PROMPT_SEARCH_DATA_DIR to the public sets")
def test_real_landscapes_are_read() -> None:
    """The grid has 25 by 25 candidates, and the paraphrases 60 to 250 wordings for each task and model."""
    found = families(SHARED)

    assert len(found["gsm8k"][0].accuracies) == 625
    assert {name: len(found[name]) for name in ("BBH", "LMentry")} == {"BBH": 165, "LMentry": 160}
    assert all(60 <= len(each.accuracies) <= 250 for name in ("BBH", "LMentry") for each in found[name])
