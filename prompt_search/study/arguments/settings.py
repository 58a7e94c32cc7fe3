"""The settings of a study, as its arguments give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from prompt_search import metrics
from prompt_search._names import check_name
from prompt_search.answers.base import Answer
from prompt_search.data.dataset import Dataset
from prompt_search.errors import StudyError
from prompt_search.evaluation.judging.judge import Judge
from prompt_search.llm.dask_executor import AnyExecutor
from prompt_search.llm.model import Model
from prompt_search.metrics.base import Metric
from prompt_search.metrics.objective import Objective
from prompt_search.prompts.factors import Options
from prompt_search.prompts.growing.proposer import Proposer
from prompt_search.prompts.requests.task import Task
from prompt_search.prompts.template import Template
from prompt_search.search.optuna_adapter import OptunaPruner, OptunaSampler
from prompt_search.study.candidates import options_of

if TYPE_CHECKING:
    from prompt_search.report.result import Result

HELD_OUT_SHARE = 0.3
"""Share of the rows that are test rows, unless the settings or the data say otherwise."""


MirrorWhen = Literal["end", "live"]
"""When a study is written for Optuna: at its end, in a storage that has Optuna's tables, or while it runs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StudySettings:
    """The arguments of `prompt_search.study.study.Study`, which documents them."""

    template: Template
    data: Dataset
    model: Model | str | Options
    answer: Answer | Options | None = None
    metric: Metric = metrics.exact
    context: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = None
    name: str = "study"
    storage: str | None = None
    seed: int = 0
    max_concurrency: int = 16
    sampler: OptunaSampler | None = None
    pruner: OptunaPruner | None = None
    test: int | float | Sequence[int] = HELD_OUT_SHARE
    executor: AnyExecutor | None = None
    mirror: MirrorWhen = "end"
    proposer: Proposer | None = None
    prior: Result | str | None = None
    batch: bool = False
    objective: Objective | None = None
    task: Task | None = None

    def __post_init__(self) -> None:
        if self.mirror not in get_args(MirrorWhen):
            raise StudyError(f'mirror must be "end" or "live", got {self.mirror!r}; give one of them')
        if self.mirror == "live" and self.storage is None:
            raise StudyError(
                'mirror="live" needs a storage that optuna-dashboard can open, but this study is kept in memory; give '
                "storage="
            )
        if not isinstance(self.name, str) or not self.name.strip():
            raise StudyError(f"a study needs a name, got {self.name!r}; give a text")
        check_name(self.name, "a study", StudyError)
        if not isinstance(self.max_concurrency, int):
            raise StudyError(
                f"max_concurrency must be a whole number, got {self.max_concurrency!r}; give one such as 16"
            )
        if self.max_concurrency < 1:
            raise StudyError(f"max_concurrency must be at least 1, got {self.max_concurrency}")

    @property
    def models(self) -> list[Model]:
        """The models to choose from."""
        return [Model.parse(model) if isinstance(model, str) else model for model in options_of(self.model)]

    @property
    def scoring_models(self) -> list[Model]:
        """All models that are asked to score a prompt: those to choose from, and the judge's; one may be repeated."""
        return [*self.models, *([self.metric.model] if isinstance(self.metric, Judge) else [])]

    @property
    def asked_models(self) -> list[Model]:
        """All models that are sent requests: those that score prompts, and the proposer's."""
        return [*self.scoring_models, *([] if self.proposer is None else [self.proposer.model])]
