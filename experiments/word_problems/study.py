"""Word problems, by the number at the end: prompt-search run experiments/word_problems/study.py --calls 300"""

from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent

study = ps.Study(
    template=ps.Template.read("solve"),
    data=ps.Dataset.read(HERE / "problems.csv", target="answer"),
    model=ps.Model.local(),
    answer=ps.Number(max_tokens=64),
    metric=ps.metrics.numeric,
    name="word_problems",
    storage="sqlite:///word_problems.db",
)
