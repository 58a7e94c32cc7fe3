"""When a search asks for new options, and by which operator: what proposals have won so far decides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.growth.history import History
from prompt_search.search.order import random_generator
from prompt_search.search.proposals import Ask, GrowthSettings
from prompt_search.search.trial import Trial
from prompt_search.storage.records import ProposalRecord

MIN_CALLS = 100
"""Number of calls before the finals below which nothing is proposed: no call is left to look at what comes."""

LAST_SHARE = 0.9
"""Share of the calls before the finals after which nothing more is proposed."""

FIRST_PAUSE = 0.1
"""Share of the calls before the finals that pass after a second wave in a row that won nothing. The pause grows with
each further one; none is made after a wave that won, as long as all proposals together have won: of some looks that
say nothing, one always says that something was won."""

TOLERATED_LOSS = 0.02
"""What proposals may lose on average, in standard deviations of a score, and still count as winning: a first look at a
rewording says little, and a pause costs the rewordings of it."""

CALLS_FOR_MORE = 400
"""Number of calls before the finals from which on two requests are made at the same time, by different operators,
instead of one."""

TEXTS = 2
"""Number of texts that a request asks for. What is won by one rewording after the other is more than what is won by
more of them at once."""

SHOWN_ROWS = 6
"""Number of rows that a request shows at most."""

WITH_EARLIER_ROWS = 8
"""Number of rows up to which a request also shows those that the requests before it showed. A text seldom mends all
mistakes that led to it, and candidates that come of it are not scored on these rows in any case."""

ENOUGH_FAILURES = 3
"""Number of rows with wrong answers in one block that make a second block unnecessary."""

MOST_BLOCKS = 3
"""Number of blocks of rows without a new mistake after which a trial is reworded without one."""

MOST_ASIDE = 0.3
"""Share of the search rows that the rows of one option's proposers, and their blocks, may come to."""

EXPECTED_GAIN = 0.08
EXPECTED_GAINS = {"failures": 0.16, "rows": 0.06, "parents": 0.04, "parent": 0.0}
"""What a proposal is expected to win before any was tried, of any operator and by what an operator needs, in standard
deviations of a score: what was answered wrongly says most about what to change."""

PARENTS = {"failures": 1, "rows": 0, "parents": 2, "parent": 1}
"""The number of options that an operator's texts come from, by what it needs."""

GAIN_WEIGHT = 6
"""The number of proposals that the expectation counts as."""

GAIN_SPREAD = 0.1
"""Standard deviation of what one proposal wins, in standard deviations of a score."""


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
class Standing:
    """Where a race stands.

    Attributes:
        space: the space as it is now.
        trials: all trials, best first.
        means: their expected scores, by number.
    """

    space: SearchSpace
    trials: Sequence[Trial]
    means: Mapping[int, float]

    @property
    def tolerated_loss(self) -> float:
        """What proposals may lose on average; nothing where all scores are equal, so that nothing was won either."""
        return TOLERATED_LOSS * self._deviation

    @property
    def score_deviation(self) -> float:
        """The standard deviation of single scores; 1 where all are equal, as something is expected of proposals."""
        return self._deviation or 1.0

    @cached_property
    def _deviation(self) -> float:
        return float(np.std([score for trial in self.trials for score in trial.values]))


@dataclass(frozen=True, kw_only=True)
class Wave:
    """What is due in a round: requests for new options, and the trials that get more rows before some are made."""

    asks: list[Ask] = field(default_factory=list)
    more_rows: list[int] = field(default_factory=list)


