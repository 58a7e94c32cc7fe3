"""Discrete prompt search: one Jinja template, named choices, the prompt that is really better."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

from prompt_search._first_tries import by_names
from prompt_search.evaluation.judging import given_answers
from prompt_search.prompts import asking

if TYPE_CHECKING:
    from prompt_search import metrics as metrics
    from prompt_search import plots as plots
    from prompt_search.answers import Answer as Answer
    from prompt_search.answers import Json as Json
    from prompt_search.answers import Label as Label
    from prompt_search.answers import Number as Number
    from prompt_search.answers import Regex as Regex
    from prompt_search.answers import Text as Text
    from prompt_search.answers import Unparsed as Unparsed
    from prompt_search.budget import Budget as Budget
    from prompt_search.data.dataset import Dataset as Dataset
    from prompt_search.data.rows import Row as Row
    from prompt_search.data.splits import Splits as Splits
    from prompt_search.errors import BudgetExceeded as BudgetExceeded
    from prompt_search.errors import CallFailed as CallFailed
    from prompt_search.errors import DataError as DataError
    from prompt_search.errors import InputError as InputError
    from prompt_search.errors import MissingExtra as MissingExtra
    from prompt_search.errors import PromptSearchError as PromptSearchError
    from prompt_search.errors import RequestRefused as RequestRefused
    from prompt_search.errors import RunError as RunError
    from prompt_search.errors import ServerUnreachable as ServerUnreachable
    from prompt_search.errors import StorageError as StorageError
    from prompt_search.errors import StudyError as StudyError
    from prompt_search.errors import TemplateError as TemplateError
    from prompt_search.evaluation.judging.judge import Judge as Judge
    from prompt_search.evaluation.one_prompt.evaluate import evaluate as evaluate
    from prompt_search.evaluation.outcome import PreparedPrompt as PreparedPrompt
    from prompt_search.llm.client import Client as Client
    from prompt_search.llm.messages import Message as Message
    from prompt_search.llm.messages import Request as Request
    from prompt_search.llm.messages import Response as Response
    from prompt_search.llm.messages import ToolCall as ToolCall
    from prompt_search.llm.model import Model as Model
    from prompt_search.llm.price import Price as Price
    from prompt_search.metrics import Score as Score
    from prompt_search.metrics.objective import Cap as Cap
    from prompt_search.metrics.objective import Objective as Objective
    from prompt_search.prompts.factors import Candidate as Candidate
    from prompt_search.prompts.factors import Factor as Factor
    from prompt_search.prompts.factors import Options as Options
    from prompt_search.prompts.factors import choice as choice
    from prompt_search.prompts.growing.operators import Operator as Operator
    from prompt_search.prompts.growing.proposer import Proposer as Proposer
    from prompt_search.prompts.prompt import Prompt as Prompt
    from prompt_search.prompts.requests.task import Task as Task
    from prompt_search.prompts.requests.task import TaskCall as TaskCall
    from prompt_search.prompts.space import SearchSpace as SearchSpace
    from prompt_search.prompts.template import Template as Template
    from prompt_search.report.cross_fit import CrossFit as CrossFit
    from prompt_search.report.result import Result as Result
    from prompt_search.report.result import open_result as open_result
    from prompt_search.results.comparison import Comparison as Comparison
    from prompt_search.results.comparison import compare as compare
    from prompt_search.results.evaluation import Evaluation as Evaluation
    from prompt_search.results.judged.people import PeopleVerdict as PeopleVerdict
    from prompt_search.results.lines.growth import GrowthCounts as GrowthCounts
    from prompt_search.results.verdict import AnswerCounts as AnswerCounts
    from prompt_search.results.verdict import MeanScore as MeanScore
    from prompt_search.results.verdict import Verdict as Verdict
    from prompt_search.search.optuna_sampler import SurrogateSampler as SurrogateSampler
    from prompt_search.study.estimate import Estimate as Estimate
    from prompt_search.study.preflight import Preflight as Preflight
    from prompt_search.study.snapshot import Snapshot as Snapshot
    from prompt_search.study.study import Study as Study

_HOMES = {
    "Answer": "answers",
    "AnswerCounts": "results.verdict",
    "Budget": "budget",
    "BudgetExceeded": "errors",
    "CallFailed": "errors",
    "Candidate": "prompts.factors",
    "Cap": "metrics.objective",
    "choice": "prompts.factors",
    "Client": "llm.client",
    "compare": "results.comparison",
    "Comparison": "results.comparison",
    "CrossFit": "report.cross_fit",
    "DataError": "errors",
    "Dataset": "data.dataset",
    "Estimate": "study.estimate",
    "evaluate": "evaluation.one_prompt.evaluate",
    "Evaluation": "results.evaluation",
    "Factor": "prompts.factors",
    "GrowthCounts": "results.lines.growth",
    "InputError": "errors",
    "Json": "answers",
    "Judge": "evaluation.judging.judge",
    "Label": "answers",
    "MeanScore": "results.verdict",
    "Message": "llm.messages",
    "metrics": "",
    "MissingExtra": "errors",
    "Model": "llm.model",
    "Number": "answers",
    "Objective": "metrics.objective",
    "open_result": "report.result",
    "Operator": "prompts.growing.operators",
    "Options": "prompts.factors",
    "PeopleVerdict": "results.judged.people",
    "plots": "",
    "Preflight": "study.preflight",
    "PreparedPrompt": "evaluation.outcome",
    "Price": "llm.price",
    "Prompt": "prompts.prompt",
    "PromptSearchError": "errors",
    "Proposer": "prompts.growing.proposer",
    "Regex": "answers",
    "Request": "llm.messages",
    "Range": "metrics",
    "RequestRefused": "errors",
    "Response": "llm.messages",
    "Result": "report.result",
    "Row": "data.rows",
    "RunError": "errors",
    "Score": "metrics",
    "SearchSpace": "prompts.space",
    "ServerUnreachable": "errors",
    "Snapshot": "study.snapshot",
    "Splits": "data.splits",
    "StorageError": "errors",
    "Study": "study.study",
    "StudyError": "errors",
    "SurrogateSampler": "search.optuna_sampler",
    "Task": "prompts.requests.task",
    "TaskCall": "prompts.requests.task",
    "Template": "prompts.template",
    "TemplateError": "errors",
    "Text": "answers",
    "ToolCall": "llm.messages",
    "Unparsed": "answers",
    "Verdict": "results.verdict",
}
"""The module that each public name is from; a module itself for the empty ones."""

_INSTEAD = by_names(
    **{
        "ps.Dataset.read(path, target='COLUMN')": "read_csv read_json read_parquet",
        "ps.Dataset(rows, target='COLUMN')": "load_dataset from_pandas DataFrame",
        "ps.Study(template=..., data=..., model=...).run(600)": "create_study optimize search",
        "ps.open_result('study.db')": "load_study load_result read_result",
        "ps.Model('NAME')": "OpenAI LLM Client",
    }
)
"""What to write instead of names that people try."""

asking.asker.provide(lambda: cast("asking.Asker", importlib.import_module("prompt_search.evaluation.one_prompt.ask")))
given_answers.asking.provide(
    lambda: cast(
        "given_answers.AnswerJudging", importlib.import_module("prompt_search.evaluation.one_prompt.judged_answers")
    )
)

__all__ = sorted(_HOMES, key=lambda name: (name[0].islower(), name.casefold()))


def __getattr__(name: str) -> Any:
    # Loaded on first use: `prompt-search --help` must not wait for pandas, optuna and openai.
    if name == "__version__":
        from importlib.metadata import version

        return version("prompt_search")
    if name not in _HOMES:
        cure = f"; write {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise AttributeError(f"module 'prompt_search' has no attribute {name!r}{cure}")
    home = importlib.import_module(f"prompt_search.{_HOMES[name] or name}")
    return getattr(home, name) if _HOMES[name] else home


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
