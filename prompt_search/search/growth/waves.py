"""When a race asks for new options, and by which operator: what proposals have won so far decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.order import random_generator
from prompt_search.search.proposals import Ask, GrowthSettings, Reply
from prompt_search.search.trial import Trial
from prompt_search.storage.records import ProposalRecord

MIN_CALLS = 100
"""Number of calls before the finals below which nothing is proposed: no call is left to look at what comes."""

LAST_SHARE = 0.9
"""Share of the calls before the finals after which nothing more is proposed."""

FIRST_PAUSE = 0.1
"""Share of the calls before the finals that pass after proposals of which none is better than what there was. It
doubles with each such wave, and begins anew after one that won."""

CALLS_FOR_MORE = 400
"""Number of calls before the finals from which on two requests are made at the same time, by different operators,
instead of one."""

TEXTS = 2
"""Number of texts that a request asks for."""

SHOWN_ROWS = 6
"""Number of rows that a request shows at most."""

MOST_ASIDE = 0.3
"""Share of the search rows that the rows of one option's proposers, and their blocks, may come to."""

EXPECTED_GAIN, GAIN_WEIGHT = 0.04, 6
"""What a proposal is expected to win before any was tried, and the number of proposals that this counts as."""

EXPECTED_BY_NEEDS = {"failures": 0.08, "rows": 0.03, "parents": 0.02, "parent": 0.0}
"""The same by what an operator needs: what was answered wrongly says most."""

GAIN_SPREAD = 0.05
"""Standard deviation of what an operator's options are expected to win before any was tried, as a share of a score."""


