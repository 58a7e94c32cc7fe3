"""What the prompts of a stored study cost, what they are worth by its objective, and whether they keep its caps."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from prompt_search.metrics.objective import Quantity
from prompt_search.results.objective.caps import CapStanding, MeanCost, mean_costs, standings
from prompt_search.results.stored.study_records import StudyRecords


class StudyCosts(StudyRecords):
    """Costs and values of the prompts of a stored study; the arguments are those of `StudyRecords`."""

    @cached_property
    def cap_standings(self) -> dict[int, CapStanding]:
        """How each trial with an answer stands to the caps, by all its rows: ``under``, ``over`` or ``not known``; one
        that was not sent, because it was expected to be over a cap, is ``over``. Empty without caps."""
        if self.objective is None or not self.objective.caps:
            return {}
        sent = {*self._scored["trial"]}
        unsent: dict[int, CapStanding] = {
            each.trial: "over" for each in self._trials if each.state == "pruned" and each.trial not in sent
        }
        return unsent | standings(self._mean_costs, self.objective.caps)

    @cached_property
    def _row_costs(self) -> pd.DataFrame:
        """What the response to each scored row took; NaN where the request failed. The columns are quantities."""
        scored = self._scored
        sent, received = (
            scored[name].to_numpy("float64", na_value=np.nan) for name in ("prompt_tokens", "completion_tokens")
        )
        costs: dict[Quantity, np.ndarray] = {
            "prompt_tokens": sent,
            "tokens": sent + received,
            "usd_per_1000_rows": 1000 * scored["cost_usd"].to_numpy(),
            "latency_s": scored["latency_s"].to_numpy(),
        }
        return pd.DataFrame(costs, index=scored.index).mask(scored["error"].notna())

    @cached_property
    def _mean_costs(self) -> dict[Quantity, dict[int, MeanCost]]:
        """The mean cost of each trial, for the quantities of the objective."""
        found: dict[Quantity, dict[int, MeanCost]] = {}
        models = self._scored["trial"].map({each.trial: each.prompt.get("model") for each in self._trials})
        for quantity in [] if self.objective is None else self.objective.quantities:
            found[quantity] = {}
            for _, rows in self._scored.groupby(models, sort=True, dropna=False):
                costs = self._row_costs.loc[rows.index, quantity].tolist()
                found[quantity] |= mean_costs(rows["trial"].tolist(), rows["row"].tolist(), costs)
        return found

    @cached_property
    def _penalties(self) -> pd.Series[float]:
        """What the cost of each scored row is worth in score."""
        found = pd.Series(0.0, index=self._scored.index)
        if self.objective is not None and self.objective.weights:
            for _, rows in self._row_costs.groupby(self._scored["trial"]):
                found.loc[rows.index] = self.objective.penalties(rows)
        return found

    def score_table(self) -> pd.DataFrame:
        """`trials_df` with estimates of the score, also where these are of what was maximized."""
        if self.objective is None or not self.weighs_costs:
            return self._table
        penalties = self._table["trial"].map(self._penalties.groupby(self._scored["trial"]).mean())
        estimates = (self._table["estimate"] + penalties) / self.objective.score
        return self._table.assign(estimate=estimates.clip(*self.score_range))
