"""A made-up task with six hidden rules, a model that follows the rules that its prompt states, and proposers of texts.

Every row is a short message with a naive label, that of the topic which it names first. More than half of the rows have
that label indeed. Each other row needs one rule, some need two: where the prompt does not state them, the model
answers with the naive label and is wrong. A rule counts as stated where one of its key phrases stands in the prompt.
Whatever a model wants to answer, it slips with a probability that the rest of the prompt sets, drawn from nothing but
the prompt and the row, and gives one of the other labels. So the expected accuracy of any prompt can be computed.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd

from prompt_search.testing import Body, FakeAnswer, chance, failure, prompt_of

LABELS: Final = ("billing", "technical", "account", "delivery")

TOPICS: Final = {
    "billing": ("I was charged twice this month", "my refund is not here yet", "the payment was declined again"),
    "technical": ("the app closes when I open it", "the screen stays black", "the export button does nothing"),
    "account": ("I cannot change my password", "my profile shows the wrong name", "I want to end my membership"),
    "delivery": ("my parcel has not arrived", "the courier left the box next door", "the package came open"),
}
"""What a message says about each label."""
NOUNS: Final = {"billing": "a payment", "technical": "the app", "account": "my profile", "delivery": "a parcel"}
GREETINGS: Final = ("Hello,", "Good morning,", "Hi there,", "Dear team,", "Hey,")

PLAIN, SINGLE, PAIR = 217, 23, 3
"""Number of rows that need no rule, that need each rule alone, and that need each pair of rules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule that decides labels.

    Attributes:
        name: its name.
        label: the label that it gives; empty where it says which part of the message counts.
        phrases: texts of which one in a prompt states the rule, in lower case.
        wordings: sentences that state it.
    """

    name: str
    label: str = ""
    phrases: tuple[str, ...]
    wordings: tuple[str, ...]

    def stated_in(self, prompt: str) -> bool:
        """Whether one of its key phrases stands in a text, in whatever case."""
        lowered = prompt.lower()
        return any(phrase in lowered for phrase in self.phrases)


RULES: Final = (
    Rule(
        name="urgent",
        label="technical",
        phrases=("urgent in capital", "urgent is written in capital", "an upper-case urgent"),
        wordings=(
            "The word urgent in capitals makes it technical.",
            "If urgent is written in capital letters, the label is technical.",
            "Give technical to everything with an upper-case urgent.",
        ),
    ),
    Rule(
        name="invoice",
        label="billing",
        phrases=("invoice number", "number of an invoice", "invoice code"),
        wordings=(
            "A message with an invoice number is billing, whatever else it says.",
            "Where the number of an invoice is given, the label is billing.",
            "Choose billing as soon as you see an invoice code.",
        ),
    ),
    Rule(
        name="partner",
        label="account",
        phrases=("signed by a partner", "signature of a partner", "partner has signed"),
        wordings=(
            "What is signed by a partner goes to account.",
            "The signature of a partner means account.",
            "If a partner has signed, answer account.",
        ),
    ),
    Rule(
        name="reply",
        label="delivery",
        phrases=("reply to an earlier ticket", "replies to earlier tickets", "answers an older ticket"),
        wordings=(
            "A reply to an earlier ticket belongs to delivery.",
            "Label replies to earlier tickets as delivery.",
            "When the message answers an older ticket, delivery is right.",
        ),
    ),
    Rule(
        name="denial",
        phrases=("topic that is denied", "says it is not about", "negated topic"),
        wordings=(
            "Ignore a topic that is denied.",
            "What the writer says it is not about does not count.",
            "Never choose a negated topic.",
        ),
    ),
    Rule(
        name="last",
        phrases=("last sentence counts", "final sentence decide", "mentioned at the end"),
        wordings=(
            "With two topics, the last sentence counts.",
            "Let the final sentence decide between several topics.",
            "Of several topics choose the one mentioned at the end.",
        ),
    ),
)
"""The hidden rules; where two of them give a label, the first one wins."""

BY_NAME: Final = MappingProxyType({rule.name: rule for rule in RULES})
Names = frozenset[str]

CUES: Final = {"": 0.02, "Label:": 0.0, "Answer:": 0.01, "Category:": 0.03}
SHOTS: Final = (0.01, 0.005, 0.0, 0.005)
ORDERS: Final = {", ".join(LABELS): 0.01, ", ".join(reversed(LABELS)): 0.0}
LEAST_SLIPS, WITHOUT_TASK = 0.07, 0.10
"""How likely the model slips: at least, and what each cue, number of shots and order of the labels adds to it. A prompt
that does not say that there is something to classify adds the last number."""
TASK: Final = re.compile(r"\b(?:classify|sort|assign|label|decide|route)\b", re.IGNORECASE)

OPENINGS: Final = (
    "Classify the message.",
    "Sort the customer's message into one of the labels.",
    "Read the message and decide which label fits.",
    "Assign one label to the message.",
    "Route the message below to the right team.",
)
ADVICE: Final = (
    "Read the whole message with care.",
    "Answer with one label and nothing else.",
    "Think of what the writer wants.",
)
"""Sentences that state no rule."""

GROW: Final = "tells the model what to do and which rules decide the label"
SOURCE: Final = """{{ choice("instruction", instructions, grow=purpose) }}
Labels: {{ choice("label_order", orders) }}
{% for shot in examples("shots", max=3, pickers=["random 1"]) %}Example: {{ shot.text }} => {{ shot.label }}
{% endfor %}Message: {{ row.text }}
{{ choice("cue", cues) }}"""
"""The template of 192 candidates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A row: its text, its right label, the label that it seems to have, and the rules that it needs."""

    text: str
    label: str
    naive: str
    needs: Names = frozenset()


class World:
    """The rows of one seed, and what a prompt is worth on them.

    Args:
        seed: decides the rows, the hand-written instructions, and where the model slips.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        generator = np.random.default_rng([seed, 13])
        names = [rule.name for rule in RULES]
        needs: list[tuple[str, ...]] = [()] * PLAIN
        needs += [(name,) for name in names for _ in range(SINGLE)]
        needs += [pair for pair in itertools.combinations(names, 2) for _ in range(PAIR)]
        numbers = generator.permutation(np.arange(10_000, 99_999))[: len(needs)].tolist()
        order = generator.permutation(len(needs)).tolist()
        self.rows = tuple(_message(needs[place], numbers[place], generator) for place in order)
        known = [BY_NAME[name].wordings[0] for name in generator.permutation(names)[:3].tolist()]
        self.instructions = (
            OPENINGS[0],
            f"{OPENINGS[2]} {ADVICE[0]}",
            f"{OPENINGS[1]} {known[0]}",
            f"{OPENINGS[3]} {known[1]} {known[2]}",
        )

    @cached_property
    def by_text(self) -> Mapping[str, Message]:
        return {row.text: row for row in self.rows}

    @cached_property
    def _needed(self) -> Counter[Names]:
        """Number of rows by the rules that they need."""
        return Counter(row.needs for row in self.rows)

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame({"text": [row.text for row in self.rows], "label": [row.label for row in self.rows]})

    @property
    def context(self) -> dict[str, Any]:
        """What the template reads."""
        written = list(self.instructions)
        return {"instructions": written, "purpose": GROW, "orders": list(ORDERS), "cues": list(CUES)}

    def truth(self, prompt: str) -> float:
        """The expected accuracy of a prompt over all rows, whether the row's text is in it or its placeholder."""
        slip, rules = slips(prompt), stated(prompt)
        able = sum(count for needs, count in self._needed.items() if needs <= rules) / len(self.rows)
        return able * (1 - slip) + (1 - able) * slip / (len(LABELS) - 1)

    def answer(self, prompt: str) -> str:
        """What the model answers to a prompt with one of the rows as its message; where there is none, a guess."""
        texts = re.findall(r"^Message: (.*)$", prompt, re.MULTILINE)
        row = self.by_text.get(texts[-1]) if texts else None
        if row is None:
            return LABELS[int(chance("guess", self.seed, prompt) * len(LABELS))]
        wanted = row.label if row.needs <= stated(prompt) else row.naive
        if chance("slip", self.seed, prompt) >= slips(prompt):
            return wanted
        others = [label for label in LABELS if label != wanted]
        return others[int(chance("which", self.seed, prompt) * len(others))]

    def written(self, instruction: str, cue: str = "", shots: int = 0, order: str = next(iter(ORDERS))) -> str:
        """A prompt as the template writes it, with a placeholder for the row."""
        examples = "".join(f"Example: {row.text} => {row.label}\n" for row in self.rows[:shots])
        return f"{instruction}\nLabels: {order}\n{examples}Message: {{{{ row.text }}}}\n{cue}"

    def best(self, instructions: Sequence[str]) -> float:
        """The expected accuracy of the best prompt with one of these instructions."""
        rest = list(itertools.product(CUES, range(len(SHOTS)), ORDERS))
        return max(self.truth(self.written(text, *chosen)) for text in instructions for chosen in rest)

    @property
    def best_hand_written(self) -> float:
        return self.best(self.instructions)

    @property
    def best_possible(self) -> float:
        """That of the best prompt which states all rules."""
        return self.best([" ".join([OPENINGS[0], *(rule.wordings[0] for rule in RULES)])])


