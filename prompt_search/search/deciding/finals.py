"""The finals: the last part of the calls goes to the best trials, by sequential halving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prompt_search.search import wording
from prompt_search.search.deciding.caps import Caps
from prompt_search.search.estimates import Estimates
from prompt_search.search.trial import Trial, Trials

FINALIST_COUNT = 10
"""Number of trials that enter the finals."""

FINAL_SHARE = 0.25
"""Share of a search's calls that is kept for the finals."""

LEAST_LEAD = 0.5
"""By how much a prompt with a proposed option has to be expected to be better than the best one without, in standard
deviations of that difference. Of many proposals that are worth nothing, some have luck in their rows."""


class Finals:
    """Sequential halving (Karnin, Koren and Somekh 2013) among the best trials, on rows that each has not seen yet.

    A trial that has left does not come back, even if those that stayed fall below it: the winner has the most rows. The
    best trial without a proposed option stays to the last stage, and wins unless another one is better by `LEAST_LEAD`.
    Where there are caps, only a trial that is shown to keep them wins, if there is one; it may have left before.

    Args:
        trials: the trials of the race; the rules end them.
        estimates: what is known about the trials.
        is_grown: whether a trial has an option that was proposed.
        caps: the rules about caps.
    """

    def __init__(self, trials: Trials, estimates: Estimates, is_grown: Callable[[Trial], bool], caps: Caps) -> None:
        self._trials = trials
        self._estimates = estimates
        self._is_grown = is_grown
        self._caps = caps

    def begin(self) -> list[Trial]:
        """Choose the finalists."""
        self._estimates.keep_variances()
        return self._keep(FINALIST_COUNT)

    @property
    def undecided(self) -> bool:
        """Whether there is another stage: several finalists, and rows that some have not seen."""
        finalists = self._trials.finalists
        return len(finalists) > 1 and any(trial.unseen for trial in finalists)

    @property
    def _stages(self) -> int:
        """The number of stages that are left."""
        return len(self._trials.finalists).bit_length() - 1

    def rows(self, left: float) -> int:
        """The number of rows that each finalist gets in this stage; 0 where the calls do not suffice for all.

        Args:
            left: the number of rows that the calls that are left suffice for.
        """
        return int(left / self._stages / len(self._trials.finalists))

    def end_stage(self) -> list[Trial]:
        """Keep the better half of the finalists; after the last stage, the best one."""
        kept = self._keep((len(self._trials.finalists) + 1) // 2 if self._stages > 1 else 1)
        self._trials.leader = next(iter(kept), self._trials.leader)
        return kept

    def end(self) -> None:
        """Complete the trials that are left."""
        for trial in self._trials.all:
            if trial.state == "running":
                trial.end("complete", wording.finished_finals(len(trial.outcomes)))

    def _keep(self, count: int) -> list[Trial]:
        """Keep the best trials as finalists, and end all others."""
        self._caps.close_over()
        means = self._estimates.means()
        ranked = self._estimates.ranked(means)
        able = [trial for trial in ranked if trial.answered and trial.state in ("running", "complete")]
        finalists = self._with_hand_written(self._with_known(able, count, means), count, means)
        for trial in self._trials.all:
            if trial.state != "running" or trial in finalists:
                continue
            mean, rows, of = means[trial.number], len(trial.outcomes), trial.maximized
            if trial in self._trials.finalists and self._caps and self._caps.standing(trial) == "not known":
                trial.end("complete", wording.cap_not_known(mean, rows, of))
                continue
            if trial in self._trials.finalists and count == 1 and mean > means[finalists[0].number]:
                trial.end("complete", wording.no_clear_lead(mean, rows, of, finalists[0].number))
            elif trial in self._trials.finalists:
                trial.end("complete", wording.left_finals(mean, rows, of))
            elif trial.outcomes and not trial.answered:
                trial.end("failed", wording.failed(rows, trial.outcomes[0].error))
            else:
                trial.end("pruned", wording.not_a_finalist(mean, rows, of))
        self._trials.finalists = finalists
        return finalists

    def _with_known(self, able: list[Trial], count: int, means: Mapping[int, float]) -> list[Trial]:
        """The trials, in their order. Where some are shown to keep the caps, those of which that is not known get at
        most half of the places, and the last place goes to the best of those that are shown to, also if it had left."""
        known = [trial for trial in able if self._caps.standing(trial) == "under"] if self._caps else []
        if not known:
            return able
        if count == 1:
            return sorted(known, key=lambda trial: -means[trial.number])
        others = [trial for trial in able if trial not in known][: count // 2]
        return [trial for trial in able if trial in known or trial in others]

    def _with_hand_written(self, able: Sequence[Trial], count: int, means: Mapping[int, float]) -> list[Trial]:
        """The first trials, the best one without a proposed option among them; of one place, it or a better one."""
        best = list(able[:count])
        written = next((trial for trial in able if not self._is_grown(trial)), None)
        if written is None or written in best:
            return best
        if count > 1:
            return [*best[:-1], written]
        lead = means[best[0].number] - means[written.number]
        return best if lead > LEAST_LEAD * self._estimates.spreads(written)[best[0].number] else [written]
