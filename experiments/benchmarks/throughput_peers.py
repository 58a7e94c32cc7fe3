"""How fast other packages score a prompt on rows, in their own environment; `throughput.py` starts it.

Each line of the input is a job, each line of the output the seconds it took, by the clock and of processor time.
Imports the peer and the standard library alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

LABELS = ("positive", "negative")
QUESTION = "Is this review positive or negative? Answer with one word."


def dspy(texts: Sequence[str], url: str, concurrency: int) -> Callable[[], None]:
    """`dspy.Evaluate` of a `dspy.Predict` with its own adapter; memory and disk caches are off, as all is new."""
    import dspy  # type: ignore[import-not-found,unused-ignore]

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    model = dspy.LM("openai/fake", api_base=url, api_key="unused", temperature=0, max_tokens=64)
    dspy.configure(lm=model)
    fields = {"text": (str, dspy.InputField()), "label": (Literal[LABELS], dspy.OutputField())}
    program = dspy.Predict(dspy.Signature(fields, QUESTION))
    rows = [dspy.Example(text=text, label="positive").with_inputs("text") for text in texts]
    evaluate = dspy.Evaluate(
        devset=rows,
        metric=lambda row, answer, trace=None: answer.label == row.label,
        num_threads=concurrency,
        display_progress=False,
    )

    def work() -> None:
        found = evaluate(program)
        assert found.score == 100.0, found

    return work


def promptolution(texts: Sequence[str], url: str, concurrency: int) -> Callable[[], None]:
    """Its `FirstOccurrencePredictor` over its `APILLM`."""
    from promptolution import llms, predictors  # type: ignore[import-not-found,unused-ignore]

    model = llms.APILLM(api_url=url, api_key="unused", model_id="fake", max_concurrent_calls=concurrency, max_tokens=8)
    predictor = predictors.FirstOccurrencePredictor(model, list(LABELS))

    def work() -> None:
        answers = predictor.predict([QUESTION] * len(texts), list(texts))[0]
        assert len(answers) == len(texts)
        assert set(answers) == {"positive"}

    return work


METHODS = {"dspy": dspy, "promptolution": promptolution}


def main() -> None:
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        work = METHODS[job["method"]](job["texts"], job["url"], job["concurrency"])
        started, before = time.perf_counter(), time.process_time()
        work()
        seconds = [time.perf_counter() - started, time.process_time() - before]
        print(json.dumps(seconds), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
