"""Whether studies run on real servers with no setting but the URL, and what is refused on the way.

    python experiments/benchmarks/real_servers.py [--litellm PATH] [--calls 60] [--only NAME ...]

llama.cpp's server runs in this process with the embedded model and three chat templates: the model's own, one like
Gemma's that refuses the system role and two messages in a row from one role (llama.cpp joins a system message with the
user's where it finds that the template refuses it), and a strict one that refuses it where llama.cpp does not find out.
With ``--litellm``, the path of the program ``litellm`` (of an environment with ``litellm[proxy]``), its proxy runs in
front of llama.cpp as gateways do: it takes a model for OpenAI's o3-mini, gpt-5-mini, Mistral's and Perplexity's, and
refuses or drops their parameters.

On each server the templates ``classify`` (three answer forms), ``extract`` and ``solve`` are searched with a few calls.
The table has, for each study: calls, refused requests, what was learned, the verdict and its test rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd

import prompt_search as ps
from prompt_search.llm.local_weights import BUILT_IN, resolve

MESSAGES: Final = Path(__file__).parents[1] / "support_intents" / "messages.csv"
TURNS: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ALTERNATING: Final = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% endfor %}"
)
SYSTEM: Final = "{{ raise_exception('System role not supported') }}{% endif %}"
CHAT_TEMPLATES: Final = {
    "llama.cpp": None,
    "llama.cpp, like Gemma": "{% if messages[0]['role'] == 'system' %}" + SYSTEM + ALTERNATING + TURNS,
    "llama.cpp, strict": (
        "{% if messages[0]['role'] == 'system' and messages[0]['content'] | length > 40 %}" + SYSTEM + TURNS
    ),
}
GATEWAY: Final[dict[str, dict[str, object]]] = {
    "o3-mini": {"model": "openai/o3-mini"},
    "gpt-5-mini": {"model": "openai/gpt-5-mini"},
    "mistral-small": {"model": "mistral/mistral-small"},
    "sonar": {"model": "perplexity/sonar"},
    "o3-mini-dropping": {"model": "openai/o3-mini", "drop_params": True},
}
"""What LiteLLM takes llama.cpp's model for."""

NAMES: Final = ("Ada", "Boris", "Chen", "Dora", "Emil", "Fatima", "Goran", "Hana")
PLACES: Final = ("Lisbon", "Oslo", "Quito", "Turin", "Kyoto", "Accra")


@contextmanager
def llama_server(chat_template: str | None) -> Iterator[str]:
    """llama.cpp's server with the embedded model; yields its base URL."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(resolve(BUILT_IN))
    parameters.model_alias = {"smollm"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.ui = False
    parameters.verbosity = -1
    parameters.warmup = False
    parameters.n_parallel = 1
    parameters.n_ctx = 4096
    parameters.n_threads_http = 64
    if chat_template is not None:
        parameters.chat_template = chat_template
        parameters.use_jinja = True
    server = xllamacpp.Server(parameters)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server


@contextmanager
def litellm_proxy(program: str, upstream: str, port: int = 8765) -> Iterator[str]:
    """LiteLLM's proxy in front of a server; yields its base URL."""
    listed = [
        {"model_name": name, "litellm_params": {**settings, "api_base": upstream, "api_key": "none"}}
        for name, settings in GATEWAY.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"  # JSON is YAML
        config.write_text(json.dumps({"model_list": listed, "litellm_settings": {"num_retries": 0}}))
        process = subprocess.Popen(
            [program, "--config", str(config), "--port", str(port), "--num_workers", "1"],
            env={**os.environ, "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health/liveliness")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait()


def _wait_for(url: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def studies(model: ps.Model) -> Iterator[tuple[str, ps.Study]]:
    """A study of each task."""
    messages = ps.Dataset.read(MESSAGES, target="intent")
    forms = {
        "text": ps.Label(messages.labels),
        "json": ps.Label(messages.labels, mode="json"),
        "logprobs": ps.Label(messages.labels, mode="logprobs"),
    }
    yield (
        "classify",
        ps.Study(template=ps.Template.read("classify"), data=messages, model=model, answer=ps.choice(forms)),
    )
    draw = random.Random(0)
    people = [(draw.choice(NAMES), draw.choice(PLACES), draw.randint(18, 80)) for _ in range(60)]
    facts = pd.DataFrame(
        {
            "text": [f"{name}, who is {age}, moved to {place} last year." for name, place, age in people],
            "output": [json.dumps({"name": name, "age": age, "place": place}) for name, place, age in people],
        }
    )
    kinds = {"name": {"type": "string"}, "age": {"type": "integer"}, "place": {"type": "string"}}
    schema = {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}
    meanings = {"name": "first name", "age": "age in years", "place": "city"}
    yield (
        "extract",
        ps.Study(
            template=ps.Template.read("extract"),
            data=ps.Dataset(facts, target="output"),
            model=model,
            answer=ps.Json(schema, max_tokens=48),
            context={"schema_fields": meanings},
        ),
    )
    numbers = [(draw.randint(2, 9), draw.randint(2, 9)) for _ in range(60)]
    problems = pd.DataFrame(
        {
            "question": [f"A box holds {a} pens. How many pens do {b} such boxes hold?" for a, b in numbers],
            "answer": [a * b for a, b in numbers],
        }
    )
    yield (
        "solve",
        ps.Study(
            template=ps.Template.read("solve"),
            data=ps.Dataset(problems, target="answer"),
            model=model,
            answer=ps.Number(max_tokens=48),
        ),
    )


def row(server: str, task: str, result: ps.Result, seconds: float) -> dict[str, Any]:
    """A line of the table."""
    calls = result.calls_df()
    return {
        "server": server,
        "task": task,
        "calls": int(calls["attempts"].sum()),
        "refused": int(calls["error"].notna().sum()),
        "verdict": str(result.verdict),
        "rows": result.verdict.rows,
        "seconds": round(seconds),
        "learned": "; ".join(result.summary.get("dialect", [])) or "nothing",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", help="the program litellm")
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--only", nargs="*", help="names of servers")
    arguments = parser.parse_args()
    lines = []
    with ExitStack() as stack:
        urls = {name: stack.enter_context(llama_server(text)) for name, text in CHAT_TEMPLATES.items()}
        served = [(name, ps.Model("smollm", base_url=url)) for name, url in urls.items()]
        if arguments.litellm:
            url = stack.enter_context(litellm_proxy(arguments.litellm, urls["llama.cpp"]))
            served += [(f"LiteLLM, {name}", ps.Model(name, base_url=url)) for name in GATEWAY]
        for name, model in served:
            if arguments.only and name not in arguments.only:
                continue
            for task, study in studies(model):
                started = time.monotonic()
                result = study.run(ps.Budget(calls=arguments.calls))
                lines.append(row(name, task, result, time.monotonic() - started))
                print(lines[-1], flush=True)
    print(pd.DataFrame(lines).to_string(index=False))


if __name__ == "__main__":
    main()
