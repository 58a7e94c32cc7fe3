"""Few-shot pickers: deterministic, nested, balanced, and never the scored row."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.errors import TemplateError
from prompt_search.prompts.few_shot import ExamplePool, OwnAnswers, needs_own_answers
from prompt_search.prompts.template import Template
from tests.prompts.examples import pool_of

FIXED = ["random 1", "random 2", "random 3", "balanced 1", "balanced 2", "balanced 3", "diverse"]


@pytest.mark.parametrize("picker", FIXED)
def test_a_fixed_picker_gives_the_same_examples_in_equal_pools(picker: str) -> None:
    """Two pools with equal rows show the same examples, whatever was picked from them before."""
    fresh, used = pool_of(40), pool_of(40)
    used.pick("random 2", 7)
    used.pick(picker, 1)

    assert fresh.pick(picker, 6) == used.pick(picker, 6)


@pytest.mark.parametrize("picker", FIXED)
def test_fewer_shots_are_the_first_of_more_shots(picker: str) -> None:
    """A picker is a ranking: n shots are the first n of n + 1, without repeats."""
    pool = pool_of(24)
    ranking = pool.pick(picker, 24)

    assert [pool.pick(picker, count) for count in range(25)] == [ranking[:count] for count in range(25)]
    assert {row["text"] for row in ranking} == {row["text"] for row in pool.examples}


def test_numbers_tell_sets_apart() -> None:
    """Another number is another set."""
    pool = pool_of(60)

    assert pool.pick("random 1", 8) != pool.pick("random 2", 8)
    assert pool.pick("balanced 1", 8) != pool.pick("balanced 2", 8)


def test_pickers_are_the_same_in_every_process() -> None:
    """A stored study means the same examples after a restart, whatever the hash seed."""
    code = """
        from prompt_search.prompts.few_shot import ExamplePool
        rows = tuple({"text": f"word{i % 7} text {i}", "label": "abc"[i % 3]} for i in range(30))
        pool = ExamplePool(rows, "label")
        print([[row["text"] for row in pool.pick(p, 5)] for p in pool.pickers() if p != "nearest"])
    """
    outputs = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(outputs) == 1


@given(st.integers(1, 8), st.integers(2, 4), st.integers(1, 3))
def test_balanced_sets_differ_by_at_most_one_in_label_counts(count: int, labels: int, number: int) -> None:
    """While every label has examples left, no label is shown twice more than another."""
    shown = pool_of(40, "abcd"[:labels]).pick(f"balanced {number}", count)
    counts = Counter(dict.fromkeys("abcd"[:labels], 0)) + Counter(row["label"] for row in shown)

    assert max(counts.values()) - min(counts.get(label, 0) for label in "abcd"[:labels]) <= 1


def test_balanced_goes_on_when_a_label_is_used_up() -> None:
    """A rare label does not end the ranking."""
    rows = tuple({"text": f"text {i}", "label": "rare" if i == 0 else "common"} for i in range(12))

    shown = ExamplePool(rows, "label").pick("balanced 1", 12)

    assert Counter(row["label"] for row in shown) == {"rare": 1, "common": 11}
    assert "rare" in {row["label"] for row in shown[:2]}


def test_diverse_takes_what_shares_no_words_first() -> None:
    """The next example is the one farthest from those chosen."""
    texts = ["a b c", "a b d", "a b c d", "x y z"]
    pool = ExamplePool(tuple({"text": text, "label": i} for i, text in enumerate(texts)), "label")

    assert [row["text"] for row in pool.pick("diverse", 2)] == ["a b c", "x y z"]


def test_the_pickers_offered_fit_the_target() -> None:
    """Balanced sets are offered only where the target has few values."""
    free_text = ExamplePool(tuple({"input": f"word {i}", "output": f"mot {i}"} for i in range(10)), "output")

    assert pool_of(10).pickers()[0] == "balanced 1"
    assert free_text.pickers() == ("random 1", "random 2", "random 3", "diverse", "nearest")
    assert ExamplePool((), "label").fields == ()
    assert len(ExamplePool((), "label")) == 0


@pytest.mark.parametrize(
    ("picker", "cure"),
    [
        ("best", "one of them"),
        ("", "one of them"),
        ("random x", "'random 1'"),
        ("balanced -1", "'balanced 1'"),
        ("random", "'random 1'"),
        ("solved", "'solved 1'"),
        ("hard 0", "'hard 1'"),
        ("solved 01", "'solved 1'"),
        ("solved 010", "'solved 10'"),
        ("solved ٣", "'solved 1'"),
        ("solved  2", "'solved 1'"),
        ("diverse 2", "'diverse'"),
        ("nearest 1", "'nearest'"),
    ],
)
def test_what_is_no_picker_is_refused(picker: str, cure: str) -> None:
    """The error names the pickers there are, and the one that is meant; each set of shots has one name only."""
    with pytest.raises(ValueError, match="picker") as raised:
        pool_of(4).pick(picker, 1)
    assert str(raised.value) == (
        "a picker must be 'random 1', 'balanced 1', 'solved 1', 'hard 1' (2, 3, … for other sets), 'diverse' or "
        f"'nearest', got {picker!r}; write {cure}"
    )


OWN = OwnAnswers(right={3: "Dogs bark.", 4: "", 10: "It rains."}, wrong=frozenset({0, 1, 6, 7}))
"""How a model answers a pool: with and without reasoning, wrongly, and the other rows were not asked."""


def own_pool(size: int = 24, own: OwnAnswers | None = OWN) -> ExamplePool:
    return ExamplePool(pool_of(size).examples, "label", own)


def positions(shots: list[Mapping[str, Any]]) -> list[int]:
    return [int(str(shot["text"]).rpartition(" ")[2]) for shot in shots]


def test_solved_shows_rows_that_the_model_answers_rightly_with_its_reasoning() -> None:
    """Rows with reasoning come first, then those answered alone, then others; each has the field `reasoning`."""
    shown = own_pool().pick("solved 1", 5)

    assert [set(positions(shown)[:2]), positions(shown)[2]] == [{3, 10}, 4]
    assert {
        index: shot["reasoning"] for index, shot in zip(positions(shown), shown, strict=True) if index in OWN.right
    } == OWN.right
    assert [shot["reasoning"] for shot in shown[3:]] == ["", ""]


def test_hard_shows_rows_that_the_model_answers_wrongly_without_reasoning() -> None:
    """Wrong rows come first, with labels in turn; no reasoning is shown with them."""
    shown = own_pool().pick("hard 1", 6)

    assert set(positions(shown)[:4]) == OWN.wrong
    assert {shot["label"] for shot in shown[:2]} == {"a", "b"}
    assert {shot["reasoning"] for shot in shown} == {""}


@pytest.mark.parametrize("picker", ["solved", "hard"])
@given(st.sets(st.integers(0, 23)), st.sets(st.integers(0, 23)), st.integers(1, 3))
def test_pickers_by_own_answers_rank_the_whole_pool(picker: str, right: set[int], wrong: set[int], number: int) -> None:
    """Whatever the model answered, every row is ranked once, so that any number of shots can be shown."""
    own = OwnAnswers(right=dict.fromkeys(right - wrong, "why"), wrong=frozenset(wrong))
    ranked = own_pool(24, own).pick(f"{picker} {number}", 24)

    assert sorted(positions(ranked)) == list(range(24))
    first = own.wrong if picker == "hard" else own.right.keys()
    assert set(positions(ranked)[: len(first)]) == set(first)


def test_numbers_tell_sets_of_solved_rows_apart() -> None:
    """Another number is another order of the rows that the model solved."""
    pool = own_pool(24, OwnAnswers(right=dict.fromkeys(range(20), "why")))
    assert pool.pick("solved 1", 8) != pool.pick("solved 2", 8)


def test_other_pickers_are_as_without_own_answers() -> None:
    """Random, balanced and diverse sets have the same rows, with an empty reasoning where the model was asked."""
    for picker in FIXED:
        assert own_pool().pick(picker, 6) == [{"reasoning": "", **shot} for shot in pool_of(24).pick(picker, 6)]


@pytest.mark.parametrize("picker", ["solved 1", "hard 1"])
def test_pickers_by_own_answers_need_them(picker: str) -> None:
    """Without the model's answers the picker is refused, not replaced by a random one."""
    with pytest.raises(ValueError, match=r"needs to know what the model answers, and it was not asked"):
        pool_of(4).pick(picker, 1)
    assert needs_own_answers(["random 1", picker])
    assert not needs_own_answers(["random 1", "nearest", "diverse"])