def _message(needs: Sequence[str], number: int, generator: np.random.Generator) -> Message:
    """A message that needs some rules."""

    def drawn(*but: str) -> str:
        return str(generator.choice([label for label in LABELS if label not in but]))

    def topic(label: str) -> str:
        return str(generator.choice(TOPICS[label]))

    given = [rule.label for rule in RULES if rule.name in needs and rule.label]
    naive = drawn(*given[:1])
    second = drawn(naive)  # the topic that counts where one of two does
    label = given[0] if given else second if needs else naive
    opening = f"{generator.choice(GREETINGS)} order {number}: "
    if "denial" in needs:
        said = f"this is not about {NOUNS[naive]}, {topic(drawn(naive, second) if 'last' in needs else second)}."
    else:
        said = f"{topic(naive)}."
    text = opening + said
    text += f" Besides, {topic(second)}." if "last" in needs else ""
    text += f" See INV-{number % 977}." if "invoice" in needs else ""
    text = f"URGENT! {text}" if "urgent" in needs else text
    text = f"Re: ticket {number % 1009}. {text}" if "reply" in needs else text
    text += f" -- partner desk {number % 31}" if "partner" in needs else ""
    return Message(text=text, label=label, naive=naive, needs=frozenset(needs))


def stated(prompt: str) -> Names:
    """The rules that a text states."""
    return frozenset(rule.name for rule in RULES if rule.stated_in(prompt))