class Waves:
    """The rules by which a search asks for new options.

    Args:
        settings: how choices grow.
        history: what was proposed.
        seed: the seed of the search.
        row_order: all rows in the common order.
        block_rows: the number of rows in a block of that order.
    """

    def __init__(
        self, settings: GrowthSettings, history: History, seed: int, row_order: Sequence[int], block_rows: int
    ) -> None:
        self._settings = settings
        self._history = history
        self._seed = seed
        self._row_order = list(row_order)
        self._block_rows = block_rows
        self._places = {row: place for place, row in enumerate(row_order)}
        self._made: list[Ask] = []
        """The requests so far."""
        self._in_vain = 0
        self._pause_until = 0.0

    @property
    def paused(self) -> bool:
        """Whether the last proposals won nothing, so that some calls pass before the next."""
        return self._in_vain > 0

    def due(self, standing: Standing, spent: Spent) -> Wave:
        """The requests that are due, or the trial that gets more rows before they are made."""
        room = most_requests(self._settings.share, spent.limit) - len(self._made)
        if room < 1 or spent.calls > LAST_SHARE * spent.limit:
            return Wave()
        gains = self._history.gains(standing.trials, standing.means)
        last = self._history.last_wave
        least = -standing.tolerated_loss
        won = sum(gains.values()) > least * len(gains) and any(gains[each] > least for each in last if each in gains)
        if spent.calls < self._pause_until and not (won and all(each in gains for each in last)):
            return Wave()
        trial = self._shown_trial(standing, gains.values())
        if trial is None or self._lacks_rows(trial):
            return Wave(more_rows=[] if trial is None else [trial.number])
        most = min(1 if spent.limit < CALLS_FOR_MORE else 2, room)
        asks = list(islice(self._asks(trial, standing, gains), most))
        if asks:
            self._in_vain = 0 if won or not self._made else self._in_vain + 1
            self._made += asks
            self._pause_until = spent.calls + FIRST_PAUSE * spent.limit * (2.0**self._in_vain - 1)
        return Wave(asks=asks)

    def _shown_trial(self, standing: Standing, gains: Iterable[float]) -> Trial | None:
        """The trial that the requests show, or that gets more rows before it is shown; None without any.

        It is the best one by its expected score and by what each generation of proposals is expected to win beyond
        that, because a few rows tell little of a single one.
        """
        known = list(gains)
        prior = EXPECTED_GAIN * standing.score_deviation
        expected = (prior * GAIN_WEIGHT + sum(known)) / (GAIN_WEIGHT + len(known))
        growing = [each for each in standing.trials if each.state == "running" and each.scores]
        ranked = sorted(
            (each for each in growing if growing_factors(standing.space, each)),
            key=lambda each: -(standing.means[each.number] + expected * self._history.generation(each.candidate)),
        )
        return next((each for each in ranked if not self._lacks_rows(each)), next(iter(ranked), None))

    def _lacks_rows(self, trial: Trial) -> bool:
        """Whether a trial should get more rows, so that a request shows something that it got wrong and that none has
        shown yet."""
        if "failures" not in self._settings.operators.values() or not trial.open:
            return False
        blocks = self._showable(trial)
        if len(blocks) >= MOST_BLOCKS:
            return False
        rows, _ = self._failures(trial, ())
        return not rows or any(ask.trial == trial.number and ask.rows[: len(rows)] == rows for ask in self._made)

    def _showable(self, trial: Trial) -> list[int]:
        """The blocks of a trial whose rows a request may show, last first. All candidates without proposed options are
        compared on the first block, so it stays theirs."""
        blocks = {self._places[outcome.row] // self._block_rows for outcome in trial.scored}
        return sorted(blocks if self._history.is_grown(trial.candidate) else blocks - {0}, reverse=True)

    def _asks(self, trial: Trial, standing: Standing, gains: Mapping[ProposalRecord, float]) -> Iterator[Ask]:
        """The requests that can be made of a trial, those of operators first that are expected to win most."""
        factors = growing_factors(standing.space, trial)
        factor = factors[self._history.next_wave % len(factors)]
        parents = _ranked_options(factor, standing, trial)
        generation = self._history.generation(trial.candidate)
        for operator in self._by_gain(gains, standing.score_deviation, generation):
            ask = self._ask(operator, factor.name, parents, trial)
            if ask is not None and ask not in self._made:  # its reply is known
                yield ask

    def _by_gain(self, gains: Mapping[ProposalRecord, float], deviation: float, generation: int) -> list[str]:
        """The operators, by one sample each of what they are expected to win (Thompson 1933). An option without a look
        counts as one that won nothing, and what is no option as a loss; a text that comes of rows alone lacks what
        earlier generations have won."""
        generator = random_generator(self._seed, f"proposals {self._history.next_wave}")
        sampled: dict[str, float] = {}
        for name, needs in self._settings.operators.items():
            own = [each for each in self._history.proposals if each.operator == name]
            known = [gains.get(each, 0.0) if each.accepted else -GAIN_SPREAD * deviation for each in own]
            weight = GAIN_WEIGHT + len(known)
            prior = EXPECTED_GAINS[needs] - (EXPECTED_GAIN * generation if needs == "rows" else 0)
            expected = (prior * deviation * GAIN_WEIGHT + sum(known)) / weight
            sampled[name] = expected + GAIN_SPREAD * deviation * generator.standard_normal() / weight**0.5
        return sorted(sampled, key=lambda name: -sampled[name])

    def _ask(self, operator: str, choice: str, parents: Sequence[int], trial: Trial) -> Ask | None:
        """A request by an operator; None where what it needs is not there."""
        needs = self._settings.operators[operator]
        rows: list[int] = []
        aside: list[int] = []
        if needs == "failures":
            rows, aside = self._failures(trial, self._history.aside(choice, parents[0]))
            rows = self._with_earlier(rows, choice, parents[0]) if rows else []
        elif needs == "rows":
            rows = aside = self._described(operator)
        if (needs in ("failures", "rows") and not rows) or (needs == "parents" and len(parents) < 2):
            return None
        return Ask(
            choice=choice,
            operator=operator,
            parents=list(parents[: PARENTS[needs]]),
            trial=trial.number,
            rows=rows,
            aside=aside,
            count=TEXTS,
        )

    def _described(self, operator: str) -> list[int]:
        """The next labelled rows that an operator shows without answers."""
        rows = self._settings.described
        waves = {each.wave for each in self._history.proposals if each.operator == operator}
        start = SHOWN_ROWS * len(waves)
        return sorted({rows[place % len(rows)] for place in range(start, start + SHOWN_ROWS)}) if rows else []

    def _with_earlier(self, rows: Sequence[int], choice: str, option: int) -> list[int]:
        """Rows, and those with wrong answers that requests before showed for an option and for what it comes from."""
        needs = self._settings.operators
        asked = (each for each in self._history.ancestry(choice, option) if needs.get(each.operator) == "failures")
        return list(dict.fromkeys([*rows, *(row for each in asked for row in each.rows)]))[:WITH_EARLIER_ROWS]

    def _failures(self, trial: Trial, inherited: Collection[int]) -> tuple[list[int], list[int]]:
        """Rows that a trial got wrong, worst first, of one or two of its blocks; and all rows of these blocks. Of a
        request that failed there is no answer to show."""
        level = float(np.mean(trial.scores))
        room = MOST_ASIDE * len(self._row_order) - len(inherited)
        wrong: list[tuple[float, int]] = []
        aside: list[int] = []
        for block in self._showable(trial):
            whole = self._row_order[block * self._block_rows : (block + 1) * self._block_rows]
            answered = [each for each in trial.scored if each.error is None and each.row in whole]
            found = [(each.score or 0.0, each.row) for each in answered]
            below = [(score, row) for score, row in found if score < level or score <= 0]
            if below and len(aside) + len(whole) <= room:
                wrong, aside = [*wrong, *below], [*aside, *whole]
            if len(wrong) >= ENOUGH_FAILURES:
                break
        return [row for _, row in sorted(wrong)[:SHOWN_ROWS]], sorted(aside)


def growing_factors(space: SearchSpace, trial: Trial) -> list[Factor]:
    """The choices of a trial that may grow."""
    chosen = trial.candidate.to_dict()
    return [factor for factor in space.factors if factor.grow and factor.name in chosen]


def _ranked_options(factor: Factor, standing: Standing, trial: Trial) -> list[int]:
    """The options of a choice that have a score: the trial's, and then the others by their best trial, best first."""
    best: dict[int, float] = {}
    for each in standing.trials:
        option = each.candidate.to_dict().get(factor.name)
        if option is not None and each.scores:
            best[option] = max(best.get(option, standing.means[each.number]), standing.means[each.number])
    own = trial.candidate.to_dict()[factor.name]
    return [own, *sorted(best.keys() - {own}, key=lambda option: (-best[option], option))]
