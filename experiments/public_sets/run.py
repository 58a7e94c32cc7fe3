"""Default prompt against the winner on public data sets, on rows that the search never saw.

    python experiments/public_sets/run.py --data-dir DIR --sets sst2 subj --calls 600 --seeds 0 1 2

DIR holds the csv files (``sst2.csv``, ``subj.csv``, ``agnews.csv``: text,label; ``singular_to_plural.csv``,
``translation_en-fr.csv``: input,output; ``gsm8k.csv``: question,solution,answer). They are not part of this
repository. The studies' responses are kept in ``--storage``, so that an interrupted run goes on where it was.

The budget covers the search and the study's own sealed test. Afterwards both prompts are scored on all held-out
rows, which takes further calls. Every study's whole report is printed: headline, best candidates, what mattered, how
the winner answers, its prompt. ``early test requests`` counts the requests for sealed rows that the storage has from
before the search's last one; it should be 0.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd

import prompt_search as ps
from prompt_search.prompts.factors import Options
from prompt_search.results.breakdowns import shown_to_matter
from prompt_search.results.statistics import paired_difference

HERE = Path(__file__).parent


def labels(data: ps.Dataset) -> Options:
    """Three ways to read a label."""
    return ps.choice(
        {
            "text": ps.Label(data.labels),
            "logprobs": ps.Label(data.labels, mode="logprobs", top_logprobs=200),
            "calibrated": ps.Label(data.labels, mode="logprobs", top_logprobs=200, calibrate="rows"),
        }
    )


CONTEXT: dict[str, dict[str, object]] = {
    "sst2": {
        "instructions": [
            "Classify the sentiment of the review.",
            "Is this movie review positive or negative?",
            "Did the reviewer like the movie?",
            "Decide whether the sentence praises or criticises.",
        ],
        "field_names": ["Review:", "Text:", ""],
        "cues": ["Sentiment:", "Label:", "Answer:", "The review is", ""],
    },
    "subj": {
        "instructions": [
            "Is the sentence subjective or objective?",
            "Classify the sentence: an opinion is subjective, a fact or a piece of plot is objective.",
            "Does this come from a review (subjective) or from a plot summary (objective)?",
            "Label the sentence.",
        ],
        "field_names": ["Sentence:", "Text:", ""],
        "cues": ["Label:", "Type:", "Answer:", "The sentence is", ""],
    },
    "agnews": {
        "instructions": [
            "Classify the topic of the news.",
            "Which section of a newspaper does this belong to?",
            "What is this news about?",
            "Choose the topic of the article.",
        ],
        "field_names": ["News:", "Article:", "Text:", ""],
        "cues": ["Topic:", "Section:", "Category:", "Answer:", ""],
    },
    "translation_en-fr": {"source_language": "English", "target_language": "French"},
    "singular_to_plural": {},
    "gsm8k": {},
}


def make(name: str, folder: Path, *, model: ps.Model, seed: int, storage: str) -> ps.Study:
    """The study of one data set."""
    target = {"gsm8k": "answer", "singular_to_plural": "output", "translation_en-fr": "output"}.get(name, "label")
    data = ps.Dataset.read(folder / f"{name}.csv", target=target)
    templates = {
        "gsm8k": ps.Template.read("solve"),
        "singular_to_plural": ps.Template.read(HERE / "plural.j2"),
        "translation_en-fr": ps.Template.read("translate"),
    }
    answers = {
        "gsm8k": ps.Number(),
        "singular_to_plural": ps.Text(max_tokens=8, first_line=True),
        "translation_en-fr": ps.Text(max_tokens=16, first_line=True),
    }
    metric = {"translation_en-fr": ps.metrics.chrf, "gsm8k": ps.metrics.numeric}.get(name, ps.metrics.exact)
    return ps.Study(
        template=templates.get(name) or ps.Template.read("classify"),
        data=data,
        model=model,
        answer=answers.get(name) or labels(data),
        metric=metric,
        context=CONTEXT[name],
        test=150,
        name=f"{name} seed {seed}",
        storage=storage,
        seed=seed,
    )


def early_test_requests(result: ps.Result) -> int:
    """The number of requests with test rows that are older than the search's last request."""
    calls = result.calls_df()
    searched = calls.loc[calls["split"] == "search", "call"].max()
    return int((calls.loc[calls["split"] == "test", "call"] < searched).sum())


def report(study: ps.Study, result: ps.Result) -> str:
    """All that a result says."""
    parts = {
        study.name: result,
        "options that are shown to matter": shown_to_matter(result.effects_df()),
        "pairs of options": result.interactions_df().head(5),
    }
    if study.data.is_categorical:
        parts |= {"labels": result.labels_df(), "by label": result.slices_df(study.data, study.data.target)}
    parts["the winner"] = result.best.text

    def text(part: object) -> str:
        if not isinstance(part, pd.DataFrame):
            return str(part)
        return "none" if part.empty else part.to_string(index=False, float_format="{:.3f}".format)

    return "\n\n".join(f"{title}\n{text(part)}" for title, part in parts.items())


def compare(study: ps.Study, calls: int) -> dict[str, object]:
    """Run a study, and score default and winner on its held-out rows."""
    started = time.monotonic()
    result = study.run(ps.Budget(calls=calls))
    seconds = time.monotonic() - started
    scored = {
        label: ps.evaluate(
            prompt, study.data, model=study.models[0], metric=study.metric, rows=study.test_rows, storage=study.storage
        )
        for label, prompt in {"default": result.baseline, "winner": result.best}.items()
    }
    found = paired_difference(scored["default"].scores, scored["winner"].scores)
    print(report(study, result), flush=True)
    return {
        "set": study.name.split(" seed ")[0],
        "seed": study.seed,
        "calls": result.summary["calls"],
        "rows": len(study.test_rows),
        "default": scored["default"].score,
        "winner": scored["winner"].score,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "early test requests": early_test_requests(result),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=list(CONTEXT), default=["sst2"])
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--model", default="local")
    parser.add_argument("--base-url")
    parser.add_argument("--storage", default="sqlite:///public_sets.db")
    parser.add_argument("--output", type=Path, default=Path("public_sets.csv"))
    arguments = parser.parse_args()
    model = ps.Model.parse(arguments.model, base_url=arguments.base_url)
    records = []
    for name in arguments.sets:
        for seed in arguments.seeds:
            study = make(name, arguments.data_dir, model=model, seed=seed, storage=arguments.storage)
            records.append(compare(study, arguments.calls))
            pd.DataFrame(records).to_csv(arguments.output, index=False)
    frame = pd.DataFrame(records)
    print(frame.to_string(index=False, float_format="{:.3f}".format))
    print()
    columns = ["default", "winner", "difference"]
    print(frame.groupby("set", sort=False)[columns].mean().to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
