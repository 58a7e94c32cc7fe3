"""From response to answer: how the model is asked for an answer of a certain form, and how it is read.

An answer form gives the request parameters that it needs and parses what came back. What cannot be read is a
value, ``Unparsed``: it is counted, never raised.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from prompt_search.answers.label_matching import begins, folded, mention, spaced
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response, TopLogprobs

if TYPE_CHECKING:
    from jsonschema.exceptions import SchemaError, ValidationError
    from jsonschema.protocols import Validator
    from referencing import Specification

    from prompt_search.data.dataset import Dataset

TOP_LOGPROBS = 20
"""How many tokens are asked for with their log-probabilities: the most that OpenAI's API gives."""

LABEL_MODES = ("text", "logprobs", "json")

CALIBRATIONS = ("content-free", "rows")


@dataclass(frozen=True, slots=True, eq=False)
class Unparsed:
    """A response that holds no answer, and why. Falsy, and equal to nothing but itself.

    >>> bool(Unparsed("empty")), Unparsed("empty") == Unparsed("empty")
    (False, False)
    """

    reason: str

    def __bool__(self) -> bool:
        return False


class Answer(ABC):
    """A form of answer. Subclasses are frozen dataclasses with a ``kind`` of their own and a ``name``."""

    __slots__ = ()
    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The request parameters that this form needs, such as ``{"max_tokens": 16}``; each time anew."""

    @property
    def needs_baseline(self) -> bool:
        """Whether ``parse`` needs a baseline: the response to a row with every text field ``"N/A"``."""
        return False

    @abstractmethod
    def parse(self, response: Response, baseline: Response | None = None) -> Any:
        """The answer in a response without error, or ``Unparsed``."""

    def probabilities(self, response: Response, baseline: Response | None = None) -> dict[str, float] | None:
        """The probability of each possible answer, summing to 1; ``None`` where there are none."""
        return None

    @property
    def has_probabilities(self) -> bool:
        """Whether ``probabilities`` gives any, if the server does."""
        return False

    @property
    def needs_calibration(self) -> bool:
        """Whether ``calibrated`` has to be called before ``parse`` reads as the settings say."""
        return False

    @property
    def calibrates_on_rows(self) -> bool:
        """Whether ``calibrated`` can return another form than this one."""
        return False

    def calibrated(self, responses: Sequence[Response], targets: Sequence[Any]) -> Answer:
        """The form calibrated on responses to rows with these targets; itself where there is nothing to fit."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """A JSON description, from which ``from_dict`` makes an equal answer form."""
        settings = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind, **{name: _listed(value) for name, value in settings.items()}}


def from_dict(description: Mapping[str, Any]) -> Answer:
    """The inverse of ``to_dict``; a pydantic model comes back as its JSON schema.

    Raises ``InputError`` for an unknown kind or setting.

    >>> from_dict({"kind": "number", "max_tokens": 8, "name": "n"})
    Number(max_tokens=8, name='n')
    """
    settings = dict(description)
    kind = settings.pop("kind", None)
    if kind not in _KINDS:
        raise InputError(f"an answer must be one of {', '.join(_KINDS)}, not {kind!r}; correct its kind")
    try:
        return _KINDS[kind](**settings)
    except TypeError as error:
        raise InputError(f"an answer of the kind {kind!r} cannot be made: {error}; correct its settings") from None


@dataclass(frozen=True, slots=True)
class Label(Answer):
    """One of a set of labels; the answer is the label as it was given, as text.

    ``mode`` says how it is found:

    - ``text``: the first label mentioned, as whole words, whatever the case; at one place the longest wins.
    - ``logprobs``: the label whose beginning is the likeliest first token. The probabilities of all listed
      tokens that begin exactly one label are summed and normalised; labels that are not listed get 0.
    - ``json``: ``{"label": ...}`` by ``response_format`` with the labels as an enumeration.

    ``calibrate``, in logprobs mode, mends a model's liking for some labels whatever the input:

    - ``rows``: probabilities are divided by their mean over the rows that the prompt was scored on in the search
      (Zhou et al. 2024, "Batch Calibration: Rethinking Calibration for In-Context Learning and Prompt
      Engineering"), times the labels' shares of these rows (Saerens et al. 2002). The factors are learned again
      with every look, are fixed for the sealed test, and are exported as ``weights``, one per label.
    - ``content-free``: probabilities are divided by those for a content-free input (Zhao et al. 2021, "Calibrate
      Before Use: Improving Few-Shot Performance of Language Models"), which takes a call more; a label not listed
      there counts as likely as the least likely token listed.

    ``top_logprobs`` is how many of the likeliest tokens are asked for: OpenAI allows 20, llama.cpp any number. A
    small model often has a label further down: SmolLM2 on SST-2 without the labels in the prompt lists neither in
    8 of 60 answers at 20, in none at 200.

    ``max_tokens`` is 16 for text and 64 for json unless given; logprobs always take one token.

    Raises ``InputError`` for fewer than two labels, an empty one, two that read the same, an unknown mode,
    an unknown ``calibrate`` or one without logprobs, ``weights`` that do not fit, and in logprobs mode for labels
    that begin with the same word.

    >>> Label(["positive", "negative"]).parse(Response(text="It is Positive."))
    'positive'
    """

    kind: ClassVar[str] = "label"
    labels: Sequence[str]
    mode: str = "text"
    _: KW_ONLY
    calibrate: str | None = None
    weights: Sequence[float] = ()
    max_tokens: int | None = None
    top_logprobs: int = TOP_LOGPROBS
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.labels, str):
            raise InputError(f"labels must be a list, not the text {self.labels!r}; write [{self.labels!r}, ...]")
        labels = tuple(map(str, self.labels))
        _check_labels(labels)
        if self.mode not in LABEL_MODES:
            raise InputError(
                f"the mode of a label must be one of {', '.join(LABEL_MODES)}, not {self.mode!r}; choose one"
            )
        if self.calibrate not in (None, *CALIBRATIONS):
            raise InputError(
                f"calibrate must be None or one of {', '.join(CALIBRATIONS)}, not {self.calibrate!r}; choose one"
            )
        if self.calibrate and self.mode != "logprobs":
            raise InputError(f"calibrate needs mode='logprobs', not {self.mode!r}; change one of them")
        weights = tuple(self.weights)
        if weights and (self.calibrate != "rows" or len(weights) != len(labels) or not all(w > 0 for w in weights)):
            raise InputError(
                f"weights are one positive number for each of the {len(labels)} labels, and need calibrate='rows'; "
                f"got {weights}; leave them out to have them learned"
            )
        if self.mode == "logprobs":
            _check_first_tokens(labels)
        tokens = {"text": 16, "logprobs": 1, "json": 64}[self.mode]
        if self.mode != "logprobs" and self.max_tokens is not None:
            tokens = self.max_tokens
        _check_max_tokens(tokens)
        by = {None: "", "rows": "_calibrated", "content-free": "_content_free"}[self.calibrate]
        suffix = ("" if self.mode == "text" else f"_{self.mode}") + by
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "max_tokens", tokens)
        object.__setattr__(self, "name", self.name or f"label{suffix}")

    @property
    def parameters(self) -> dict[str, Any]:
        if self.mode == "logprobs":
            return {"max_tokens": 1, "logprobs": True, "top_logprobs": self.top_logprobs}
        if self.mode == "json":
            schema = {
                "type": "object",
                "properties": {"label": {"type": "string", "enum": list(self.labels)}},
                "required": ["label"],
                "additionalProperties": False,
            }
            return {"max_tokens": self.max_tokens, "response_format": _response_format(schema, strict=True)}
        return {"max_tokens": self.max_tokens}

    @property
    def needs_baseline(self) -> bool:
        return self.calibrate == "content-free"

    @property
    def has_probabilities(self) -> bool:
        return self.mode == "logprobs"

    @property
    def needs_calibration(self) -> bool:
        return self.calibrates_on_rows and not self.weights

    @property
    def calibrates_on_rows(self) -> bool:
        return self.calibrate == "rows"

    def calibrated(self, responses: Sequence[Response], targets: Sequence[Any]) -> Label:
        if not self.calibrates_on_rows:
            return self
        plain = replace(self, weights=())
        read = [plain.probabilities(response) for response in responses]
        seen = [(given, str(target)) for given, target in zip(read, targets, strict=True) if given is not None]
        if not seen:
            return self
        weights = []
        for label in self.labels:
            # Of each label one row more than was seen: what has not come up yet is rare, not impossible.
            expected = (1 + sum(target == label for _, target in seen)) / (len(seen) + len(self.labels))
            mean = math.fsum(given[label] for given, _ in seen) / len(seen)
            weights.append(float(f"{expected / mean:.4g}") if mean else 1.0)  # never listed: nothing to weigh
        return replace(self, weights=tuple(weights))

    def parse(self, response: Response, baseline: Response | None = None) -> str | Unparsed:
        if self.mode == "logprobs":
            return self._likeliest(response, baseline)
        if self.mode == "json":
            return self._from_json(response)
        if not response.text.strip():
            return Unparsed("the response is empty")
        pattern, labels = mention(tuple(self.labels))
        match = pattern.search(folded(response.text))
        if match is None or match.lastgroup is None:
            return Unparsed(f"no label in {_shortened(response.text)}")
        return labels[match.lastgroup]

    def probabilities(self, response: Response, baseline: Response | None = None) -> dict[str, float] | None:
        if self.mode != "logprobs" or not response.logprobs:
            return None
        masses = self._masses(response.logprobs[0])
        factors = self._factors(baseline)
        if factors is None:
            return None
        masses = {label: mass * factors[label] for label, mass in masses.items()}
        total = math.fsum(masses.values())
        return {label: mass / total for label, mass in masses.items()} if total > 0 else None

    def _likeliest(self, response: Response, baseline: Response | None) -> str | Unparsed:
        if not response.logprobs:
            return Unparsed("the response has no log-probabilities; use mode='text' with this server")
        if self._factors(baseline) is None:
            return Unparsed("the content-free response has no log-probabilities to calibrate by")
        probabilities = self.probabilities(response, baseline)
        if probabilities is None:
            tokens = ", ".join(repr(token) for token, _ in response.logprobs[0][:5])
            return Unparsed(f"no label begins with one of the likeliest tokens: {tokens}")
        return max(self.labels, key=probabilities.__getitem__)

    def _masses(self, listed: TopLogprobs) -> dict[str, float]:
        """The probability of the listed tokens that begin each label and no other."""
        masses = dict.fromkeys(self.labels, 0.0)
        for token, logprob in listed:
            begun = [label for label in self.labels if begins(token, label)]
            if len(begun) == 1:
                masses[begun[0]] += math.exp(logprob)
        return masses

    def _factors(self, baseline: Response | None) -> dict[str, float] | None:
        """What calibration multiplies each label's probability by; None where it cannot tell."""
        if self.calibrate != "content-free":
            return dict(zip(self.labels, self.weights or [1.0] * len(self.labels), strict=True))
        if baseline is None or not baseline.logprobs:
            return None
        listed = [math.exp(logprob) for _, logprob in baseline.logprobs[0]]
        # Servers write "not computed" as -9999, which is zero after exp and says nothing.
        least = min((probability for probability in listed if probability > 0), default=0.0)
        if least == 0:
            return None
        return {label: 1 / (mass or least) for label, mass in self._masses(baseline.logprobs[0]).items()}

    def _from_json(self, response: Response) -> str | Unparsed:
        value = _json_value(response, self.max_tokens)
        if isinstance(value, Unparsed):
            return value
        given = value.get("label") if isinstance(value, dict) else None
        for label in self.labels:
            if isinstance(given, str) and spaced(given) == spaced(label):
                return label
        return Unparsed(f"not an object with a known label: {_shortened(response.text)}")


@dataclass(frozen=True, slots=True)
class Number(Answer):
    """A number, as float: the last in the text, or the one that a marker announces.

    Markers are ``####``, ``answer:``, ``answer is`` and ``\\boxed{``; the last one counts, and in
    ``answer: 16 - 7 = 9`` what follows the equals sign. Reads ``1,234.5``, ``$18``, ``50%`` (as 50), ``-3``
    and ``2e3``.

    >>> Number().parse(Response(text="5 + 13 makes $18.00. Answer: $18.00, in 2 days"))
    18.0
    """

    kind: ClassVar[str] = "number"
    max_tokens: int = 256
    _: KW_ONLY
    name: str = "number"

    def __post_init__(self) -> None:
        _check_max_tokens(self.max_tokens)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def parse(self, response: Response, baseline: Response | None = None) -> float | Unparsed:
        number = number_in(response.text)
        return Unparsed(f"no number in {_shortened(response.text)}") if number is None else number


@dataclass(frozen=True, slots=True)
class Text(Answer):
    """The text itself, without white space around it (``strip``), or its first line that is not blank."""

    kind: ClassVar[str] = "text"
    max_tokens: int = 64
    _: KW_ONLY
    strip: bool = True
    first_line: bool = False
    name: str = "text"

    def __post_init__(self) -> None:
        _check_max_tokens(self.max_tokens)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def parse(self, response: Response, baseline: Response | None = None) -> str | Unparsed:
        if not response.text.strip():
            return Unparsed("the response is empty")
        text = response.text
        if self.first_line:
            text = next(line for line in text.splitlines() if line.strip())
        return text.strip() if self.strip else text


@dataclass(frozen=True, slots=True)
class Regex(Answer):
    """What a regular expression (Python's ``re``) finds first in the text.

    ``group`` is the group to return, by number or name: 1 unless given, or the whole match (0) if the
    pattern has no groups. Raises ``InputError`` for a pattern that does not compile and an unknown group.

    >>> Regex(r"<a>(.*?)</a>").parse(Response(text="so <a>42</a>"))
    '42'
    """

    kind: ClassVar[str] = "regex"
    pattern: str
    group: int | str | None = None
    _: KW_ONLY
    max_tokens: int = 64
    name: str = "regex"

    def __post_init__(self) -> None:
        _check_max_tokens(self.max_tokens)
        try:
            compiled = re.compile(self.pattern)
        except re.error as error:
            raise InputError(f"the pattern {self.pattern!r} does not compile: {error}; correct it") from None
        group = min(1, compiled.groups) if self.group is None else self.group
        if group not in range(compiled.groups + 1) and group not in compiled.groupindex:
            raise InputError(
                f"the pattern {self.pattern!r} has no group {group!r}; it has {compiled.groups}, "
                f"named: {', '.join(compiled.groupindex) or 'none'}"
            )
        object.__setattr__(self, "group", group)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def parse(self, response: Response, baseline: Response | None = None) -> str | Unparsed:
        match = re.search(self.pattern, response.text)
        found: str | None = None if match is None else match.group(self.group or 0)
        return Unparsed(f"no match in {_shortened(response.text)}") if found is None else found


@dataclass(frozen=True, slots=True, eq=False)
class Json(Answer):
    """A JSON value by ``response_format``; usually a dict. A fenced code block around it is tolerated.

    ``schema`` is a pydantic model class, which validates and fills defaults (the answer is its
    ``model_dump(mode="json")``), or a JSON schema, which the library ``jsonschema`` checks by Draft 2020-12 or by
    the draft that its ``$schema`` names; ``format`` is a remark there, and is not checked. Nothing is fetched: a
    ``$ref`` leads to a place in the schema. The server is asked to be strict if the schema meets OpenAI's rules for
    it: every property required, no others allowed. A response cut off at ``max_tokens`` is ``Unparsed``.

    Raises ``InputError`` for a schema that is neither, or is invalid, or refers to what is not in it.
    """

    kind: ClassVar[str] = "json"
    schema: Any
    _: KW_ONLY
    max_tokens: int = 256
    name: str = "json"

    def __post_init__(self) -> None:
        _check_max_tokens(self.max_tokens)
        if isinstance(self.schema, Mapping):
            try:
                copied = json.loads(json.dumps(self.schema))
            except (TypeError, ValueError, RecursionError) as error:
                raise InputError(f"the JSON schema is not JSON: {error}; correct it") from None
            _check_schema(copied)
            object.__setattr__(self, "schema", copied)
        elif not hasattr(self.schema, "model_json_schema"):
            raise InputError(
                f"a schema must be a pydantic model class or a JSON schema (a dict), not {self.schema!r}; give one"
            )

    @property
    def json_schema(self) -> dict[str, Any]:
        """The schema that is sent: a model's own, closed to properties it does not name."""
        if isinstance(self.schema, dict):
            return self.schema
        schema: dict[str, Any] = self.schema.model_json_schema()
        for part in _parts(schema):
            if "properties" in part:
                part.setdefault("additionalProperties", False)
        return schema

    @property
    def parameters(self) -> dict[str, Any]:
        schema = self.json_schema
        return {
            "max_tokens": self.max_tokens,
            "response_format": _response_format(schema, strict=_is_strict(schema)),
        }

    def parse(self, response: Response, baseline: Response | None = None) -> Any:
        if response.finish_reason == "length":
            return Unparsed(f"the JSON was cut off at {self.max_tokens} tokens; raise max_tokens")
        value = _json_value(response, self.max_tokens)
        if isinstance(value, Unparsed):
            return value
        if isinstance(self.schema, dict):
            violation = _violation(value, self.schema)
            return value if violation is None else Unparsed(f"the JSON breaks its schema: {violation}")
        try:
            return self.schema.model_validate(value).model_dump(mode="json")
        except ValueError as error:  # pydantic's ValidationError is one
            return Unparsed(f"the JSON breaks its schema: {' '.join(str(error).split())}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "schema": self.json_schema,
            "max_tokens": self.max_tokens,
            "name": self.name,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Json) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))


