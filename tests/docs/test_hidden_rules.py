"""The made-up world by which growth is measured: what it says is true of its prompts is true."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from experiments.benchmarks import hidden_rules
from experiments.benchmarks.hidden_rules_world import (
    BY_NAME,
    DEFAULT_COUNT,
    LABELS,
    OPENINGS,
    PROPOSER,
    RULES,
    WORDS,
    Asked,
    Rule,
    World,
    answering,
    good,
    stated,
)
from prompt_search.evaluation import session
from prompt_search.llm.client import Client
from prompt_search.testing import FakeResponse

WORLD = World(3)
ALL = " ".join(rule.wordings[0] for rule in RULES)


def best(instruction: str) -> str:
    """A prompt with an instruction, and with the rest as good as it can be."""
    return WORLD.written(instruction, "Label:", 2, ", ".join(reversed(LABELS)))


def request(text: str) -> dict[str, object]:
    return {"model": PROPOSER, "messages": [{"role": "user", "content": text}]}


def of_need(name: str) -> str:
    """The text of a row that needs one rule alone."""
    return next(row.text for row in WORLD.rows if row.needs == {name})


def test_rows_hide_the_rules() -> None:
    """No row states a rule or is part of another, and naive labels are right just where no rule is needed."""
    texts = [row.text for row in WORLD.rows]
    assert len(set(texts)) == len(texts) >= 300
    assert not stated("\n".join(texts))
    assert not any(one in other for one, other in itertools.permutations(texts, 2))
    assert all((row.naive == row.label) == (not row.needs) for row in WORLD.rows)
    assert {row.label for row in WORLD.rows} == set(LABELS)


def test_a_seed_gives_one_world() -> None:
    """The same seed gives the same rows and instructions, another seed others."""
    assert World(3).rows == WORLD.rows
    assert World(3).instructions == WORLD.instructions
    assert World(4).rows != WORLD.rows


def test_every_wording_states_its_rule_alone() -> None:
    """Each sentence of a rule states that rule and no other; openings state none."""
    for rule in RULES:
        assert [stated(wording) for wording in rule.wordings] == [{rule.name}] * len(rule.wordings)
    assert not stated(" ".join(OPENINGS))


@pytest.mark.parametrize("rules", [(), ("urgent",), ("denial", "last", "reply"), tuple(BY_NAME)])
def test_closed_form_is_what_the_model_does(rules: tuple[str, ...]) -> None:
    """The expected accuracy of a prompt is the share of right answers over many prompts that are worth the same."""
    right = []
    for number in range(60):
        wordings = " ".join(BY_NAME[name].wordings[number % 3] for name in rules)
        prompt = WORLD.written(f"{OPENINGS[number % len(OPENINGS)]} {wordings} Number {number}.", "Answer:", 1)
        right += [WORLD.answer(prompt.replace("{{ row.text }}", row.text)) == row.label for row in WORLD.rows]
    deviation = (0.25 / len(right)) ** 0.5

    assert sum(right) / len(right) == pytest.approx(WORLD.truth(prompt), abs=4 * deviation)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_matters(rule: Rule) -> None:
    """A prompt is worth more with a rule than without, alone and as the last one of six."""
    bare = WORLD.truth(WORLD.written(OPENINGS[0]))
    others = " ".join(other.wordings[1] for other in RULES if other != rule)

    assert WORLD.truth(WORLD.written(f"{OPENINGS[0]} {rule.wordings[2]}")) > bare + 0.04
    assert WORLD.truth(best(f"{OPENINGS[0]} {others}")) < WORLD.best_possible - 0.08


def test_all_six_rules_reach_the_best() -> None:
    """Hand-written prompts have 0.50 to 0.63, and one with all rules has what is best: 0.93."""
    assert WORLD.truth(best(f"{OPENINGS[1]} {ALL}")) == pytest.approx(WORLD.best_possible)
    assert WORLD.best_possible == pytest.approx(0.93)
    assert WORLD.best_hand_written == pytest.approx(0.62, abs=0.01)
    assert WORLD.truth(WORLD.written(WORLD.instructions[0])) == pytest.approx(0.5, abs=0.01)


def test_a_prompt_without_a_task_is_worth_less() -> None:
    """Words that say nothing of a task make the model slip more often."""
    assert WORLD.truth(WORLD.written(" ".join(WORDS))) < WORLD.truth(WORLD.written(OPENINGS[0])) - 0.03


def test_a_good_proposer_states_what_the_shown_rows_need() -> None:
    """It keeps the sentences of the option, and adds one or two rules, all of which the rows need."""
    parent = f"{OPENINGS[2]} {BY_NAME['last'].wordings[1]}"
    shown = "\n".join(of_need(name) for name in ("urgent", "reply", "last"))
    asked = Asked.of(request(f"Improve the option: {parent}\nWrong:\n{shown}\nWrite 4 new options."), WORLD)
    texts = [good(asked, place) for place in range(asked.count)]

    assert asked.count == 4
    assert all(text.startswith(parent) for text in texts)
    assert all({"last"} < stated(text) <= {"last", "urgent", "reply"} for text in texts)
    assert len(set(texts)) > 1


def test_a_good_proposer_describes_one_rule_of_rows_alone() -> None:
    """Where no option is shown, each text states one rule."""
    shown = "\n".join(of_need(name) for name in ("invoice", "denial"))
    asked = Asked.of(request(f"What decides the label?\n{shown}"), WORLD)

    assert asked.count == DEFAULT_COUNT
    assert {len(stated(good(asked, place))) for place in range(3)} == {1}


def test_a_good_proposer_combines_options() -> None:
    """Without rows it states the rules of all options that it is shown, in some wording."""
    options = f"{OPENINGS[0]} {BY_NAME['urgent'].wordings[0]}\n{OPENINGS[1]} {BY_NAME['invoice'].wordings[2]}"

    assert stated(good(Asked.of(request(options), WORLD), 0)) == {"urgent", "invoice"}


@pytest.mark.parametrize("kind", ["noise", "copies", "drops", "language"])
def test_a_bad_proposer_states_no_rule(kind: str) -> None:
    """What it returns is no better than the first instruction, and as many texts as were wanted."""
    answer = answering(WORLD, kind)(request(f"{OPENINGS[0]}\n{of_need('urgent')}\nWrite two options."))
    texts = str(answer).removeprefix("<option>").removesuffix("</option>").split("</option>\n<option>")

    assert len(texts) == 2
    assert all(WORLD.truth(WORLD.written(text)) <= WORLD.truth(WORLD.written(OPENINGS[0])) for text in texts)


def test_a_failing_proposer_leaves_the_task_alone() -> None:
    """Only requests of the proposer get an error."""
    answer = answering(WORLD, "fails")
    refused = answer(request("Write two options."))

    assert isinstance(refused, FakeResponse)
    assert refused.status == 500
    prompt = WORLD.written(OPENINGS[0]).replace("{{ row.text }}", WORLD.rows[0].text)
    assert answer({**request(prompt), "model": "task"}) in LABELS


def test_a_study_is_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command adds a line for a study and prints the table; again it finds the line and runs nothing."""
    output = tmp_path / "lines.csv"
    program = ["hidden_rules.py", "--proposer", "none", "--studies", "1", "--calls", "60", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", program)
    monkeypatch.setattr(session, "Client", Client)  # what the program puts in its place is taken back
    hidden_rules.main()
    written, table = output.read_bytes(), capsys.readouterr().out
    hidden_rules.main()

    assert written.count(b"\n") == 2
    assert "| none | 1 |" in table
    assert output.read_bytes() == written
    assert capsys.readouterr().out == table
