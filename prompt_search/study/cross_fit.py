"""Cross-fitting: a search over all rows, and an unbiased test of such searches on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prompt_search.budget import Budget
from prompt_search.errors import InputError
from prompt_search.report.cross_fit import CrossFit
from prompt_search.report.result import Result
from prompt_search.study.plan import StudyPlan
from prompt_search.study.run import RunOptions, run

ALL_ROWS = "all rows"
"""How the search over all rows is named."""


def cross_fit(plan: StudyPlan, budget: Budget, folds: int, options: RunOptions) -> CrossFit:
    """Run one search without each fold, and one over all rows; see `Study.cross_fit`."""
    parts = plan.data.folds(folds, plan.settings.seed)
    if min(limit for limit in (budget.calls, budget.tokens, folds + 1) if limit is not None) <= folds:
        raise InputError(f"{folds + 1} searches share {budget}, which is less than 1 for each; give more")
    share = budget.part(1 / (folds + 1))
    names = [*(f"fold {number}" for number in range(1, folds + 1)), ALL_ROWS]
    options = replace(options, apart=[f"{plan.name} {name}" for name in names])

    def search(name: str, sealed: Sequence[int]) -> Result:
        part = plan.changed(name=f"{plan.name} {name}", test=sealed)
        result, _ = run(part, share, replace(options, test=bool(sealed)))
        return result

    tested = [search(name, rows) for name, rows in zip(names, parts, strict=False)]
    return CrossFit(result=search(ALL_ROWS, ()), folds=tested)