def test_a_column_of_that_name_is_shown_as_it_is() -> None:
    """Rows that have reasoning of their own keep it."""
    rows = tuple({"text": f"text {i}", "reasoning": f"mine {i}", "label": i} for i in range(3))
    shown = ExamplePool(rows, "label", OwnAnswers(right={0: "model's"})).pick("solved 1", 3)
    assert {shot["reasoning"] for shot in shown} == {"mine 0", "mine 1", "mine 2"}


SHOWS_REASONING = (
    "{% for shot in examples('shots', max=2, min=2, pickers=PICKERS) %}{{ shot.text }}: "
    "{% if shot.reasoning %}{{ shot.reasoning }} {% endif %}{{ shot.label }}\n{% endfor %}{{ row.text }}"
)


@pytest.mark.parametrize("picker", ["solved 1", "random 1", "nearest"])
def test_templates_show_the_reasoning_of_a_shot(picker: str) -> None:
    """A template shows `shot.reasoning` where a shot has some, in the prompt that ships as well."""
    template = Template(SHOWS_REASONING.replace("PICKERS", repr([picker])))
    row, pool = {"text": "cats"}, own_pool()
    [message] = template.render({}, row, pool=pool)
    [shipped] = Template(template.specialize({}, row, pool=pool)).render({}, row) if picker != "nearest" else [message]

    assert shipped == message
    assert ("Dogs bark." in message["content"]) == (picker == "solved 1")


