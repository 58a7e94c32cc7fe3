"""The proposer: what it takes, what it refuses, and what makes a study another study."""

from __future__ import annotations

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.model import Model
from prompt_search.prompts.growing.operators import Operator
from prompt_search.prompts.growing.proposer import OPERATORS, Proposer

MODEL = Model("gpt-4.1", base_url="https://user:secret@example.org/v1?key=secret")


def test_a_name_or_a_model_is_enough() -> None:
    """The five operators of the package, 15 % of the budget, replies of 600 tokens."""
    proposer = Proposer("local")

    assert proposer.model == Model.local()
    assert [operator.name for operator in proposer.operators] == ["describe", "reflect", "combine", "shorten", "vary"]
    assert (proposer.share, proposer.max_tokens, proposer.request) == (0.15, 600, {})


def test_what_a_study_takes() -> None:
    """A proposer, a model, a name, or None for no growth."""
    proposer = Proposer(MODEL, share=0.3)

    assert Proposer.parse(None) is None
    assert Proposer.parse(proposer) is proposer
    assert Proposer.parse(MODEL) == Proposer(MODEL)
    assert Proposer.parse("gpt-4.1") == Proposer(Model("gpt-4.1"))


def test_operators_are_given_by_name_by_file_or_as_they_are(tmp_path: Path) -> None:
    """In the order in which they are given."""
    path = tmp_path / "mine.j2"
    path.write_text("Say it better: {{ parents[0] }}", encoding="utf-8")
    own = Operator("own", "{{ purpose }}!", "parent")

    proposer = Proposer(MODEL, ["vary", str(path), own])

    assert proposer.operators == (Operator.read("vary"), Operator.read(path), own)


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ({"operators": []}, f"operators= takes at least one operator, got none; give some of {', '.join(OPERATORS)}"),
        ({"operators": "vary"}, "operators= takes a list of operators, not 'vary'; write operators=['reflect']"),
        ({"operators": 5}, "operators= takes a list of operators, not 5; write operators=['reflect']"),
        (
            {"operators": ["mutate"]},
            (
                "there is no operator 'mutate', only describe, reflect, combine, shorten, vary; give one of them, or "
                "a file: ps.Operator.read('FILE.j2')"
            ),
        ),
        ({"operators": [5]}, "an operator is a name or a ps.Operator, not 5; write 'reflect', or ps.Operator.read"),
        ({"operators": ["vary", "vary"]}, "operators= has two operators 'vary'; remove one, or give it another name"),
        ({"share": 0}, "share= must be above 0 and at most 0.5, got 0; give a share of the budget such as 0.15"),
        ({"share": 0.51}, "share= must be above 0 and at most 0.5, got 0.51"),
        ({"share": math.nan}, "share= must be above 0 and at most 0.5, got nan"),
        ({"share": "0.2"}, "share= takes a number, not '0.2'; give a share of the budget such as 0.15"),
        ({"share": True}, "share= takes a number, not True"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"max_tokens": 1.5}, "max_tokens must be a whole number, not 1.5"),
        ({"request": ["temperature"]}, "request= takes a dict of values by name, not a list; write {'NAME': value}"),
        ({"request": {5: 1}}, "the name of a request parameter must be a text, not 5; write it in quotes"),
        ({"request": {"a\nb": 1}}, "the name of a request parameter is one line"),
        ({"request": {"model": "x"}}, "request['model'] of a proposer cannot be given here; give the model as"),
        ({"request": {"max_tokens": 5}}, "request['max_tokens'] of a proposer cannot be given here; write max_tokens="),
        ({"request": {"n": 5}}, "request['n'] of a proposer cannot be given here; one reply has several texts"),
        ({"request": {"seed": {1}}}, "request['seed'] must be JSON: Object of type set is not JSON serializable; got"),
        ({"request": {"top_p": math.inf}}, "request['top_p'] must be JSON: "),
        ({"temperature": 1}, "Proposer has no argument temperature=; write request={'temperature': ...}"),
        ({"budget": 9}, "Proposer has no argument budget=; write share=, a part of the study's budget"),
    ],
)
def test_an_argument_is_refused_in_one_line(arguments: dict[str, Any], refused: str) -> None:
    """With the rule, what came, and what to do."""
    with pytest.raises(InputError, match=f"^{re.escape(refused)}") as caught:
        Proposer(MODEL, **arguments)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [5, ["gpt-4.1"], Model])
def test_what_is_no_model_is_refused(value: Any) -> None:
    """The message says what a study takes."""
    with pytest.raises(
        InputError, match=r"^proposer= takes a model, its name, a ps.Proposer or None, not .*; write ps"
    ):
        Proposer.parse(value)


def test_a_broken_operators_file_is_told_when_the_proposer_is_made(tmp_path: Path) -> None:
    """With the file's name and the line, before any call."""
    path = tmp_path / "mine.j2"
    path.write_text("a\n{{ row }}", encoding="utf-8")

    with pytest.raises(TemplateError, match=r"^mine line 2: an operator has no variable 'row'"):
        Proposer(MODEL, [str(path)])
    with pytest.raises(TemplateError, match="cannot read the operator"):
        Proposer(MODEL, ["missing.j2"])


def test_the_identity_is_json_without_a_secret() -> None:
    """It is stored with the study."""
    identity = Proposer(MODEL, ["vary"], request={"stop": ["x"]}).identity()

    assert json.loads(json.dumps(identity)) == identity
    assert identity == {
        "model": "gpt-4.1",
        "endpoint": "https://example.org/v1",
        "operators": {"vary": Operator.read("vary").digest},
        "share": 0.15,
        "max_tokens": 600,
        "request": {"stop": ["x"]},
    }


@pytest.mark.parametrize(
    "other",
    [
        Proposer(Model("gpt-4.2", base_url=MODEL.base_url)),
        Proposer(Model("gpt-4.1", base_url="https://example.com/v1")),
        Proposer(MODEL, [*OPERATORS[:3], "vary"]),
        Proposer(MODEL, [*OPERATORS[:4], Operator("vary", "Vary {{ parents[0] }}", "parent")]),
        Proposer(MODEL, share=0.2),
        Proposer(MODEL, max_tokens=700),
        Proposer(MODEL, request={"temperature": 1}),
    ],
    ids=["name", "endpoint", "operators", "source", "share", "max_tokens", "request"],
)
def test_every_setting_is_part_of_the_identity(other: Proposer) -> None:
    """A study with another proposer is another study."""
    assert Proposer(MODEL).identity() != other.identity()
    assert Proposer(MODEL) != other


@given(share=st.floats(allow_nan=True) | st.integers(-2, 2))
def test_a_share_is_above_zero_and_at_most_half(share: float) -> None:
    """Everything else is refused."""
    if 0 < share <= 0.5:
        assert Proposer(MODEL, ["vary"], share=share).share == share
    else:
        with pytest.raises(InputError, match=r"share= must be above 0 and at most 0.5"):
            Proposer(MODEL, ["vary"], share=share)


def test_a_proposer_is_a_value() -> None:
    """It is frozen, equal by what it says, hashed, pickled, and nobody else can change it."""
    request: dict[str, Any] = {"stop": ["x"]}
    proposer = Proposer(MODEL, request=request)
    request["stop"].append("y")

    assert proposer.request == {"stop": ["x"]}
    assert pickle.loads(pickle.dumps(proposer)) == proposer
    assert hash(proposer) == hash(Proposer(MODEL, request={"stop": ["x"]}))
    with pytest.raises(AttributeError):
        proposer.share = 0.2  # type: ignore[misc]
