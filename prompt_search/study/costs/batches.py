"""What batches take off the price of a study."""

from __future__ import annotations

from prompt_search.study.plan import StudyPlan


def discount_of(plan: StudyPlan) -> float | None:
    """The share of the price that batches take off, the smallest of the models'; None where the study sends none."""
    if not plan.settings.batch:
        return None
    return min(model.batch_discount for model in plan.settings.scoring_models if not model.is_local)
