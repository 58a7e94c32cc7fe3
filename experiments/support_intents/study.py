"""Customer messages in six intents: prompt-search run experiments/support_intents/study.py --calls 600"""

from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent

data = ps.Dataset.read(HERE / "messages.csv", target="intent")

study = ps.Study(
    template=ps.Template.read("classify"),
    data=data,
    model=ps.Model.local(),
    answer=ps.choice(
        {
            "text": ps.Label(data.labels),
            "logprobs": ps.Label(data.labels, mode="logprobs", top_logprobs=200),
            "calibrated": ps.Label(data.labels, mode="logprobs", top_logprobs=200, calibrate="rows"),
        }
    ),
    context={
        "instructions": [
            "Classify the customer's message.",
            "What does the customer want?",
            "Which team should handle this message?",
            "Choose the intent of the message.",
        ],
        "field_names": ["Message:", "Customer:", ""],
        "cues": ["Intent:", "Category:", "Team:", "The message is about", ""],
    },
    name="support_intents",
    storage="sqlite:///support_intents.db",
)
