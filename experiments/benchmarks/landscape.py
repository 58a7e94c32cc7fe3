"""The whole landscape of a small template: a real model answers every row with every candidate.

    python experiments/benchmarks/landscape.py DATA.csv TEMPLATE.j2 --target label --output DIR/measured/NAME.csv
        [--rows 100] [--most 500] [--answers label logprobs calibrated] [--context FILE.json] [--model local]
        [--base-url URL] [--storage landscape.db] [--seed 0] [--max-concurrency 16]

``search_truth.py --landscapes DIR`` then replays searches on it. With several ``--answers`` the answer form is a choice
like those of the template. All candidates are asked the same rows: the first of a random order that no candidate shows
as an example. The table has one line for each candidate and row, in the order of the candidates, the default first:

- candidate: its number; row: the position in the data;
- a column for each choice: the text of its option, ``(absent)`` where the candidate does not have the choice;
- score: of the study's metric, 0 to 1 for labels;
- margin: by how much the label is right (above 0) or wrong, in log-odds from -6 to 6; empty without log-probabilities.

A candidate is written when it has all rows, and the storage keeps every response: the same command again goes on where
the last one stopped, and asks nothing twice. Exit code 1 where requests failed, so that candidates are missing; 2 where
an argument is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.search_truth_landscapes import ABSENT, OF_ROWS
from prompt_search._files import write_whole
from prompt_search.evaluation.one_prompt.prompt_run import SPLIT, prompt_run
from prompt_search.evaluation.outcome import Outcome
from prompt_search.evaluation.own_thread import in_own_thread

FORMS: dict[str, Callable[[ps.Dataset], ps.Answer]] = {
    "label": lambda data: ps.Label(data.labels),
    "logprobs": lambda data: ps.Label(data.labels, mode="logprobs", top_logprobs=200),
    "calibrated": lambda data: ps.Label(data.labels, mode="logprobs", top_logprobs=200, calibrate="rows"),
    "number": lambda data: ps.Number(),
    "text": lambda data: ps.Text(),
    "word": lambda data: ps.Text(max_tokens=8, first_line=True),
}
"""Answer forms; log-probabilities are asked for as many tokens as llama.cpp gives."""


def study_of(given: argparse.Namespace) -> ps.Study:
    """The study whose candidates are asked; all its rows are search rows."""
    data = ps.Dataset.read(given.data, target=given.target)
    forms = {name: FORMS[name](data) for name in given.answers or ()}
    return ps.Study(
        template=ps.Template.read(given.template),
        data=data,
        model=ps.Model.parse(given.model, base_url=given.base_url),
        answer=ps.choice(forms) if len(forms) > 1 else next(iter(forms.values()), None),
        context=json.loads(given.context.read_text("utf-8")) if given.context else None,
        seed=given.seed,
        storage=given.storage,
        max_concurrency=given.max_concurrency,
        test=[],
    )


def candidates_of(study: ps.Study, most: int) -> list[ps.Candidate]:
    """All candidates of a study.

    Raises:
        InputError: there are more than ``most``, or a choice has the name of another column of the table.
    """
    taken = [name for name in study.space().by_name if name in OF_ROWS]
    if taken:
        raise ps.InputError(f"the choice {taken[0]!r} has the name of a column of the table; give it another name")
    found = list(islice(study.space().candidates(), most + 1))
    if len(found) > most:
        raise ps.InputError(f"the template has more than {most} candidates; remove options, or give a larger --most")
    return found


def rows_of(study: ps.Study, candidates: Sequence[ps.Candidate], count: int) -> list[int]:
    """The rows that every candidate is asked, by position.

    Raises:
        InputError: there are too few that no candidate shows.
    """
    shared = set(study.search_rows).intersection(*(study.rows_for(each) for each in candidates))
    if len(shared) < count:
        raise ps.InputError(f"only {len(shared)} rows are shown by no candidate; give --rows {len(shared)} or less")
    return sorted(random.Random(study.seed).sample(sorted(shared), count))


def asked(study: ps.Study, candidate: ps.Candidate, rows: Sequence[int]) -> list[Outcome]:
    """What a candidate answers, read as `ps.evaluate` does, which keeps no margins."""
    prepared = study.prepared(candidate)
    with prompt_run(
        study.models[0],
        study.data.rows,
        metric=study.metric,
        budget=None,
        count=len(rows),
        storage=study.storage,
        max_concurrency=study.max_concurrency,
        executor=None,
        ends_unread=False,  # a candidate whose answers cannot be read is part of the landscape
    ) as run:

        async def work() -> list[Outcome]:
            async with run.connected() as evaluator:
                found = await evaluator.evaluate_persistently([(prepared, row) for row in rows], SPLIT)
                sent = [outcome for outcome in found if outcome is not None]
                return (await evaluator.reparse(prepared, sent, SPLIT))[1]

        try:
            return in_own_thread(work, run.stop)
        finally:
            run.store.close()


def earlier(output: Path, choices: pd.DataFrame, rows: Sequence[int]) -> pd.DataFrame:
    """The lines that are in the output already.

    Raises:
        InputError: they are of other candidates or rows.
    """
    if not output.exists():
        return pd.DataFrame(columns=[*OF_ROWS[:1], *choices, *OF_ROWS[1:]])
    found = pd.read_csv(output, dtype=str, keep_default_na=False)
    fits = set(found.columns) == {*choices, *OF_ROWS}
    if fits:
        lines = found[["candidate", *choices]].drop_duplicates().set_index("candidate")
        own = choices.set_axis(choices.index.astype(str)).loc[lambda frame: frame.index.isin(lines.index)]
        fits = lines.equals(own.reindex(lines.index)) and set(found["row"]) == {str(row) for row in rows}
    if not fits:
        raise ps.InputError(f"{output} is of another template, data or number of rows; give another --output")
    return found


def measure(study: ps.Study, candidates: Sequence[ps.Candidate], rows: Sequence[int], output: Path) -> int:
    """Ask what is not in the output yet, and write it after each candidate; give the number of those that lack rows."""
    texts = [study.space().texts(each) for each in candidates]
    choices = pd.DataFrame([{name: own.get(name, ABSENT) for name in study.space().by_name} for own in texts])
    table = earlier(output, choices, rows)
    done, lacking = set(table["candidate"]), 0
    for number, candidate in enumerate(candidates):
        if str(number) in done:
            continue
        found = {outcome.row: outcome for outcome in asked(study, candidate, rows) if outcome.score is not None}
        if len(found) < len(rows):
            lacking += 1
            continue
        own = {"candidate": number, **choices.loc[number].to_dict()}
        lines = [{**own, "row": row, "score": found[row].score, "margin": found[row].margin} for row in rows]
        table = pd.concat([table, pd.DataFrame(lines, columns=table.columns, dtype=object)], ignore_index=True)
        table = table.sort_values("candidate", key=lambda column: column.astype(int), kind="stable")
        write_whole(output, [table.to_csv(index=False).encode()])
        mean = sum(line["score"] for line in lines) / len(rows)
        print(f"{number + 1} of {len(candidates)}: {mean:.3f}", file=sys.stderr, flush=True)
    return lacking


def main(arguments: Iterable[str] | None = None) -> int:
    """Measure the landscape, and print what it looks like."""
    parser = argparse.ArgumentParser(description="The scores of all candidates of a small template on the same rows.")
    parser.add_argument("data", type=Path)
    parser.add_argument("template", type=Path)
    parser.add_argument("--target", default="label", help="the column with the correct answers")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--most", type=int, default=500, help="the highest number of candidates")
    parser.add_argument("--answers", nargs="+", choices=list(FORMS), help="default: that of ps.Study")
    parser.add_argument("--context", type=Path, help="a JSON file with values for the template's variables")
    parser.add_argument("--model", default="local")
    parser.add_argument("--base-url")
    parser.add_argument("--storage", type=Path, default=Path("landscape.db"))
    parser.add_argument("--seed", type=int, default=0, help="decides which rows are asked")
    parser.add_argument("--max-concurrency", type=int, default=16)
    given = parser.parse_args(None if arguments is None else list(arguments))
    try:
        study = study_of(given)
        candidates = candidates_of(study, given.most)
        lacking = measure(study, candidates, rows_of(study, candidates, given.rows), given.output)
    except ps.PromptSearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if lacking:
        print(f"candidates without all answers: {lacking} of {len(candidates)}; run the command again", file=sys.stderr)
        return 1
    means = pd.read_csv(given.output).groupby("candidate")["score"].mean()
    print(f"{len(means)} candidates: mean {means.mean():.3f}, highest {means.max():.3f}, lowest {means.min():.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