_KINDS: dict[str, type[Answer]] = {form.kind: form for form in (Label, Number, Text, Regex, Json)}


def number_in(text: str) -> float | None:
    """The number that a text gives as its answer, as ``Number`` reads it; ``None`` without one.

    >>> number_in("16 - 7 is 9"), number_in("#### 1,234.5"), number_in("none")
    (9.0, 1234.5, None)
    """
    text = text.replace("−", "-")
    for marker in reversed(list(_MARKER.finditer(text))):
        line = text[marker.end() :].split("\n", 1)[0]
        numbers = _numbers(line.rpartition("=")[2]) or _numbers(line)
        if numbers:
            return numbers[0]
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


_MARKER = re.compile(r"####|\\boxed\{|\banswer\b[*_\s]*(?:is\b|:|=)", re.IGNORECASE)

# A sign counts only where no word or number stands before it (3-4 is no -4) and nothing but a currency sign
# between it and the digits; digits inside a word (B2B) are no number; a dot may open a number after a space.
_NUMBER = re.compile(
    r"((?<![\w)])[-+])?[$€£¥]?"
    r"((?<!\w)(?<!\d\.)(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[-+]?\d+)?|(?<![^\s$€£¥+\-(])\.\d+)",
    re.IGNORECASE,
)


def _numbers(text: str) -> list[float]:
    numbers = [float((sign or "") + digits.replace(",", "")) for sign, digits in _NUMBER.findall(text)]
    return [number for number in numbers if math.isfinite(number)]


