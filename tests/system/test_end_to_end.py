"""The whole path on real input: the embedded model, a second server, the public data sets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import prompt_search as ps
from experiments.public_sets.run import CONTEXT, make

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PUBLIC_SETS = Path(os.environ.get("PROMPT_SEARCH_DATA_DIR", ROOT.parent / "shared" / "data"))
CALLS = 40


def intents(model: ps.Model, storage: str) -> ps.Study:
    """A small study on our own messages, with answers read from text and from log-probabilities."""
    data = ps.Dataset.read(ROOT / "experiments" / "support_intents" / "messages.csv", target="intent")
    answer = ps.choice([ps.Label(data.labels, mode="logprobs", top_logprobs=200), ps.Label(data.labels, max_tokens=8)])
    template = ps.Template(
        '{% chat role="user" %}\n{{ choice("task", ["Classify the message.", "What is this about?"]) }}\n'
        'Labels: {{ labels | join(", ") }}\n{% for shot in examples("shots", max=2) %}\n{{ shot.text }}\n'
        "Label: {{ shot.intent }}\n{% endfor %}\n{{ row.text }}\nLabel:\n{% endchat %}\n"
    )
    return ps.Study(template=template, data=data, model=model, answer=answer, storage=storage, name="intents")


@pytest.fixture
def served() -> Iterator[str]:
    """The base URL of the embedded model, served by another process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "prompt_search.cli", "model", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it says where it listens once it does
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()


def test_second_endpoint_gives_the_same_result(tmp_path: Path, served: str) -> None:
    """The same study on another real server has the same trials, samples, winner and sealed scores."""
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    embedded = intents(ps.Model.local(), f"sqlite:///{tmp_path / 'a.db'}").run(CALLS)
    remote = intents(ps.Model(ps.Model.local().name, base_url=served), f"sqlite:///{tmp_path / 'b.db'}").run(CALLS)

    timed = ["latency_s", "cost_usd"]
    assert embedded.trials_df().drop(columns=timed).equals(remote.trials_df().drop(columns=timed))
    columns = ["trial", "row", "split", "answer", "score", "response"]
    assert embedded.samples_df()[columns].equals(remote.samples_df()[columns])
    assert embedded.best == remote.best
    assert remote.summary["calls"] == embedded.summary["calls"] <= CALLS


def test_exported_prompt_sends_what_was_scored(tmp_path: Path) -> None:
    """Exported and read again, the winner's messages are those in the stored requests, and score the same."""
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    study = intents(ps.Model.local(), f"sqlite:///{tmp_path / 'a.db'}")
    result = study.run(CALLS)
    read = ps.Prompt.read(result.best.export(tmp_path / "best.j2"))
    sealed = result.samples_df().query("split == 'test' and trial == @result.best_trial")

    again = ps.evaluate(
        read, study.data, model=ps.Model.local(), rows=sealed["row"].tolist(), storage=study.storage
    ).samples_df()

    assert again["cached"].all()
    assert again["score"].tolist() == sealed["score"].tolist()


@pytest.mark.parametrize("name", list(CONTEXT))
def test_public_set_makes_a_study(name: str) -> None:
    """Each public data set reads, splits and has a space, before any request."""
    if not (PUBLIC_SETS / f"{name}.csv").exists():
        pytest.skip(f"{name}.csv is not in {PUBLIC_SETS}; set PROMPT_SEARCH_DATA_DIR to the folder of the public sets")
    study = make(name, PUBLIC_SETS, model=ps.Model("unused"), seed=0, storage="sqlite://")

    assert len(study.test_rows) == 150
    assert not set(study.test_rows) & set(study.search_rows)
    assert study.space().size()[0] > 100


def test_sealed_rows_are_requested_only_at_the_end(tmp_path: Path) -> None:
    """In the store, every request of the sealed test comes after every one of the search, and none of a sealed row
    before; the report has its tables."""
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    study = intents(ps.Model.local(), f"sqlite:///{tmp_path / 'a.db'}")
    study.enqueue({"task": "What is this about?"})
    result = study.run(60)

    calls = result.calls_df()
    searched, sealed = (calls.loc[calls["split"] == split, "call"] for split in ("search", "test"))
    assert searched.max() < sealed.min()
    assert len(searched) + len(sealed) == len(calls)
    before = ps.open_result(f"sqlite:///{tmp_path / 'a.db'}", "intents")._store.requests("intents")
    texts = [study.data.rows[row]["text"] for row in study.test_rows]
    keys = calls.loc[calls["split"] == "search", "key"]
    assert not any(json.dumps(text, ensure_ascii=False)[1:-1] in before[key] for key in keys for text in texts)
    assert result.test_uses == 1
    assert result.hand_written_trial in (0, 1)
    assert len(result.effects_df()) == sum(len(f.options) for f in study.space().factors if len(f.options) > 1)
    assert result.confusion_df().to_numpy().sum() == result.verdict.rows
    assert set(result.slices_df(study.data, "intent")["trial"]) == {0, result.best_trial}
