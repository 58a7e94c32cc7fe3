"""The arguments of a judge, checked before any request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

from prompt_search._first_tries import named
from prompt_search._names import check_name
from prompt_search._template_files import read_template_file
from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.messages import ANSWER_LIMITS
from prompt_search.metrics.scale import FIRST, SECOND, TIE, AnyScale, Scale
from prompt_search.prompts.environment import FUNCTIONS
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.own_parameters import own_parameters
from prompt_search.prompts.requests.request_template import check_variables, compiled, members_read, variables_of
from prompt_search.prompts.template import Template

READS: Final = ("row", "answer", "target")
"""What a judge may be shown of an answer: the fields of its row, the answer itself, the row's target."""

PAIR: Final = ("first", "second")
"""The variables of a template that compares two answers."""

ABOUT: Final = ("scale", "levels", "explain", "mark")
"""What a template may read besides: the scale in words, its levels, whether a reason is wanted, and the mark."""

SHIPPED: Final[Mapping[str, Any]] = {
    "quality": (1, 5),
    "reference": {"wrong": 0.0, "partly": 0.5, "right": 1.0},
    "pairwise": None,
}
"""The templates of the package, each with the scale that it has where none is given."""

PAIR_SCALE: Final = Scale(scores={SECOND: 0.0, TIE: 0.5, FIRST: 1.0}, numbers=False)
"""The scale of a judge of two answers: how good it is for the first."""

FIRST_BETTER: Final = {1: FIRST, 0: TIE, -1: SECOND}
"""Which of two answers is better, by the sign of how much the first one is."""

PAIR_SAID: Final = f"{FIRST} or {SECOND} for the better answer, or {TIE}"
"""It in words."""

ROOM_FOR_RATING, ROOM_FOR_REASON = 8, 160
"""Number of tokens of an answer without and with a reason, where nothing else is said."""

_SET_ELSEWHERE: Final = {
    "messages": "the template writes them",
    "model": "write model=",
    "n": "write repeats=",
    "stream": "answers are read as a whole",
    "logprobs": "write weighted=",
    **dict.fromkeys(ANSWER_LIMITS, "write max_tokens= of the judge"),
}


def template_of(given: object) -> tuple[str, str]:
    """The name and the text of a template; the name is empty for a text.

    Raises:
        InputError, TemplateError: it is none, or cannot be read.
    """
    if isinstance(given, Prompt | Template):
        return ("" if given.name in ("prompt", "template") else given.name), given.source
    if isinstance(given, str) and ("\n" in given or "{" in given):
        return "", given
    if not isinstance(given, str | Path):
        raise InputError(
            f"a judge takes a template's name, path or text, a Prompt or a Template, not {named(given)}; write "
            "ps.Judge('quality', model=...)"
        )
    folder = resources.files("prompt_search") / "_templates" / "judge"
    source = read_template_file(given, {name: folder / f"{name}.j2" for name in SHIPPED}, "judge's template")
    return Path(given).stem, source


def reads_of(given: object) -> tuple[str, ...]:
    """What a judge may see.

    Raises:
        InputError: it is no list of such names, or has no answer.
    """
    if isinstance(given, str) or not isinstance(given, Sequence) or not {*given} <= {*READS} or "answer" not in given:
        raise InputError(f"reads= lists what a judge may see of {', '.join(READS)}, with answer, got {given!r}")
    return tuple(given)


def context_of(given: object) -> dict[str, Any]:
    """Further variables of a template, as values of their own.

    Raises:
        InputError: they are no JSON values by name, or a judge has such a variable already.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InputError(f"context= takes a dict of variables by name, not {named(given)}; write {{'rubric': '...'}}")
    for name in given:
        check_name(name, "a variable of the context")
        if name in (*READS, *PAIR, *ABOUT):
            raise InputError(f"context= cannot set {name!r}, which a judge has already; give it another name")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(given), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"context= must be JSON: {error}; give texts, numbers, lists or dicts") from None
    return copied


def check_template(
    source: str, name: str, *, reads: Sequence[str], context: Mapping[str, Any], against: str | None
) -> None:
    """Refuse a template that is broken, reads what it may not, or no answer.

    Raises:
        TemplateError, InputError: with the cure.
    """
    compiled(source, name)
    read = variables_of(source, name)
    if choices := sorted(read & {*FUNCTIONS}):
        raise TemplateError(
            f"a judge is one prompt, and this template has {choices[0]}(...); search its choices in a study, and give "
            "the judge result.best",
            template=name,
        )
    check_variables(source, name, (*READS, *PAIR, *ABOUT, "rubric", *context), "a judge")
    for each in sorted(read & {*READS} - {*reads}):
        raise TemplateError(
            f"the template reads {each}, which reads= leaves out; add it there, or drop it from the template",
            template=name,
        )
    pair = read & {*PAIR}
    shown = "answer" in read or ("row" in read and "answer" in members_read(source, name))
    if len(pair) == 1 or (pair and "answer" in read):
        raise TemplateError(
            "a judge of two answers reads first and second, and no answer beside them; correct the template",
            template=name,
        )
    if not pair and not shown:
        raise TemplateError(
            "a judge has to see the answer, and the template does not show it; write {{ answer }}", template=name
        )
    if against is not None and not pair:
        raise InputError("against= names the answer that another one is compared with; use a template such as pairwise")


def scale_of(given: AnyScale | None, template: str, *, pairwise: bool) -> Scale:
    """The scale of a judge with this template.

    Raises:
        InputError: it is none, or a judge of two answers was given one.
    """
    if pairwise:
        if given is not None:
            raise InputError("a judge of two answers says A, B or tie, so it has no scale=; leave it out")
        return PAIR_SCALE
    return Scale.of(SHIPPED.get(template) or (1, 5) if given is None else given)


def check_weighted(weighted: object, scale: Scale) -> None:
    """Refuse to require probabilities where one token cannot tell the levels apart.

    Raises:
        InputError: with the cure.
    """
    if weighted not in (None, True, False):
        raise InputError(f"weighted= takes True, False or None, not {named(weighted)}; leave it out")
    if weighted and not scale.weighable:
        raise InputError(
            f"weighted=True needs levels that differ in their first token, and {scale.levels[0]}, {scale.levels[1]}, … "
            "do not; take a scale such as (1, 5) or ['wrong', 'right'], or leave weighted out"
        )


def parameters_of(request: object) -> dict[str, Any]:
    """The parameters of requests that were given, with the temperature 0 unless another one is.

    Raises:
        InputError: they are no JSON values by name, or are given in another way.
    """
    return {"temperature": 0, **own_parameters(request, "a judge", _SET_ELSEWHERE)}


def check_repeats(count: object, distinct: int, parameters: Mapping[str, Any]) -> None:
    """Refuse repeats that would ask the same question again.

    Args:
        count: the repeats.
        distinct: the number of them that differ at temperature 0.
        parameters: of the requests.

    Raises:
        InputError: with the cure.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"repeats= must be a whole number of at least 1, got {count!r}; give one such as 2")
    if count > distinct and not parameters.get("temperature"):
        raise InputError(
            f"repeats={count} at temperature 0 asks the same question again; give request={{'temperature': 0.7}}, or "
            f"repeats={distinct}"
        )
