"""English phrases to French, by chrF: prompt-search run experiments/french_phrases/study.py --calls 300"""

from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent

study = ps.Study(
    template=ps.Template.read("translate"),
    data=ps.Dataset.read(HERE / "phrases.csv", target="output"),
    model=ps.Model.local(),
    answer=ps.Text(max_tokens=16, first_line=True),
    metric=ps.metrics.chrf,
    context={"source_language": "English", "target_language": "French"},
    name="french_phrases",
    storage="sqlite:///french_phrases.db",
)
