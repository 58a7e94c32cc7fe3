"""What was proposed in a search so far, and what it has won."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.proposals import Reply
from prompt_search.search.trial import Trial
from prompt_search.storage.records import ProposalRecord


class History:
    """The proposals of a search, those of an earlier one of the study included.

    Args:
        earlier: what an earlier search proposed.
    """

    def __init__(self, earlier: Sequence[ProposalRecord] = ()) -> None:
        self.proposals: list[ProposalRecord] = []
        """All proposals, in the order in which they came."""
        self._options: dict[tuple[str, int], ProposalRecord] = {}
        self._generations: dict[tuple[str, int], int] = {}
        """The number of proposals, one after the other, that an accepted one comes from, its own included."""
        self._add(earlier)

    def _add(self, proposals: Sequence[ProposalRecord]) -> None:
        self.proposals += proposals
        for each in proposals:
            if each.accepted:
                before = max((self._generation(each.choice, parent) for parent in each.parents), default=0)
                self._options[each.choice, each.position] = each
                self._generations[each.choice, each.position] = 1 + before

    @property
    def accepted(self) -> list[ProposalRecord]:
        """The proposals that are options now, in the order in which they came."""
        return list(self._options.values())

    @property
    def next_wave(self) -> int:
        """The number of the wave that is proposed next."""
        return 1 + max((each.wave for each in self.proposals), default=-1)

    @property
    def last_wave(self) -> list[ProposalRecord]:
        """The proposals that were accepted in the last wave."""
        last = self.next_wave - 1
        return [each for each in self.accepted if each.wave == last]

    def is_grown(self, candidate: Candidate) -> bool:
        """Whether a candidate has an option that was proposed."""
        return any(pair in self._options for pair in candidate.positions)

    def aside(self, choice: str, option: int) -> frozenset[int]:
        """The rows that candidates with an option are not scored on."""
        found = self._options.get((choice, option))
        return frozenset(found.aside) if found else frozenset()

    def ancestry(self, choice: str, option: int) -> list[ProposalRecord]:
        """The proposals that an option comes from, its own first; none for one written by hand."""
        found: dict[int, ProposalRecord] = {}
        open_options = [option]
        while open_options:
            position = open_options.pop()
            record = self._options.get((choice, position))
            if record is not None and position not in found:  # combined options share what they come from
                found[position] = record
                open_options += reversed(record.parents)
        return list(found.values())

    def generation(self, candidate: Candidate) -> int:
        """The number of proposals, one after the other, that an option of a candidate comes from."""
        return max((self._generation(*pair) for pair in candidate.positions), default=0)

    def _generation(self, choice: str, option: int) -> int:
        return self._generations.get((choice, option), 0)

    def gains(self, trials: Sequence[Trial], means: Mapping[int, float]) -> dict[ProposalRecord, float]:
        """By how much the best trial with an option is expected to be better than the trial that its request showed.
        Options without a score have none, and those of an earlier search, whose trials have other numbers.

        Args:
            trials: all trials.
            means: their expected scores, by number.
        """
        best: dict[tuple[str, int], float] = {}
        for trial in trials:
            for pair in trial.candidate.positions if trial.scores else ():
                best[pair] = max(best.get(pair, means[trial.number]), means[trial.number])
        return {
            each: best[pair] - means[each.trial]
            for pair, each in self._options.items()
            if pair in best and each.trial in means
        }

    def take(self, replies: Sequence[Reply], space: SearchSpace) -> list[ProposalRecord]:
        """Add what came of the requests of one wave, and give the options that were accepted."""
        sizes = {factor.name: len(factor.options) for factor in space.factors}
        new = [record for reply in replies for record in self._records(reply, sizes)]
        self._add(new)
        return [each for each in new if each.accepted]

    def _records(self, reply: Reply, sizes: dict[str, int]) -> Iterator[ProposalRecord]:
        """The texts of a reply; an option that is accepted gets the next position of its choice."""
        ask = reply.ask
        inherited = frozenset[int]().union(*(self.aside(ask.choice, parent) for parent in ask.parents))
        wave = self.next_wave
        for text, reason in reply.texts:
            option = None if reason else sizes[ask.choice]
            sizes[ask.choice] += option is not None
            yield ProposalRecord(
                choice=ask.choice,
                operator=ask.operator,
                parents=tuple(ask.parents),
                wave=wave,
                trial=ask.trial,
                rows=tuple(ask.rows),
                aside=tuple(sorted({*ask.aside, *inherited})),
                text=text,
                option=option,
                reason=reason,
                key=reply.key,
            )