def test_the_search_knows_which_shots_each_picker_shows() -> None:
    """The choice of a picker has the rows of each option with the most shots; `nearest` has none of its own."""
    template = Template(
        "{% for shot in examples('shots', max=3, pickers=['random 1', 'nearest', 'diverse']) %}{{ shot.text }}"
        "{% endfor %}{{ row.text }}"
    )
    pools = pool_of(12), pool_of(8)
    for pool in pools:
        shown = template.space({"text": "cats"}, pool=pool).by_name["shots.picker"].shown
        assert shown == (
            frozenset(positions(pool.pick("random 1", 3))),
            frozenset(),
            frozenset(positions(pool.pick("diverse", 3))),
        )


def test_the_default_list_of_pickers_is_searched_as_names_alone() -> None:
    """Where a template names no pickers, nothing is known of what their sets share."""
    template = Template("{% for shot in examples('shots', max=3) %}{{ shot.text }}{% endfor %}{{ row.text }}")
    assert template.space({"text": "cats"}, pool=pool_of(12)).by_name["shots.picker"].shown == ()


def test_an_unknown_picker_is_refused_before_it_is_chosen() -> None:
    """A list of pickers is checked as a whole, when the template shows its first shots."""
    template = Template(
        "{% for shot in examples('shots', max=1, pickers=['random 1', 'best']) %}{{ shot.text }}"
        "{% endfor %}{{ row.text }}"
    )
    with pytest.raises(TemplateError, match="examples 'shots': a picker must be"):
        template.space({"text": "cats"}, pool=pool_of(4))
