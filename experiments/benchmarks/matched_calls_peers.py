"""One peer's prompt search, in the peer's own environment; `matched_calls.py` starts it.

    peers/bin/python experiments/benchmarks/matched_calls_peers.py METHOD SPEC.json OUT.json

SPEC says what to search on and where the model is; the endpoint there counts the requests and refuses what is over
the limit. At the end the best prompt goes through the held-out inputs, at an address a row, where the endpoint notes
what is asked. OUT gets ``prompt`` or ``error``. Imports the peer and the standard library alone. Settings that are
not the peer's own defaults are explained where they are made.
"""

from __future__ import annotations

import json
import random
import sys
import traceback
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

Spec = dict[str, Any]

VALIDATION_ROWS = 50  # GEPA asks for the smallest validation set that is large enough, and gives no number
MANY = 1_000_000


def endpoint(spec: Spec, path: str, **body: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{spec['url']}/{path}", json.dumps(body).encode(), timeout=60) as response:
        found: dict[str, Any] = json.load(response)
    return found


def score(spec: Spec, answer: object, target: str) -> float:
    """By the benchmark's own reading and metric, the same for every method."""
    return float(endpoint(spec, "score", answer=str(answer), target=target)["score"])


def dspy_program(spec: Spec, compiled: Callable[[Any, Any, Any, list[Any]], Any]) -> str:
    """What both DSPy methods share: models, signature, rows, and the walk over the held-out inputs."""
    import dspy  # type: ignore[import-not-found,unused-ignore]

    dspy.configure_cache(enable_disk_cache=False)  # answers of other runs would be free
    name, there = f"openai/{spec['model']}", {"api_base": f"{spec['url']}/v1", "api_key": "unused", "timeout": 600}
    task = dspy.LM(name, temperature=0, max_tokens=spec["tokens"][0], **there)
    proposer = dspy.LM(name, temperature=1.0, max_tokens=spec["tokens"][1], **there)
    dspy.configure(lm=task)
    given, wanted = spec["input"], spec["output"]
    label = Literal[tuple(spec["labels"])] if spec["labels"] else str
    fields = {given: (str, dspy.InputField()), wanted: (label, dspy.OutputField())}
    rows = [dspy.Example({given: row["x"], wanted: row["y"]}).with_inputs(given) for row in spec["rows"]]
    program = compiled(dspy, dspy.Predict(dspy.Signature(fields, spec["instructions"][0])), proposer, rows)

    def note(number: int) -> None:
        noting = task.copy(api_base=f"{spec['url']}/held-out/{number}/v1", cache=False)
        # An answer that DSPy cannot parse is no loss: what was asked is noted.
        with dspy.context(lm=noting), suppress(dspy.utils.exceptions.AdapterParseError):
            program(**{given: spec["held_out"][number]})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(len(spec["held_out"]))))
    return f"{program.signature.instructions}\n\nexamples: {[dict(demo) for demo in program.demos]}"


def mipro(spec: Spec) -> str:
    def compiled(dspy: Any, program: Any, proposer: Any, rows: list[Any]) -> Any:
        def metric(example: Any, prediction: Any, trace: Any = None) -> float:
            return score(spec, prediction[spec["output"]], example[spec["output"]])

        # By default ten answers that cannot be parsed end it, which a small model soon gives; so they score 0.
        optimizer = dspy.MIPROv2(
            metric=metric, auto="light", prompt_model=proposer, seed=9 + spec["seed"], max_errors=MANY
        )
        return optimizer.compile(program, trainset=rows)

    return dspy_program(spec, compiled)


def gepa(spec: Spec) -> str:
    def compiled(dspy: Any, program: Any, proposer: Any, rows: list[Any]) -> Any:
        def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
            right, given = gold[spec["output"]], pred[spec["output"]]
            found = score(spec, given, right)
            feedback = "Correct." if found == 1 else f"The answer {given!r} is wrong; the right answer is {right!r}."
            return dspy.Prediction(score=found, feedback=feedback)

        def stop(state: Any) -> bool:  # its own limit counts neither reflections nor second attempts at a format
            return bool(endpoint(spec, "left")["left"] == 0)

        limit, extra = spec["calls"], {"stop_callbacks": [stop]}
        optimizer = dspy.GEPA(
            metric=metric, max_metric_calls=limit, reflection_lm=proposer, seed=spec["seed"], gepa_kwargs=extra
        )
        size = min(VALIDATION_ROWS, len(rows) // 2)
        return optimizer.compile(program, trainset=rows[size:], valset=rows[:size])

    return dspy_program(spec, compiled)


def promptolution(spec: Spec, method: str) -> str:
    """CAPO and EvoPromptGA: the README's "full control", with the hand-written instructions to start from.

    Labels are read by its FirstOccurrencePredictor, which reads as the benchmark does; other answers by its
    MarkerBasedPredictor, which takes the whole answer where the markers are missing.
    """
    import numpy as np
    import pandas as pd
    from promptolution import llms, optimizers, predictors, tasks, utils  # type: ignore[import-not-found,unused-ignore]

    random.seed(spec["seed"])
    np.random.seed(spec["seed"])
    # A batch takes long on a slow server; the defaults are 200 s a request and 500 s a batch.
    common = {"api_url": f"{spec['url']}/v1", "api_key": "unused", "model_id": spec["model"]}
    common |= {"call_timeout_s": 3600.0, "gather_timeout_s": 36000.0}
    downstream = llms.APILLM(max_tokens=spec["tokens"][0], call_kwargs={"temperature": 0}, **common)
    meta = llms.APILLM(max_tokens=spec["tokens"][1], **common)
    frame = pd.DataFrame({row["x"]: row for row in spec["rows"]}.values())  # it mixes up rows where some are equal
    given = {"task_description": spec["instructions"][0], "eval_strategy": "sequential_block"}
    given["seed"] = 42 + spec["seed"]
    if spec["labels"]:
        predictor = predictors.FirstOccurrencePredictor(downstream, [label.lower() for label in spec["labels"]])
        task = tasks.ClassificationTask(frame, **given)
    else:
        predictor = predictors.MarkerBasedPredictor(downstream)
        given |= {"y_column": "y", "reward_columns": ["y"]}
        task = tasks.RewardTask(frame, lambda answer, y: score(spec, answer, y), **given)
    optimizer = getattr(optimizers, method)(
        predictor=predictor, meta_llm=meta, task=task, initial_prompts=spec["instructions"]
    )
    optimizer.optimize(n_steps=MANY)  # a refused request ends it in good order, as does any other error
    if len(optimizer.scores):
        best = optimizer.prompts[0]
    elif task.eval_cache:  # by prompt, row and target: the calls ended within the first step
        best = utils.Prompt(pd.Series(task.eval_cache).groupby(level=0).mean().idxmax())
    else:
        raise RuntimeError("the calls were used up before a prompt was scored")
    for number, text in enumerate(spec["held_out"]):
        downstream.client.base_url = f"{spec['url']}/noted/{number}/v1"
        predictor.predict([str(best)], [text])
    return str(best)


METHODS: dict[str, Callable[[Spec], str]] = {
    "mipro": mipro,
    "gepa": gepa,
    "capo": lambda spec: promptolution(spec, "CAPO"),
    "evoprompt": lambda spec: promptolution(spec, "EvoPromptGA"),
}


def main() -> None:
    method, source, target = sys.argv[1:]
    try:
        found = {"prompt": METHODS[method](json.loads(Path(source).read_text(encoding="utf-8")))}
    except Exception as error:  # whatever it is, it is this run's result
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
    Path(target).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
