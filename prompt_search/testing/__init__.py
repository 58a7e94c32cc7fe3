"""For tests of studies: fake models that answer by what they are asked.

`InProcessExecutor` answers inside the process, thousands of requests a second. `FakeServer` is an OpenAI-compatible
server on a loopback socket, with latency, faults, rate limits and the dialects of real servers. Both know the body of
the request that they answer, never the order in which requests come; what they count can be compared with what a study
reports. `assert_score` guards a prompt in a test.
"""

from __future__ import annotations

import warnings
from typing import Any

from prompt_search.testing.batches import FakeBatch, FakeBatches
from prompt_search.testing.dialects import (
    DIALECTS,
    Rule,
    ServerDialect,
    azure,
    gemma,
    llama_cpp,
    ollama,
    openai_reasoning,
    vllm,
)
from prompt_search.testing.executor import InProcessExecutor
from prompt_search.testing.faults import Faults, chance
from prompt_search.testing.guard import assert_score
from prompt_search.testing.responses import Body, FakeAnswer, FakeResponse, completion, failure, prompt_of
from prompt_search.testing.server import PATH, FakeServer
from prompt_search.testing.truth import truth_model

__all__ = [
    "DIALECTS",
    "PATH",
    "Body",
    "FakeAnswer",
    "FakeBatch",
    "FakeBatches",
    "FakeResponse",
    "FakeServer",
    "Faults",
    "InProcessExecutor",
    "Rule",
    "ServerDialect",
    "assert_score",
    "azure",
    "chance",
    "completion",
    "failure",
    "gemma",
    "llama_cpp",
    "ollama",
    "openai_reasoning",
    "prompt_of",
    "truth_model",
    "vllm",
]

_RENAMED = {"Answer": "FakeAnswer", "Reply": "FakeResponse"}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module 'prompt_search.testing' has no attribute {name!r}")
    message = f"prompt_search.testing.{name} is now called {_RENAMED[name]}; use that name"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return globals()[_RENAMED[name]]
