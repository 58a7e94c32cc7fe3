"""The benchmark of priors: studies are related as their cell says, and the tables say what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks import priors
from experiments.benchmarks.priors import CELLS, KEY, NONE, calls_to_reach, made_up, on_landscape, table, taken
from experiments.benchmarks.search_truth_strategies import Counter

GRID = "instruction,examples,accuracy\n" + "".join(f"{a},{b},{(a + b) / 10}\n" for a in range(3) for b in range(4))


def correlation(name: str) -> tuple[float, float]:
    """Between the made-up studies of a cell: of the logits of candidates, and of the difficulties of rows."""
    generator = np.random.default_rng(0)
    logits, rows = [], []
    for seed in range(8):
        pair = made_up("main", name, seed)
        levels = [tuple(generator.integers(0, pair.new.options).tolist()) for _ in range(60)]
        one, two = ([world._logits(each, world._own(each))[0] for each in levels] for world in (pair.new, pair.earlier))  # type: ignore[attr-defined]
        logits.append(np.corrcoef(one, two)[0, 1])
        rows.append(np.corrcoef(pair.new.difficulty, pair.earlier.difficulty)[0, 1])  # type: ignore[attr-defined]
    return float(np.mean(logits)), float(np.mean(rows))


@pytest.mark.parametrize("name", list(CELLS))
def test_earlier_studies_are_related_as_their_cell_says(name: str) -> None:
    """Candidates and rows of the two studies correlate as the cell has it."""
    cell = CELLS[name]
    assert correlation(name) == pytest.approx((cell.effects, cell.rows or 0.0), abs=0.1)


def test_the_same_study_again_has_the_same_answers() -> None:
    """Of the cell "again" equal prompts have equal scores on each row; of the others they have not."""
    for name, same in (("again", True), ("other model", False)):
        pair = made_up("main", name, 3)
        levels = tuple(0 for _ in pair.new.options)
        assert (pair.new.scores(levels).tolist() == pair.earlier.scores(levels).tolist()) is same


def test_what_is_taken_is_what_the_studies_share() -> None:
    """With another template no options are taken, and on other rows no ease."""
    template, data = (taken(made_up("main", name, 0), 0) for name in ("other template", "other data"))
    assert template.studies == []
    assert len(template.ease) > 10
    assert len(data.studies[0].trials) > 10
    assert data.ease == []


def test_program_on_a_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line without a prior and one for each prior; what is in the output already is not measured twice."""
    (tmp_path / "gsm8k_grid.csv").write_text(GRID)
    arguments = ["--landscapes", str(tmp_path), "--calls", "60", "--seeds", "2", "--processes", "1"]
    arguments += ["--output", str(tmp_path / "out.csv")]
    assert priors.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["gsm8k (2 seeds)", "---", NONE, "other data", "reversed"]
    written = (tmp_path / "out.csv").read_text()
    assert priors.main([*arguments, "--odd"]) == 0
    assert (tmp_path / "out.csv").read_text().startswith(written)
    assert on_landscape(tmp_path, "gsm8k", "other data", 0).new.options == [3, 4]
    assert Counter(on_landscape(tmp_path, "gsm8k", "other data", 0).earlier, 10).space.size() == (12, True)


def test_calls_to_reach() -> None:
    """They are interpolated between the numbers of calls that were measured."""
    means = pd.Series({100: 0.5, 250: 0.6, 500: 0.7})
    assert [calls_to_reach(means, wanted) for wanted in (0.5, 0.55, 0.65, 0.8)] == [
        "at most 100",
        "175",
        "375",
        "above 500",
    ]


def test_table_is_paired_by_seed() -> None:
    """Gains are means of differences between studies of the same seed."""
    lines = [("main", prior, calls, seed) for prior in (NONE, "again") for calls in (100, 500) for seed in (0, 2)]
    frame = pd.DataFrame(lines, columns=KEY)
    frame["accuracy"] = [0.5, 0.7, 0.6, 0.8, 0.6, 0.8, 0.7, 0.9]
    frame["optimism"], frame["options"], frame["rows"] = 0.01, 0.5, np.nan
    assert table(frame, "main").splitlines() == [
        "| main (2 seeds) | 100 | minus none | 500 | minus none | as none at 500 | weights | optimism |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        "| none | 0.600 |  | 0.700 |  | 500 | 0.50 | +0.010 (0.000) |",
        "| again | 0.700 | +0.100 (0.000) | 0.800 | +0.100 (0.000) | at most 100 | 0.50 | +0.010 (0.000) |",
    ]
