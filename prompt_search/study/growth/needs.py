"""What a study needs so that options can be proposed."""

from __future__ import annotations

from prompt_search.errors import StudyError
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.prompts.space import SearchSpace


def check_grows(space: SearchSpace, proposer: Proposer) -> None:
    """Refuse a proposer that nothing would be asked of, and show where the template may say that a choice grows.

    Raises:
        StudyError: no choice may grow.
    """
    if any(factor.grow for factor in space.factors):
        return
    own = [each for each in space.factors if each.kind == "choice" and "." not in each.name]
    texts = [each for each in own if all(isinstance(option, str) for option in each.options)]
    longest = max(texts, key=lambda each: max(map(len, each.texts)), default=None)
    name = "instruction" if longest is None else longest.name
    raise StudyError(
        f"no choice of the template may grow, so that {proposer.model.name} would propose nothing; write "
        f'choice("{name}", [...], grow="...") with what its texts are for, such as grow="tells the model what to do", '
        "or leave out the proposer"
    )
