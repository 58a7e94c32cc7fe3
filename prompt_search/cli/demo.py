"""The study that ``prompt-search demo`` runs: customer messages, six intents, the embedded model, no key."""

from __future__ import annotations

from importlib import resources

from prompt_search.answers import Label
from prompt_search.data.dataset import Dataset
from prompt_search.llm.model import Model
from prompt_search.prompts.factors import choice
from prompt_search.prompts.template import Template
from prompt_search.study.study import Study

DEMO_CALLS = 300
DEMO_SEED = 1


def demo_study(*, seed: int = DEMO_SEED, storage: str | None = None) -> Study:
    """The demo's study."""
    with resources.as_file(resources.files("prompt_search") / "_demo" / "messages.csv") as file:
        data = Dataset.read(file, target="intent")
    return Study(
        template=Template.read("classify"),
        data=data,
        model=Model.local(),
        answer=choice(
            {
                "text": Label(data.labels),
                "logprobs": Label(data.labels, mode="logprobs", top_logprobs=200),
                "calibrated": Label(data.labels, mode="logprobs", top_logprobs=200, calibrate="rows"),
            }
        ),
        name="demo",
        storage=storage,
        seed=seed,
    )
