"""Discrete prompt search: one Jinja template, named choices, the prompt that is really better."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompt_search import metrics, plots
    from prompt_search.answers import Json, Label, Number, Regex, Text, Unparsed
    from prompt_search.budget import Budget
    from prompt_search.data.dataset import Dataset
    from prompt_search.errors import InputError, PromptSearchError, RunError
    from prompt_search.evaluation.evaluate import evaluate
    from prompt_search.llm.client import Client
    from prompt_search.llm.model import Model
    from prompt_search.llm.price import Price
    from prompt_search.metrics import Score
    from prompt_search.prompts.factors import Candidate, choice
    from prompt_search.prompts.prompt import Prompt
    from prompt_search.prompts.space import SearchSpace
    from prompt_search.prompts.template import Template
    from prompt_search.report.result import Result, open_result
    from prompt_search.results.comparison import Comparison, compare
    from prompt_search.search.optuna_sampler import SurrogateSampler
    from prompt_search.study.study import Study

_HOMES = {
    "Budget": "budget",
    "Candidate": "prompts.prompt",
    "Client": "llm.client",
    "Comparison": "results.comparison",
    "Dataset": "data.dataset",
    "InputError": "errors",
    "Json": "answers",
    "Label": "answers",
    "Model": "llm.model",
    "Number": "answers",
    "Price": "llm.price",
    "Prompt": "prompts.prompt",
    "PromptSearchError": "errors",
    "Regex": "answers",
    "Result": "report.result",
    "RunError": "errors",
    "Score": "metrics",
    "SearchSpace": "prompts.space",
    "Study": "study.study",
    "SurrogateSampler": "search.optuna_sampler",
    "Template": "prompts.template",
    "Text": "answers",
    "Unparsed": "answers",
    "choice": "prompts.space",
    "compare": "results.comparison",
    "evaluate": "evaluation.evaluate",
    "metrics": "",
    "open_result": "report.result",
    "plots": "",
}

__all__ = [
    "Budget",
    "Candidate",
    "Client",
    "Comparison",
    "Dataset",
    "InputError",
    "Json",
    "Label",
    "Model",
    "Number",
    "Price",
    "Prompt",
    "PromptSearchError",
    "Regex",
    "Result",
    "RunError",
    "Score",
    "SearchSpace",
    "Study",
    "SurrogateSampler",
    "Template",
    "Text",
    "Unparsed",
    "choice",
    "compare",
    "evaluate",
    "metrics",
    "open_result",
    "plots",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `prompt-search --help` must not wait for pandas, optuna and openai.
    if name not in _HOMES:
        raise AttributeError(f"module 'prompt_search' has no attribute {name!r}")
    home = importlib.import_module(f"prompt_search.{_HOMES[name] or name}")
    return getattr(home, name) if _HOMES[name] else home


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