def _check_max_tokens(max_tokens: int) -> None:
    if max_tokens < 1:
        raise InputError(f"max_tokens must be at least 1, not {max_tokens}; give the room that an answer needs")


def _check_labels(labels: tuple[str, ...]) -> None:
    if len(labels) < 2:
        raise InputError(f"at least two labels are needed, not {len(labels)} ({_quoted(labels)}); add the others")
    seen: dict[str, str] = {}
    for label in labels:
        if not label.strip():
            raise InputError(f"a label must not be empty; correct the labels {_quoted(labels)}")
        if spaced(label) in seen:
            first = seen[spaced(label)]
            raise InputError(f"the labels {first!r} and {label!r} read the same; rename or drop one")
        seen[spaced(label)] = label


def _check_first_tokens(labels: tuple[str, ...]) -> None:
    for position, label in enumerate(labels):
        for other in labels[:position]:
            one, two = spaced(label), spaced(other)
            if _first_word(one) == _first_word(two) or one.startswith(two) or two.startswith(one):
                raise InputError(
                    f"log-probabilities of one token cannot tell the labels {other!r} and {label!r} apart, "
                    "which begin alike; rename one (a letter each will do) or use mode='text'"
                )


def _first_word(text: str) -> str:
    # Tokens seldom reach beyond a word, so labels with one first word mostly begin with the same token.
    match = re.match(r"[^\W_]+", text)
    return match.group() if match else text


