"""The types of Optuna that users hand in and get back, for rooms that do not import Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

__all__ = ["BasePruner", "BaseSampler", "OptunaStudy"]