def slips(prompt: str) -> float:
    """How likely the model slips with a prompt."""
    lines = prompt.rstrip().splitlines() or [""]
    shots = sum(line.startswith("Example: ") for line in lines)
    order = next((line.removeprefix("Labels: ") for line in lines if line.startswith("Labels: ")), "")
    wording = "\n".join(line for line in lines if not line.startswith(("Labels: ", "Example: ", "Message: ")))
    total = LEAST_SLIPS + CUES.get(lines[-1], CUES[""]) + SHOTS[min(shots, len(SHOTS) - 1)]
    total += ORDERS.get(order, next(iter(ORDERS.values())))
    without_cue = wording.removesuffix(lines[-1]) if lines[-1] in CUES else wording
    return total + (0.0 if TASK.search(without_cue) else WITHOUT_TASK)


def task_model(world: World) -> Callable[[Body], FakeAnswer]:
    """The model that classifies."""
    return lambda body: world.answer(prompt_of(body))


PROPOSER: Final = "proposer"
"""The name of the model that proposes."""
KINDS: Final = ("good", "noise", "copies", "drops", "language", "fails", "slow")
SLOW_S: Final = 2.0
DEFAULT_COUNT: Final = 3
NUMBERS: Final = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
COUNT: Final = re.compile(
    rf"\bwrite\s+(\d+|{'|'.join(NUMBERS)})(?:,?\s+[a-z-]+){{0,3}},?\s+"
    r"(?:options?|texts?|versions?|wordings?|instructions?|alternatives?|proposals?)\b",
    re.IGNORECASE,
)
"""How a request says how many texts it wants."""
WORDS: Final = ("lamp", "river", "seven", "quick", "marble", "under", "folding", "green", "orbit", "table", "soft")
GERMAN: Final = (
    "Ordne die Nachricht einem der Themen zu und achte dabei auf den letzten Satz.",
    "Lies die Nachricht sorgfältig und wähle danach das Thema, das am besten passt.",
    "Steht eine Rechnungsnummer in der Nachricht, dann geht es immer um eine Zahlung.",
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a proposer reads in a request, however it is worded.

    Attributes:
        text: the messages of the request.
        count: the number of texts that it wants.
        rows: the rows that it shows.
    """

    text: str
    count: int
    rows: tuple[Message, ...]

    @classmethod
    def of(cls, body: Body, world: World) -> Asked:
        text = prompt_of(body)
        counted = COUNT.search(text)
        count = NUMBERS.get(counted[1].lower()) or int(counted[1]) if counted else DEFAULT_COUNT
        return cls(text=text, count=count, rows=tuple(row for row in world.rows if row.text in text))

    def chance(self, *what: object) -> float:
        return chance("propose", self.text, *what)

    def drawn(self, items: Sequence[str], *what: object) -> str:
        return items[int(self.chance(*what) * len(items))]


def good(asked: Asked, place: int) -> str:
    """The sentences of the options that are shown, and one or two rules that the rows which are shown need.

    Without an option it is one rule. Without rows the rules that the options state are put into other words.
    """
    opening = next((text for text in OPENINGS if text in asked.text), asked.drawn(OPENINGS, "opening", place))
    kept = {rule.name: wording for rule in RULES for wording in rule.wordings if wording in asked.text}
    if not asked.rows:
        kept = {name: asked.drawn(BY_NAME[name].wordings, name, place) for name in kept}
        return " ".join([asked.drawn(OPENINGS, "opening", place), *kept.values()])
    known = stated(asked.text)
    needed = Counter(name for row in asked.rows for name in sorted(row.needs - known))
    missing = sorted(needed, key=lambda name: (-needed[name], asked.chance(name)))
    several = bool(kept or any(text in asked.text for text in OPENINGS)) and asked.chance("two", place) < 0.5
    chosen = [missing[(place + step) % len(missing)] for step in range(min(1 + several, len(missing)))]
    added = [asked.drawn(BY_NAME[name].wordings, name, place) for name in chosen]
    return " ".join([opening, *kept.values(), *(added or [asked.drawn(ADVICE, "advice", place)])])


def noise(asked: Asked, place: int) -> str:
    """Random words."""
    return " ".join(asked.drawn(WORDS, place, word) for word in range(12))


def copies(asked: Asked, place: int) -> str:
    """A row that was shown, with its label; without rows a text that is written already."""
    if not asked.rows:
        return OPENINGS[place % len(OPENINGS)]
    row = asked.rows[place % len(asked.rows)]
    return f"{OPENINGS[0]} For example, {row.text} is {row.label}."


def drops(asked: Asked, place: int) -> str:
    """Nothing, or one word."""
    return ("", "Classify", "Label:")[place % 3]


def language(asked: Asked, place: int) -> str:
    """Another language."""
    return f"{GERMAN[place % len(GERMAN)]} {asked.drawn(GERMAN, place)}"


WRITERS: Final[Mapping[str, Callable[[Asked, int], str]]] = {
    "good": good,
    "slow": good,
    "noise": noise,
    "copies": copies,
    "drops": drops,
    "language": language,
}


def answering(world: World, kind: str) -> Callable[[Body], FakeAnswer]:
    """The task model and a proposer behind one address, told apart by the model's name."""
    classify = task_model(world)

    def answer(body: Body) -> FakeAnswer:
        if body["model"] != PROPOSER:
            return classify(body)
        if kind == "fails":
            return failure(500, "the proposer is out of order")
        asked = Asked.of(body, world)
        return "\n".join(f"<option>{WRITERS[kind](asked, place)}</option>" for place in range(asked.count))

    return answer


def latency(kind: str) -> Callable[[Body], float]:
    """Seconds that an answer takes."""
    return lambda body: SLOW_S if kind == "slow" and body["model"] == PROPOSER else 0.0
