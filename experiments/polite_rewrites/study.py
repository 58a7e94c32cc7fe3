"""Blunt messages made polite, rated by a judge: prompt-search run experiments/polite_rewrites/study.py --calls 300"""

from pathlib import Path

import pandas as pd

import prompt_search as ps

HERE = Path(__file__).parent

RUBRIC = (
    "A good answer is the same message in polite words. It keeps every fact: names, numbers, days, reasons and "
    "conditions. It adds no facts, and has no reproach left."
)

judge = ps.Judge(
    "quality",
    model=ps.Model.local(),
    scale=(1, 5),
    weighted=True,  # so small a model is not able to write a rating and a reason
    explain=False,
    context={"rubric": RUBRIC},
)

study = ps.Study(
    template=ps.Template.read("rewrite"),
    data=ps.Dataset(pd.read_csv(HERE / "rewrites.csv")[["text", "polite"]], target="polite"),
    model=ps.Model.local(),
    answer=ps.Text(max_tokens=48, first_line=True),
    metric=judge,
    context={"style": "polite"},
    name="polite_rewrites",
    storage="sqlite:///polite_rewrites.db",
)