def most_requests(share: float, limit: float) -> int:
    """The highest number of requests for new options in a search.

    Args:
        share: the highest share of the calls that go to the proposer.
        limit: number of calls before the finals.
    """
    return int(share * limit) if limit >= MIN_CALLS else 0


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The number of calls that a search has spent, and the number that it may spend before its finals."""

    calls: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class Wave:
    """What is due in a round: requests for new options, and the trials that get more rows before some are made."""

    asks: list[Ask] = field(default_factory=list)
    more_rows: list[int] = field(default_factory=list)


class Waves:
    """Waves of requests for new options, and what came of them.

    Args:
        settings: how choices grow.
        seed: the seed of the search.
        row_order: all rows in the common order.
        block_rows: the number of rows in a block of that order.
    """

    def __init__(self, settings: GrowthSettings, seed: int, row_order: Sequence[int], block_rows: int) -> None:
        self._settings = settings
        self._seed = seed
        self._row_order = list(row_order)
        self._block_rows = block_rows
        self._places = {row: place for place, row in enumerate(row_order)}
        self.proposals: list[ProposalRecord] = list(settings.earlier)
        """All proposals, in the order in which they came."""
        self._wave = 1 + max((each.wave for each in self.proposals), default=-1)
        self._asked = 0
        self._in_vain = 0
        self._next_at = 0.0

    @property
    def paused(self) -> bool:
        """Whether the last proposals won nothing, so that some calls pass before the next."""
        return self._in_vain > 0

    def due(self, space: SearchSpace, trials: Sequence[Trial], means: Mapping[int, float], spent: Spent) -> Wave:
        """What is due.

        Args:
            space: the space as it is now.
            trials: all trials, best first.
            means: their expected scores, by number.
            spent: the calls so far.
        """
        room = most_requests(self._settings.share, spent.limit) - self._asked
        if room < 1 or spent.calls > LAST_SHARE * spent.limit:
            return Wave()
        growing = [trial for trial in trials if trial.scores and trial.state == "running" and _growing(space, trial)]
        if not growing or (self._wave and not self._is_due(trials, means, spent)):
            return Wave()
        growing = self._most_promising(growing, trials, means)
        leader = next((trial for trial in growing if not self._lacks_rows(trial)), growing[0])
        if self._lacks_rows(leader):
            return Wave(more_rows=[leader.number])
        factors = _growing(space, leader)
        factor = factors[self._wave % len(factors)]
        parents = _ranked_options(factor, trials, means, leader)
        most = 1 if spent.limit < CALLS_FOR_MORE else 2
        made = (self._ask(name, factor.name, parents, leader) for name in self._by_gain(trials, means))
        asks = list(islice((ask for ask in made if ask is not None), min(most, room)))
        if asks:
            self._asked += len(asks)
            self._next_at = spent.calls + FIRST_PAUSE * spent.limit * (2.0**self._in_vain - 1)
        return Wave(asks=asks, more_rows=[])

    def _is_due(self, trials: Sequence[Trial], means: Mapping[int, float], spent: Spent) -> bool:
        """Whether the last wave's options were looked at, and won, or enough calls have passed since."""
        last = [each for each in self.proposals if each.wave == self._wave - 1]
        gains = [self._gain(each, trials, means) for each in last if each.accepted]
        if spent.calls < self._next_at and (not gains or any(gain is None for gain in gains)):
            return False  # some had no look yet
        won = any(gain is not None and gain > 0 for gain in gains)
        if not won and spent.calls < self._next_at:
            return False
        self._in_vain = 0 if won else self._in_vain + 1
        return True

    def _most_promising(
        self, growing: Sequence[Trial], trials: Sequence[Trial], means: Mapping[int, float]
    ) -> list[Trial]:
        """The trials whose choices grow, best first: by their expected scores, and what each generation of proposals is
        expected to win beyond them, because a few rows tell little of one of them."""
        gains = [self._gain(each, trials, means) for each in self.proposals if each.accepted]
        known = [gain for gain in gains if gain is not None]
        expected = (EXPECTED_GAIN * GAIN_WEIGHT + sum(known)) / (GAIN_WEIGHT + len(known))
        return sorted(growing, key=lambda trial: -(means[trial.number] + expected * self._generation(trial)))

    def _generation(self, trial: Trial) -> int:
        """The number of proposals, one after the other, that an option of a trial comes from."""
        return max((self._depth(*pair) for pair in trial.candidate.positions), default=0)

    def _depth(self, choice: str, option: int) -> int:
        found = next((each for each in self.proposals if each.choice == choice and each.option == option), None)
        return 0 if found is None else 1 + max((self._depth(choice, parent) for parent in found.parents), default=0)

    def _gain(self, proposal: ProposalRecord, trials: Sequence[Trial], means: Mapping[int, float]) -> float | None:
        """By how much the best trial with an option is expected to be better than the trial that its request showed;
        None while it has no score."""
        found = [
            means[trial.number]
            for trial in trials
            if trial.scores and trial.candidate.to_dict().get(proposal.choice) == proposal.option
        ]
        return max(found) - means[proposal.trial] if found and proposal.trial in means else None

    def _by_gain(self, trials: Sequence[Trial], means: Mapping[int, float]) -> list[str]:
        """The operators, by what each is expected to win: one sample of each expectation (Thompson 1933)."""
        generator = random_generator(self._seed, f"proposals {self._wave}")
        names = list(self._settings.operators)
        sampled = dict(zip(names, generator.standard_normal(len(names)), strict=True))
        expected: dict[str, float] = {}
        prior = {name: EXPECTED_BY_NEEDS[needs] for name, needs in self._settings.operators.items()}
        for name in names:
            gains = [self._gain(each, trials, means) for each in self.proposals if each.operator == name]
            known = [0.0 if gain is None else gain for gain in gains]
            count = GAIN_WEIGHT + len(known)
            expected[name] = (prior[name] * GAIN_WEIGHT + sum(known)) / count + GAIN_SPREAD * sampled[name] / count**0.5
        return sorted(names, key=lambda name: -expected[name])

    def _ask(self, operator: str, choice: str, parents: list[int], leader: Trial) -> Ask | None:
        """A request by an operator; None where what it needs is not there."""
        needs, rows, aside = self._settings.operators[operator], list[int](), list[int]()
        if needs == "failures":
            rows, aside = self._failures(leader, self.aside(choice, parents[0]))
        elif needs == "rows":
            described = self._settings.described
            start = SHOWN_ROWS * len({each.wave for each in self.proposals if each.operator == operator})
            rows = aside = [described[place % len(described)] for place in range(start, start + SHOWN_ROWS)]
        elif needs == "parents" and len(parents) < 2:
            return None
        if needs in ("failures", "rows") and not rows:
            return None
        return Ask(
            choice=choice,
            operator=operator,
            parents=parents[: 2 if needs == "parents" else 1],
            trial=leader.number,
            rows=rows,
            aside=aside,
            count=TEXTS,
        )

    def aside(self, choice: str, option: int) -> frozenset[int]:
        """The rows that candidates with an option are not scored on."""
        found = (each.aside for each in self.proposals if each.choice == choice and each.option == option)
        return frozenset(next(found, ()))

    def _lacks_rows(self, leader: Trial) -> bool:
        """Whether a trial should get more rows before a request shows what it got wrong: all candidates of hand-written
        options are compared on the first block, so none of its rows is shown."""
        reflects = "failures" in self._settings.operators.values()
        blocks = {self._block(outcome.row) for outcome in leader.scored}
        return reflects and leader.open and not (blocks if self._is_grown(leader) else blocks - {0})

    def _is_grown(self, trial: Trial) -> bool:
        return any((each.choice, each.option) in trial.candidate.positions for each in self.proposals if each.accepted)

    def _block(self, row: int) -> int:
        return self._places[row] // self._block_rows

    def _failures(self, leader: Trial, inherited: frozenset[int]) -> tuple[list[int], list[int]]:
        """Rows that a trial got wrong, worst first, of one or two of its last blocks; and all rows of these blocks."""
        scores = leader.scores
        level = sum(scores) / len(scores) if scores else 0.0
        blocks: dict[int, list[tuple[float, int]]] = {}
        for outcome in leader.scored:
            blocks.setdefault(self._block(outcome.row), []).append((float(outcome.score or 0), outcome.row))
        room = MOST_ASIDE * len(self._row_order) - len(inherited)
        rows: list[tuple[float, int]] = []
        aside: list[int] = []
        for block in sorted(blocks if self._is_grown(leader) else set(blocks) - {0}, reverse=True):
            start = block * self._block_rows
            whole = self._row_order[start : start + self._block_rows]
            wrong = [(score, row) for score, row in blocks[block] if score < max(level, 1e-9) or score <= 0]
            if not wrong or len(aside) + len(whole) > room:
                continue
            rows, aside = [*rows, *wrong], [*aside, *whole]
            if len(rows) >= SHOWN_ROWS // 2:
                break
        return [row for _, row in sorted(rows)[:SHOWN_ROWS]], sorted(aside)

    def take(self, replies: Sequence[Reply], space: SearchSpace) -> list[ProposalRecord]:
        """Note what came of the requests of one wave, and give the new options."""
        sizes = {factor.name: len(factor.options) for factor in space.factors}
        new: list[ProposalRecord] = []
        for reply in replies:
            ask = reply.ask
            inherited = {row for parent in ask.parents for row in self.aside(ask.choice, parent)}
            for text, reason in reply.texts:
                option = None if reason else sizes[ask.choice]
                sizes[ask.choice] += option is not None
                new.append(
                    ProposalRecord(
                        choice=ask.choice,
                        operator=ask.operator,
                        parents=ask.parents,
                        wave=self._wave,
                        trial=ask.trial,
                        rows=ask.rows,
                        aside=sorted({*ask.aside, *inherited}),
                        text=text,
                        option=option,
                        reason=reason,
                        key=reply.key,
                    )
                )
        self.proposals += new
        self._wave += 1
        return [each for each in new if each.accepted]


def _growing(space: SearchSpace, trial: Trial) -> list[Factor]:
    """The choices of a trial that may grow."""
    chosen = trial.candidate.to_dict()
    return [factor for factor in space.factors if factor.grow and factor.name in chosen]


def _ranked_options(factor: Factor, trials: Sequence[Trial], means: Mapping[int, float], leader: Trial) -> list[int]:
    """The options of a choice that have a score: the leader's, and then the others by their best trial, best first."""
    best: dict[int, float] = {}
    for trial in trials:
        option = trial.candidate.to_dict().get(factor.name)
        if option is not None and trial.scores:
            best[option] = max(best.get(option, means[trial.number]), means[trial.number])
    own = leader.candidate.to_dict()[factor.name]
    return [own, *sorted(best.keys() - {own}, key=lambda option: (-best[option], option))]
