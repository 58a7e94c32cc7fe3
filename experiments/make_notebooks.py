"""Write and execute the experiments' notebooks: python experiments/make_notebooks.py [NAME ...]

Each tells one story: the data, the space, the default prompt, the search, and what the result says.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent

TEXT, CODE = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell


@dataclass(frozen=True)
class Story:
    """Title and introduction, the calls of the search, and the cells on where the winner still fails."""

    introduction: str
    calls: int
    failures: str
    remark: str


STORIES = {
    "support_intents": Story(
        """# Which prompt routes our customers' messages?

288 messages in six intents (see [LABELS.md](LABELS.md)), the embedded model SmolLM2-135M-Instruct, 600 requests.
The template is the shipped `classify`; wording, format, shots and the way the answer is read are choices.""",
        600,
        "result.confusion_df()",
        "Where it still fails on test rows: target against answer.",
    ),
    "order_extraction": Story(
        """# From an order in words to JSON

150 short orders, put together from sentences that we wrote (`make_orders.py`); item, quantity and city are wanted as
JSON, which the server's grammar enforces. The score of a row is the part of the three fields that are right.""",
        300,
        """samples = result.samples_df()
sealed = samples[(samples["trial"] == result.best_trial) & (samples["split"] == "test")]
sealed.loc[sealed["score"] < 1, ["target", "response"]].head(8)""",
        "Where it still fails on test rows: what was wanted, and what came.",
    ),
    "french_phrases": Story(
        """# English phrases to French

120 phrases that we wrote, scored by chrF (Popović 2015) against our translation. There is no right or wrong here, only
nearer and farther, so the verdict is a permutation test on the rows' differences.""",
        600,
        """samples = result.samples_df()
sealed = samples[(samples["trial"] == result.best_trial) & (samples["split"] == "test")]
sealed.sort_values("score")[["target", "answer", "score"]].iloc[[0, 1, 2, -3, -2, -1]]""",
        "The three worst and the three best of the test rows.",
    ),
    "word_problems": Story(
        """# Word problems for a very small model

150 problems of one or two steps (`make_problems.py`), read by the number at the end of the answer. A model of 135
million parameters can hardly do this by itself. Can a prompt help it?""",
        300,
        """samples = result.samples_df()
sealed = samples[(samples["trial"] == result.best_trial) & (samples["split"] == "test")]
sealed[["target", "answer", "response"]].head(8)""",
        "What it answers on test rows.",
    ),
}


def cells(story: Story) -> list[Any]:
    """The cells of a notebook."""
    found = [
        (TEXT, story.introduction),
        (CODE, "import prompt_search as ps\nfrom study import study\n\nstudy.data"),
        (CODE, "study.space()"),
        (TEXT, "The default prompt: every choice at its first option."),
        (CODE, "study.prompt()"),
        (
            TEXT,
            """Can a search pay at all? A preflight asks at most 60 requests, which the search finds stored.""",
        ),
        (CODE, f"study.preflight(ps.Budget(calls={story.calls}))"),
        (
            TEXT,
            """Search, then compare winner and default on rows that the search never saw. The same cell resumes, and
costs nothing once it is done.""",
        ),
        (CODE, f"result = study.run(ps.Budget(calls={story.calls}))\nresult"),
        (TEXT, "The winner as it is sent, and how it differs from the default."),
        (CODE, "print(result.best.text)"),
        (CODE, "print(result.baseline.diff(result.best))"),
        (TEXT, "Which choice mattered: what each option adds to the score, and the interval of that."),
        (CODE, "result.effects_df().head(8)"),
        (TEXT, story.remark),
        (CODE, story.failures),
        (TEXT, "What was sent, by role."),
        (CODE, "result.ledger_df()"),
    ]
    return [make(text, id=f"cell-{number}") for number, (make, text) in enumerate(found)]


def execute(name: str, folder: Path) -> Any:
    """A notebook, executed in a folder that holds the experiment."""
    notebook = nbformat.v4.new_notebook(cells=cells(STORIES[name]))
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)  # time stamps of this run
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description="Write and execute the experiments' notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(STORIES)}")
    names = parser.parse_args().names or list(STORIES)
    if unknown := [name for name in names if name not in STORIES]:
        parser.error(f"there is no experiment {unknown[0]!r}; there are {', '.join(STORIES)}")
    for name in names:
        nbformat.write(execute(name, HERE / name), HERE / name / f"{name}.ipynb")


if __name__ == "__main__":
    main()
