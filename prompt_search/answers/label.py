"""Answers that are one of a set of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from prompt_search.answers.base import Answer, Unparsed, check_max_tokens, final_text, quoted, too_long
from prompt_search.answers.final_part import LONGEST_TEXT
from prompt_search.answers.json_response import json_value, response_format
from prompt_search.answers.label_probabilities import check_first_tokens, content_free_factors, row_weights
from prompt_search.answers.reading.label_matching import label_masses, spaced
from prompt_search.answers.reading.label_reading import label_of_value, read_label
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response

TOP_LOGPROBS = 20
"""Number of tokens per position whose log-probabilities are requested; OpenAI's API allows no more."""

LABEL_MODES = ("text", "logprobs", "json")
"""Ways to find the label in a response."""

CALIBRATIONS = ("content-free", "rows")
"""Ways to correct label probabilities."""


@dataclass(frozen=True, slots=True)
class Label(Answer):
    """One of a set of labels. The answer is the label as it was given, as text.

    Calibration corrects the preference of a model for some labels whatever the input is.

    Args:
        labels: the labels, at least two.
        mode: how the label is found.

            - ``text``: the label that the response states. That is all of it or its first line; or what follows the
              last marker (``Answer:``, ``the label is``, ``\\boxed{``, ``"label":`` and the like); or its last line, or
              its first sentence; or else the one label that it mentions as whole words. Of several that are mentioned
              it is the first, which ``is_ambiguous`` reports. A negated label (``not positive``) does not count.
              Labels of one letter or digit have to be stated. Case, typography, accents, widths and invisible
              characters do not matter; at one place the longest label wins; ``1.0`` is ``1``.
            - ``logprobs``: the label whose beginning is the most probable first token. The probabilities of all listed
              tokens that begin exactly one label are summed and normalised; labels that are not listed get 0.
            - ``json``: ``{"label": ...}`` by ``response_format`` with the labels as an enumeration.
        calibrate: how probabilities are corrected in logprobs mode; None for not at all.

            - ``rows``: they are divided by their mean over the rows that the prompt was scored on in the search (Zhou
              et al. 2024, "Batch Calibration: Rethinking Calibration for In-Context Learning and Prompt Engineering")
              and multiplied by the labels' shares of these rows (Saerens et al. 2002). The weights are refitted with
              every evaluation batch, are fixed before the test, and are exported with the prompt.
            - ``content-free``: they are divided by the probabilities for a content-free input (Zhao et al. 2021,
              "Calibrate Before Use: Improving Few-Shot Performance of Language Models"). That takes one more call per
              prompt. A label not listed there counts as likely as the least likely listed token.
        weights: one factor per label, in their order, as ``calibrate="rows"`` fits them; empty before.
        max_tokens: limit of a response's length; 16 for text and 64 for json by default, and always 1 for logprobs.
        top_logprobs: number of the most probable tokens to request. OpenAI allows 20, llama.cpp any number. In small
            models a label often ranks lower: SmolLM2 on SST-2, without the labels in the prompt, lists neither in 8
            of 60 answers at 20 tokens, and in none at 200.
        name: name of the form among others; by default it follows from mode and calibration.

    Raises:
        InputError: fewer than two labels, an empty one, two that are read alike; an unknown mode or calibration, a
            calibration without logprobs, weights that do not fit, ``max_tokens`` below 1; or, in logprobs mode, labels
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
        labels, weights = tuple(map(str, self.labels)), tuple(self.weights)
        _check_labels(labels)
        _check_modes(self.mode, self.calibrate)
        _check_weights(weights, labels, self.calibrate)
        if self.mode == "logprobs":
            check_first_tokens(labels)
        tokens = {"text": 16, "logprobs": 1, "json": 64}[self.mode]
        if self.mode != "logprobs" and self.max_tokens is not None:
            tokens = self.max_tokens
        check_max_tokens(tokens)
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
            return {"max_tokens": self.max_tokens, "response_format": response_format(schema, strict=True)}
        return {"max_tokens": self.max_tokens}

    @property
    def needs_baseline(self) -> bool:
        return self.calibrate == "content-free"

    @property
    def has_probabilities(self) -> bool:
        return self.mode == "logprobs"

    @property
    def calibrates_on_rows(self) -> bool:
        return self.calibrate == "rows"

    @property
    def needs_calibration(self) -> bool:
        return self.calibrates_on_rows and not self.weights

    def calibrated(self, responses: Sequence[Response], targets: Sequence[Any]) -> Label:
        if not self.calibrates_on_rows:
            return self
        plain = replace(self, weights=())
        read = [plain.probabilities(response) for response in responses]
        pairs = [(given, str(target)) for given, target in zip(read, targets, strict=True) if given is not None]
        if not pairs:
            return self
        weights = row_weights(self.labels, [given for given, _ in pairs], [target for _, target in pairs])
        return replace(self, weights=weights)

    def parse(self, response: Response, baseline: Response | None = None) -> str | Unparsed:
        if self.mode == "logprobs":
            return self._likeliest(response, baseline)
        if self.mode == "json":
            return self._from_json(response)
        text = final_text(response)
        if isinstance(text, Unparsed):
            return text
        if len(text) > LONGEST_TEXT:
            return too_long(text, "a label", LONGEST_TEXT)
        label, _ = read_label(text, tuple(self.labels))
        return Unparsed(f"no label in {quoted(text)}") if label is None else label

    def is_ambiguous(self, response: Response) -> bool:
        text = final_text(response) if self.mode == "text" else ""
        return not isinstance(text, Unparsed) and read_label(text, tuple(self.labels))[1]

    def probabilities(self, response: Response, baseline: Response | None = None) -> dict[str, float] | None:
        if self.mode != "logprobs" or not response.logprobs:
            return None
        factors = self._factors(baseline)
        if factors is None:
            return None
        products = {
            label: mass * factors[label] for label, mass in label_masses(response.logprobs[0], self.labels).items()
        }
        total = math.fsum(products.values())
        return {label: product / total for label, product in products.items()} if total > 0 else None

    def _likeliest(self, response: Response, baseline: Response | None) -> str | Unparsed:
        if not response.logprobs:
            return Unparsed("the response has no log-probabilities; use mode='text' with this server")
        if self._factors(baseline) is None:
            return Unparsed("the content-free response has no log-probabilities to calibrate by")
        probabilities = self.probabilities(response, baseline)
        if probabilities is None:
            tokens = ", ".join(repr(token) for token, _ in response.logprobs[0][:5])
            return Unparsed(f"no label begins with one of the most probable tokens: {tokens}")
        return max(self.labels, key=probabilities.__getitem__)

    def _factors(self, baseline: Response | None) -> dict[str, float] | None:
        """The factor of each label's probability; None where the baseline that it depends on cannot be used."""
        if self.calibrate != "content-free":
            return dict(zip(self.labels, self.weights or [1.0] * len(self.labels), strict=True))
        if baseline is None or not baseline.logprobs:
            return None
        return content_free_factors(self.labels, baseline.logprobs[0])

    def _from_json(self, response: Response) -> str | Unparsed:
        value = json_value(response, self.max_tokens)
        if isinstance(value, Unparsed):
            return value
        label = label_of_value(value.get("label"), self.labels) if isinstance(value, dict) else None
        return Unparsed(f"not an object with a known label: {quoted(response.text)}") if label is None else label


