"""What commands work on: study files, templates and the embedded model's weights."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_search.cli.options import DEFAULT_STORAGE, OWN_MODEL, Overrides
from prompt_search.cli.terminal import hide_keys, say
from prompt_search.errors import InputError, PromptSearchError, StudyError

if TYPE_CHECKING:
    from prompt_search.llm.model import Model
    from prompt_search.metrics.base import Metric
    from prompt_search.metrics.objective import Objective
    from prompt_search.prompts.growing.proposer import Proposer
    from prompt_search.prompts.template import Template
    from prompt_search.study.study import Study


def load_study(spec: str, overrides: Overrides | None = None) -> Study:
    """The study that a file defines: the one named after the colon, else ``study``, else the only one.

    Args:
        spec: ``FILE.py`` or ``FILE.py:name``.
        overrides: settings that replace those of the file; with them the study has a storage, and the weights of the
            embedded model are fetched when it needs them.

    Raises:
        StudyError: there is no such file or study, or the file raises an error; with file and line.
        InputError: the settings do not fit the study.
    """
    path, _, name = spec.partition(".py:")
    file = Path(f"{path}.py" if name else spec)
    if file.suffix == ".j2":
        raise StudyError(
            f"{file}: a template alone has no rows and no model; give the study file that reads it, or make one with: "
            "prompt-search init DATA --target COLUMN"
        )
    if file.suffix != ".py":
        raise StudyError(f"{file}: a study file is named FILE.py or FILE.py:name; give one")
    if not file.is_file():
        raise StudyError(f"{file}: there is no such study file; make one with: prompt-search init DATA --target COLUMN")
    defined = _executed(file)
    from prompt_search.study.study import Study  # after what may be wrong with the file, which takes no time to say

    studies = {key: value for key, value in defined.items() if isinstance(value, Study)}
    for study in studies.values():
        hide_keys(models_of(study))
    chosen = name or ("study" if "study" in studies or len(studies) != 1 else next(iter(studies)))
    if chosen in studies:
        return studies[chosen] if overrides is None else _overridden(studies[chosen], overrides)
    if not studies:
        raise StudyError(f"{file}: the file defines no Study; add one: study = ps.Study(...)")
    there = ", ".join(f"{file}:{key}" for key in studies)
    raise StudyError(f"{file}: the file defines no Study named {chosen!r}; give one of {there}")


def load_metric(spec: str) -> Metric:
    """The function that a file defines as ``FILE.py:NAME``.

    Raises:
        StudyError: there is no such file or function, or the file raises an error.
    """
    path, _, name = spec.rpartition(":")
    file = Path(path)
    if file.suffix != ".py" or not file.is_file():
        raise StudyError(f"{file}: there is no such file; give a metric as FILE.py:NAME")
    found = _executed(file).get(name)
    if not callable(found):
        raise StudyError(f"{file}: the file defines no function {name!r}; give a metric as FILE.py:NAME")
    metric: Metric = found
    return metric


def _executed(file: Path) -> dict[str, object]:
    """The names that a study file defines; it may import modules of its folder."""
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        return runpy.run_path(str(file))
    except Exception as error:
        raise StudyError(_located(file, error)) from None
    except SystemExit as error:
        raise StudyError(
            f"{file}: the study file ends the program with exit code {error.code!r}; remove that call"
        ) from None


def _located(file: Path, error: Exception) -> str:
    """An error of a study file in one line, with the line of the file that it comes from."""
    text = str(error) if isinstance(error, PromptSearchError) else f"{type(error).__name__}: {error}"
    name, line = str(file), None
    if isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error.msg}"
        name, line = error.filename or name, error.lineno
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if Path(frame.filename).resolve() == file.resolve():
                line = frame.lineno
    return f"{name}{f' line {line}' if line else ''}: {text}"


def _overridden(study: Study, given: Overrides) -> Study:
    """The study with the settings of the command line."""
    model = _model(study, given)
    settings: dict[str, object] = {
        "model": model,
        "proposer": _proposer(study, given, model),
        "prior": given.prior,
        "max_concurrency": given.max_concurrency,
        "seed": given.seed,
        "storage": given.storage or study.storage or DEFAULT_STORAGE,
        "name": given.name,
        "data": None if given.limit is None else study.data.head(given.limit),
        "executor": given.scheduler,
        "batch": given.batch or None,
        "objective": _objective(study, given),
    }
    changed = study.replace(**{name: value for name, value in settings.items() if value is not None})
    hide_keys(models_of(changed))
    if any(model.is_local and model.gguf == model.name for model in models_of(changed)):
        fetch_embedded_model()
    return changed


def _objective(study: Study, given: Overrides) -> Objective | None:
    """The study's objective with the weights and caps of the command line; None without any there.

    Raises:
        InputError: there is no such weight, or it is a wrong number.
    """
    from prompt_search.metrics.objective import Objective

    own = {} if study.objective is None else study.objective.to_dict()
    return Objective.from_dict({**own, **given.objective}) if given.objective else None


def _model(study: Study, given: Overrides) -> Model | None:
    """The model of the command line, or the study's at another address; None where neither is given.

    Headers, query and version of a study's model belong to the address that it names, and go to no other.
    """
    from dataclasses import replace

    from prompt_search.llm.model import Model

    settings = model_settings(given)
    if given.model is not None:
        return Model.parse(given.model, **settings)
    changed = {name: value for name, value in settings.items() if value is not None}
    if not changed:
        return None
    if len(study.models) > 1:
        option = {"headers": "header"}.get(first := next(iter(changed)), first).replace("_", "-")
        raise InputError(f"--{option} needs --model, because the study has several models; give both")
    if given.base_url is not None:
        changed = {"gguf": None, "headers": None, "query": None, "api_version": None, **changed}
    return replace(study.models[0], **changed)


def models_of(study: Study) -> list[Model]:
    """All models that a study asks: those to choose from, the judge's and the proposer's."""
    return study.plan.settings.asked_models


def _proposer(study: Study, given: Overrides, model: Model | None) -> Proposer | None:
    """The study's proposer with the model of the command line, or with the study's model at another address; None where
    neither is given.

    Args:
        study: the study.
        given: the command line.
        model: the model that it gives the study.
    """
    from dataclasses import replace

    from prompt_search.prompts.growing.proposer import Proposer

    own = study.proposer
    if given.propose is not None:
        asked = _proposing_model(given.propose, study.models if model is None else [model])
    elif own is None or model is None or given.model is not None or not _same_server(own.model, study.models[0]):
        return None
    else:  # the study's model was moved to another address, and the proposer is where it was
        asked = replace(model, name=own.model.name, price=own.model.price)
    if own is None:
        return Proposer(asked)
    return Proposer(asked, own.operators, own.share, own.max_tokens, own.request)


def _proposing_model(name: str, models: Sequence[Model]) -> Model:
    """The model that proposes: one of a study's models, or another one on their server.

    Raises:
        InputError: it is no model's name, or the study's models leave it open which one or which server is meant.
    """
    from dataclasses import replace

    from prompt_search.prompts.growing.proposer import named_model

    if name == OWN_MODEL:
        if len(models) > 1:
            names = ", ".join(model.name for model in models)
            raise InputError(f"--propose needs a MODEL, because the study has several ({names}); give one of them")
        return models[0]
    alone = named_model(name)
    served = [model for model in models if not model.is_local]
    if alone.is_local or not served:
        return alone
    if not all(_same_server(model, served[0]) for model in served):
        raise InputError(
            f"--propose {name} is on no one server, because the study's models are on several; write "
            f"proposer=ps.Model({name!r}, base_url=...) in the study file"
        )
    # Price and limits are those of another model.
    other = replace(served[0], name=name, price=None, requests_per_minute=None, tokens_per_minute=None)
    return next((model for model in served if model.name == name), other)


def _same_server(model: Model, other: Model) -> bool:
    """Whether two models are reached in the same way."""
    from prompt_search.llm.model import OF_SERVERS

    return all(getattr(model, name) == getattr(other, name) for name in ("gguf", *OF_SERVERS))


def model_settings(given: Overrides) -> dict[str, Any]:
    """The settings of a model on the command line, as `Model.parse` takes them; None where they are not given."""
    return {
        "base_url": given.base_url,
        "api_key_env": given.api_key_env,
        "api_version": given.api_version,
        "headers": _hidden(given.headers or (), "--header") or None,
        "query": _hidden(given.query or (), "--query") or None,
    }


def _hidden(given: Sequence[str], option: str) -> dict[str, str]:
    """Headers or parameters of the query by name from ``NAME=VARIABLE``; what may be a key is not quoted.

    >>> _hidden(["X-Team=TEAM"], "--header")
    {'X-Team': '${TEAM}'}
    """
    values: dict[str, str] = {}
    for text in given:
        name, _, variable = (part.strip() for part in text.partition("="))
        if not re.fullmatch(r"\w+", variable):
            raise InputError(
                f"{option} must be NAME=VARIABLE such as X-Team=TEAM, where an environment variable holds the value; "
                f"give one for {name.split(':')[0] or 'each'}"
            )
        values[name] = f"${{{variable}}}"
    return values


def watched(study: Study) -> Study:
    """The study, whose trials are written for optuna-dashboard while it runs."""
    from prompt_search.storage.database import shown_url

    live = study.replace(mirror="live")
    say(f"watch it with: optuna-dashboard {shlex.quote(shown_url(live.storage or DEFAULT_STORAGE))}", err=True)
    return live


def load_template(file: str) -> Template:
    """A template without a study, with placeholders for the labels, which only the data of a study has."""
    from prompt_search.prompts.template import Template

    return Template.read(file).with_context({"labels": ["{label 1}", "{label 2}"]})


def fetch_embedded_model() -> Path:
    """The path of the embedded model's weights, which are fetched with a progress bar when they are missing."""
    from prompt_search.llm import local

    if local.built_in_path().exists():
        return local.fetch()
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("fetching the embedded model"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("fetch", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return local.fetch(report)
