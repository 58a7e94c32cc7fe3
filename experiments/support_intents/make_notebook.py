"""Write and execute ``support_intents.ipynb``: python experiments/support_intents/make_notebook.py"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent

TEXT, CODE = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell

CELLS = [
    (
        TEXT,
        """# Which prompt routes our customers' messages?

288 messages in six intents (see [LABELS.md](LABELS.md)), the embedded model SmolLM2-135M-Instruct, 600 requests.
The template is the shipped `classify`; wording, format, shots and the way the answer is read are choices.""",
    ),
    (CODE, "import prompt_search as ps\nfrom study import study\n\nstudy.data"),
    (CODE, "study.space()"),
    (TEXT, "The default prompt: every choice at its first option."),
    (CODE, "study.prompt()"),
    (
        TEXT,
        """Search, then compare winner and default on rows that the search never saw. The same cell resumes, and
costs nothing once it is done.""",
    ),
    (CODE, "result = study.run(ps.Budget(calls=600))\nresult"),
    (TEXT, "The table of candidates, best first."),
    (
        CODE,
        """columns = ["trial", "state", "score", "score_low", "score_high", "search_rows", "answer", "shots"]
result.ranking()[[*columns, "instruction"]].head(8)""",
    ),
    (TEXT, "The winner as it is sent, and how it differs from the default."),
    (CODE, "print(result.best.text)"),
    (CODE, "print(result.baseline.diff(result.best))"),
    (TEXT, "Where it still fails on sealed rows: target against answer."),
    (
        CODE,
        """samples = result.samples_df()
sealed = samples[(samples["trial"] == result.best_trial) & (samples["split"] == "test")]
sealed.groupby(["target", "answer"]).size().unstack(fill_value=0)""",
    ),
    (TEXT, "What was sent: requests, tokens, and how much of the prompts the server had in its cache."),
    (
        CODE,
        """calls = result.calls_df()
calls.groupby("split")[["attempts", "prompt_tokens", "cached_tokens", "completion_tokens"]].sum()""",
    ),
]


def main() -> None:
    cells = [make(text, id=f"cell-{number}") for number, (make, text) in enumerate(CELLS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)  # time stamps of this run
    nbformat.write(notebook, HERE / "support_intents.ipynb")


if __name__ == "__main__":
    main()
