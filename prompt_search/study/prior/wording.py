"""The sentence about what a study took from earlier ones."""

from __future__ import annotations

from prompt_search._numbers import counted
from prompt_search.search.prior.knowledge import Weights
from prompt_search.storage.once.prior_studies import PriorStudies


def prior_sentence(prior: PriorStudies, weights: Weights, search_rows: int) -> str:
    """What earlier studies knew, and how far it held at the end.

    >>> prior_sentence(PriorStudies(), Weights((), 0.5), 168)
    'The prior knew nothing: no earlier study has options or rows of this one.'
    >>> prior_sentence(PriorStudies(ease=[(3, 0.1)]), Weights((), 0.0), 168)
    'The prior knew how easy 1 of 168 search rows is (weight at the end 0.00).'
    """
    parts = [
        f"{counted(study.options, 'option')} from {study.study} ({_shown(weight)})"
        for study, weight in zip(prior.studies, weights.likeness, strict=True)
    ]
    if prior.ease:
        count = len(prior.ease)
        parts.append(
            f"how easy {count} of {search_rows} search rows {'is' if count == 1 else 'are'} ({_shown(weights.ease)})"
        )
    if parts:
        return f"The prior knew {', '.join(parts)}."
    if prior.unfinished:
        return f"The prior knew nothing: study {prior.unfinished!r} is unfinished."
    return "The prior knew nothing: no earlier study has options or rows of this one."


def _shown(weight: float) -> str:
    return f"weight at the end {weight:.2f}"
