"""The estimation of the variances of rows and noise from single scores."""

from __future__ import annotations

import numpy as np
import pytest

from prompt_search.search.surrogate.observations import row_variances


def test_variances_of_rows_and_noise_are_estimated_from_single_scores() -> None:
    """Scores of many candidates on the same rows give both variances, also where some candidates have fewer rows."""
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 0.3, 4000) + generator.normal(0, 0.5, (30, 4000)) + generator.normal(0, 1, (30, 1))
    scores[10:, 2000:] = np.nan
    scores[29, 1:] = np.nan
    rows, noise = row_variances(scores)
    assert rows == pytest.approx(0.09, rel=0.1)
    assert noise == pytest.approx(0.25, rel=0.03)


def test_undetermined_variances_are_nan() -> None:
    """The variances are NaN without two candidates on the same rows, or without two rows of one candidate."""
    disjoint = np.full((2, 20), np.nan)
    disjoint[0, :10], disjoint[1, 10:] = np.arange(10) % 2, 1.0
    assert np.isnan(row_variances(disjoint)[0])
    assert np.isnan(row_variances(np.array([[1.0, np.nan], [0.0, np.nan]]))).all()
    assert row_variances(np.ones((3, 5))) == (0, 0)
