"""What a model proposed, as the report tells it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from prompt_search.report import wording
from prompt_search.results.lines.growth import proposer_sentence
from prompt_search.results.shown.growth import lineage_view, proposals_view
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.view import View


@dataclass(frozen=True, kw_only=True)
class GrowthSection:
    """The section on what was proposed.

    Attributes:
        sentence: what the proposer took, and what it gave.
        lineage: where the winner's texts come from; nothing where all were written by hand.
        proposals: the texts that were proposed.
    """

    sentence: str
    lineage: View
    proposals: View

    @classmethod
    def of(cls, result: StoredStudy) -> GrowthSection | None:
        """The section of a study; None where it has no proposer."""
        counts = result._growth
        if counts is None:
            return None
        lineage = replace(lineage_view(result), title=wording.LINEAGE_CAPTION)
        return cls(
            sentence=proposer_sentence(counts),
            lineage=lineage if counts.in_winner else lineage.head(0),
            proposals=replace(proposals_view(result), title=wording.PROPOSALS_CAPTION),
        )

    @property
    def views(self) -> list[View]:
        """The tables that have rows."""
        return [view for view in (self.lineage, self.proposals) if view.rows]
