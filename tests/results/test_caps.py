"""Mean costs of prompts on new rows, and whether they keep a cap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.results.objective.caps import mean_costs


def test_rows_are_paired() -> None:
    """A prompt that was observed on long rows alone is not taken to be longer: the row's part is common to all."""
    rows = {row: 10 * row for row in range(40)}
    observed = [(0, row, 100 + size) for row, size in rows.items()]
    observed += [(1, row, 90 + rows[row]) for row in range(30, 40)]
    found = mean_costs(*map(list, zip(*observed, strict=True)))
    assert found[0].expected == pytest.approx(295)
    assert found[1].expected == pytest.approx(285)
    assert found[1].observed == 435


def test_standings() -> None:
    """Far from the cap it is known on which side a prompt is; near it, it is not, and of one row nothing is known."""
    generator = np.random.default_rng(0)
    costs = [float(each) for each in 100 + generator.normal(0, 5, 30)]
    (cost,) = mean_costs([7] * 30, list(range(30)), costs).values()
    assert [cost.standing(most) for most in (90, 100, 110)] == ["over", "not known", "under"]
    (single,) = mean_costs([7], [0], [100.0]).values()
    assert single.standing(1000) == "not known"
    assert mean_costs([7], [0], [float("nan")]) == {}


@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(2, 12))
def test_additive_costs_are_found(seed: int, prompts: int, rows: int) -> None:
    """Costs that are sums of a prompt's and a row's part are told apart exactly, whatever rows each prompt has seen."""
    generator = np.random.default_rng(seed)
    own, shared = generator.integers(1, 500, prompts), generator.integers(1, 100, rows)
    seen = [(0, row) for row in range(rows)]
    seen += [(prompt, row) for prompt in range(1, prompts) for row in range(int(generator.integers(1, rows + 1)))]
    found = mean_costs([p for p, _ in seen], [r for _, r in seen], [float(own[p] + shared[r]) for p, r in seen])
    for prompt, cost in found.items():
        assert cost.expected == pytest.approx(own[prompt] + shared.mean(), rel=1e-3)
        assert cost.low <= cost.expected <= cost.high