def _check_labels(labels: tuple[str, ...]) -> None:
    shown = ", ".join(map(repr, labels)) or "none"
    if len(labels) < 2:
        raise InputError(f"at least two labels are needed, not {len(labels)} ({shown}); add the others")
    seen: dict[str, str] = {}
    for label in labels:
        if not spaced(label):
            raise InputError(f"a label must not be empty; correct the labels {shown}")
        if spaced(label) in seen:
            first = seen[spaced(label)]
            raise InputError(
                f"the labels {first!r} and {label!r} cannot be distinguished in a response; rename or drop one"
            )
        seen[spaced(label)] = label


def _check_modes(mode: str, calibrate: str | None) -> None:
    if mode not in LABEL_MODES:
        raise InputError(f"the mode of Label must be one of {', '.join(LABEL_MODES)}, not {mode!r}; choose one")
    if calibrate not in (None, *CALIBRATIONS):
        raise InputError(f"calibrate must be None or one of {', '.join(CALIBRATIONS)}, not {calibrate!r}; choose one")
    if calibrate and mode != "logprobs":
        raise InputError(f"calibrate needs mode='logprobs', not {mode!r}; change one of them")


def _check_weights(weights: tuple[float, ...], labels: tuple[str, ...], calibrate: str | None) -> None:
    if weights and (calibrate != "rows" or len(weights) != len(labels) or not all(w > 0 for w in weights)):
        raise InputError(
            f"weights must be one positive number for each of the {len(labels)} labels, and need calibrate='rows'; "
            f"got {weights}; leave them out to have them fitted"
        )