def _shortened(text: str) -> str:
    return repr(_clipped(" ".join(text.split())))


def _clipped(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _quoted(labels: tuple[str, ...]) -> str:
    return ", ".join(map(repr, labels)) or "none"


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _response_format(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": schema}}


_FENCE = re.compile(r"```[\w-]*\s*\n(.*?)```", re.DOTALL)


def _json_value(response: Response, max_tokens: int | None) -> Any:
    """The JSON value in a response, or ``Unparsed``."""
    fenced = _FENCE.search(response.text)
    try:
        return json.loads(fenced.group(1) if fenced else response.text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        if response.finish_reason == "length":
            return Unparsed(f"the JSON was cut off at {max_tokens} tokens; raise max_tokens")
        return Unparsed(f"not JSON: {_shortened(response.text)}")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and every schema in it, which names of properties, constants and unknown words are not."""
    from referencing.jsonschema import DRAFT202012

    waiting = [DRAFT202012.create_resource(schema)]
    while waiting:
        part = waiting.pop()
        waiting += part.subresources()
        if isinstance(part.contents, dict):
            yield part.contents


def _check_schema(schema: dict[str, Any]) -> None:
    try:
        validator = _validator(json.dumps(schema))
        _check_references(schema, validator)
        next(validator.iter_errors(None), None)
    except RecursionError:
        raise InputError(
            "the JSON schema refers to itself without end, or is nested too deeply; take a reference out, or it apart"
        ) from None


@lru_cache(maxsize=64)
def _validator(text: str) -> Validator:
    """What checks values by a JSON schema. It has no way to fetch other schemas."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = json.loads(text)
    _dialect(schema)
    kind = validator_for(schema, default=Draft202012Validator)
    _check_valid(schema, kind)
    registry: Registry[Any] = Registry()
    return kind(schema, registry=registry)


def _dialect(schema: dict[str, Any]) -> Specification[Any]:
    """The draft of a schema."""
    from referencing.jsonschema import DRAFT202012, UnknownDialect, specification_with

    dialect = schema.get("$schema")
    try:
        return DRAFT202012 if dialect is None else specification_with(str(dialect))
    except UnknownDialect:
        raise InputError(
            f"the JSON schema has the $schema {dialect!r}, which is no known draft; leave it out for Draft 2020-12"
        ) from None


def _check_valid(schema: Any, kind: type[Validator], where: str = "$") -> None:
    """Refuse what is no schema by the rules of its draft."""
    from jsonschema.exceptions import SchemaError

    try:
        kind.check_schema(schema)
    except SchemaError as error:
        found = error.context[0] if error.context else error  # the only alternatives in there are those of `type`
        raise InputError(
            f"the JSON schema is invalid at {where}{found.json_path[1:]}: {_explained(found)}; correct it"
        ) from None


def _check_references(schema: dict[str, Any], validator: Validator) -> None:
    """Refuse references to what is not in the schema, also in parts that only references lead to."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    draft = _dialect(schema)
    root = draft.create_resource(schema)
    registry: Registry[Any] = Registry()
    waiting, seen = [(root, registry.resolver_with_root(root))], set()
    while waiting:
        part, resolver = waiting.pop()
        if id(part.contents) in seen or not isinstance(part.contents, dict):
            continue
        seen.add(id(part.contents))
        waiting += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]
        for word in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = part.contents.get(word)
            if reference is None:
                continue
            try:
                found = resolver.lookup(reference)
            except (Unresolvable, ValueError):
                raise InputError(
                    f"the JSON schema refers to {reference!r}, which is not in it and is not fetched; add it to $defs"
                ) from None
            _check_valid(found.contents, type(validator), where=reference)
            waiting.append((draft.create_resource(found.contents), found.resolver))


def _is_strict(schema: dict[str, Any]) -> bool:
    return all(
        part.get("additionalProperties") is False and set(part.get("required", ())) == set(part.get("properties", ()))
        for part in _parts(schema)
        if part.get("type") == "object" or "properties" in part
    )


def _violation(value: Any, schema: dict[str, Any]) -> str | None:
    """The rule of a JSON schema that a value breaks, with its place, or the one that tells most; None for none."""
    from jsonschema.exceptions import best_match

    try:
        error = best_match(_validator(json.dumps(schema)).iter_errors(value))
    except OverflowError:
        return "a number in it is too large to be checked"
    except RecursionError:
        return "it is nested too deeply to be checked, or the schema refers to itself without end"
    return None if error is None else f"{error.json_path}: {_explained(error)}"


def _explained(error: ValidationError | SchemaError) -> str:
    """The library's words, shortened, and the value that they begin with as JSON in place of Python."""
    rest = error.message.removeprefix(repr(error.instance))
    value = "" if rest == error.message else _clipped(json.dumps(error.instance, ensure_ascii=False))
    return f"{value}{_clipped(rest, 200)}".encode("utf-8", "backslashreplace").decode()


def default_answer(data: Dataset) -> Answer:
    """One of the labels where the target has few values, else free text."""
    return Label(data.labels) if data.is_categorical else Text()
