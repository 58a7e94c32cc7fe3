"""The search space: options, conditions, counting, enumeration, and Optuna's view of it."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.discovery import discover
from prompt_search.prompts.factors import Candidate, Condition, Factor, check_options, choice, option_id
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.space import SearchSpace
from prompt_search.prompts.template import Template
from tests.profiles import examples

ROW = {"text": "some text"}


def space_of(source: str, **kwargs: Any) -> SearchSpace:
    return Template(source).space(ROW, **kwargs)


def exists_when(space: SearchSpace) -> dict[str, str]:
    return {record["factor"]: record["exists_when"] for record in space.describe()}


def pool_of(size: int) -> ExamplePool:
    return ExamplePool(tuple({"text": f"text {i}", "label": "ab"[i % 2]} for i in range(size)), "label")


# Options


def test_a_choice_in_python_keeps_values_and_names() -> None:
    """A list gives values; a mapping names them, and the names are what tables show."""
    named = choice({"cold": 0.0, "warm": 0.7})
    factor = Factor(name="temperature", kind="request", options=named.values, names=named.names)

    assert choice([1, "1", True, 1.0]).values == (1, "1", True, 1.0)
    assert factor.texts == ("cold", "warm")
    assert factor.position("warm") == factor.position(0.7) == 1


@pytest.mark.parametrize("options", [[], {}])
def test_a_choice_without_options_is_refused(options: Any) -> None:
    """An empty list or mapping is an error that says what to do."""
    with pytest.raises(InputError, match="at least one option, got none; add one"):
        choice(options)


@pytest.mark.parametrize("options", [["a", "b", "a"], [{"x": 1}, {"x": 1}], [["l"], ["l"]]])
def test_an_option_given_twice_is_refused(options: list[Any]) -> None:
    """Two equal options would be two candidates with one prompt; unhashable options are compared too."""
    with pytest.raises(InputError, match="is given twice; remove one"):
        check_options(options, "choice 'c'")


@given(st.lists(st.text(), min_size=1, max_size=12, unique=True))
def test_option_ids_are_short_and_tell_options_apart(texts: list[str]) -> None:
    """What an Optuna study stores is short and unique, whatever the option texts."""
    factor = Factor(name="c", kind="choice", options=tuple(texts))

    assert len(set(factor.ids)) == len(texts)
    assert all(len(option) <= 30 for option in factor.ids)
    assert factor.ids[0].split()[0] == "0"


def test_an_option_id_shows_the_first_words() -> None:
    """An id can be read in a dashboard."""
    assert option_id(3, "Classify the sentiment of this very long review text") == "3 classify the sentiment"


def test_an_option_is_found_by_value_before_text() -> None:
    """1 and "1" are two options; a text finds an option that reads so."""
    factor = Factor(name="c", kind="choice", options=("1", 1, True, ("a", "b")))

    assert [factor.position(value) for value in ("1", 1, True, "a > b")] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="'c' has no option 'x'; its options are"):
        factor.position("x")


# Conditions


def test_a_nested_choice_exists_only_in_its_branch() -> None:
    """Conditions stack, and a candidate holds only the choices that its prompt uses."""
    space = space_of(
        """{% if flag("outer") %}{% if choice("middle", ["a", "b", "c"]) == "b" %}
        {{ choice("inner", ["x", "y"]) }}{% endif %}{% endif %}{{ row.text }}"""
    )

    assert exists_when(space) == {
        "outer": "",
        "middle": "outer is yes",
        "inner": "outer is yes and middle is b",
    }
    assert space.size() == (5, True)
    assert space.default == Candidate((("outer", 0),))
    assert space.candidate_of({"inner": "y", "middle": "b", "outer": "yes"}).to_dict() == {
        "outer": 1,
        "middle": 1,
        "inner": 1,
    }


def test_elif_and_else_have_choices_of_their_own() -> None:
    """Each branch of an if adds its own dimension."""
    space = space_of(
        """{% set kind = choice("kind", ["a", "b", "c"]) %}
        {% if kind == "a" %}{{ choice("of_a", ["1", "2"]) }}{% elif kind == "b" %}{{ choice("of_b", ["1", "2", "3"]) }}
        {% else %}{{ flag("of_c") }}{% endif %}{{ row.text }}"""
    )

    assert exists_when(space) == {"kind": "", "of_a": "kind is a", "of_b": "kind is b", "of_c": "kind is c"}
    assert space.size() == (2 + 3 + 2, True)


COMBINATIONS = {
    "and": ("{% if flag('a') and flag('b') %}", 1 + 1 + 3),
    "or": ("{% if flag('a') or flag('b') %}", 1 + 3 + 3),
    "both": ("{% set a = flag('a') %}{% set b = flag('b') %}{% if a and b %}", 3 + 3),
    "not both": ("{% set a = flag('a') %}{% set b = flag('b') %}{% if not (a and b) %}", 3 * 3 + 1),
    "different": ("{% set a = flag('a') %}{% set b = flag('b') %}{% if a != b %}", 2 * 3 + 2),
}


@pytest.mark.parametrize("condition", COMBINATIONS)
def test_a_choice_behind_a_combination_of_flags_is_found_and_counted(condition: str) -> None:
    """Where one flag alone changes nothing the combination is tried too."""
    opening, count = COMBINATIONS[condition]
    space = space_of(opening + "{{ choice('c', ['1', '2', '3']) }}{% endif %}{{ row.text }}")

    assert set(space.by_name) == {"a", "b", "c"}
    assert space.size() == (count, True)
    assert len(set(space.candidates())) == len(list(space.candidates())) == count


def test_a_parent_found_late_makes_no_candidate_twice() -> None:
    """A factor may come after the one whose existence it decides; the enumeration goes by the order of asking."""
    space = space_of(
        """{% if flag("a") %}{% if not flag("p") %}{{ choice("c", ["1", "2"]) }}{% endif %}
        {% else %}{{ choice("c", ["1", "2"]) }}{% endif %}{{ row.text }}"""
    )
    found = list(space.candidates())

    assert len(found) == len(set(found)) == space.size()[0] == 2 + 2 + 1


def test_examples_bring_picker_and_order_where_they_matter() -> None:
    """A picker exists with one shot, an order with two."""
    space = space_of('{% for s in examples("shots", max=3) %}{{ s.text }}{% endfor %}{{ row.text }}', pool=pool_of(9))

    assert exists_when(space)["shots.picker"] == "shots is not 0"
    assert exists_when(space)["shots.order"] == "shots is 2 or 3"
    pickers = len(space.by_name["shots.picker"].options)
    assert space.size() == (1 + pickers + 2 * pickers * 2, True)
    assert space.candidate_of({"shots": 1, "shots.order": "reversed"}).to_dict() == {"shots": 1, "shots.picker": 0}


def test_settings_of_the_study_are_factors_too() -> None:
    """The answer form can decide about choices; other settings only multiply."""
    extra = [
        Factor(name="answer", kind="answer", options=("label", "label_json")),
        Factor(name="temperature", kind="request", options=(0.0, 0.7, 1.0)),
    ]
    space = space_of(
        '{% if "json" in answer %}{{ choice("json_hint", ["a", "b"]) }}{% endif %}{{ row.text }}', extra=extra
    )

    assert exists_when(space)["json_hint"] == "answer is label_json"
    assert space.size() == ((1 + 2) * 3, True)
    assert [factor.name for factor in space.factors] == ["json_hint", "answer", "temperature"]


def test_a_template_is_rendered_once_for_each_way_through_its_conditions() -> None:
    """60 nested flags have 61 ways: choices, conditions and all candidates are found with 61 renderings."""
    flags = [Factor(name=f"flag {index}", kind="flag", options=(False, True)) for index in range(60)]
    rendered: list[str] = []

    def render(values: Mapping[str, Any]) -> dict[str, Factor]:
        used: dict[str, Factor] = {}
        for flag in flags:
            used[flag.name] = flag
            if not values.get(flag.name):
                break
        rendered.append(" ".join(used) + str(values.get(list(used)[-1])))
        return used

    space, unreached = discover([flag.name for flag in flags], render)
    assert (space.size(), unreached) == ((61, True), [])
    assert space.by_name["flag 2"].conditions == (Condition("flag 0", (1,)), Condition("flag 1", (1,)))
    assert len(list(space.candidates())) == len(rendered) == 61


WITH_A_CONDITION = {
    "compared": "{% if choice('style', styles) == styles[3] %}DETAIL{% endif %}",
    "set before": "{% set s = choice('style', styles) %}{% if s.startswith('a') %}DETAIL{% endif %}",
    "among some": "{% if choice('style', styles) in styles[:5] %}DETAIL{% endif %}",
    "asked twice": "{% if choice('style', styles) != choice('style', styles) | upper %}DETAIL{% endif %}",
    "written out": "{% if choice('style', WRITTEN) == 'a 3' %}DETAIL{% endif %}",
    "written out and set": "{% set l = WRITTEN %}{% if choice('style', l) in l[:5] %}DETAIL{% endif %}",
}
"""Templates in which a choice depends on another one, of many options."""


@pytest.mark.parametrize("source", WITH_A_CONDITION.values(), ids=WITH_A_CONDITION)
def test_the_work_for_an_option_does_not_grow_with_the_number_of_options(source: str) -> None:
    """Ten times the options of a choice on which another depends take ten times as many lines of Python."""

    def lines_run(count: int) -> int:
        styles = [f"{'abc'[option % 3]} {option}" for option in range(count)]
        written = source.replace("WRITTEN", repr(styles)).replace("DETAIL", "{{ choice('detail', ['x', 'y']) }}")
        template = Template(written + "Text: {{ row.text }}", context={"styles": styles})
        lines = 0

        def count_lines(frame: Any, event: str, argument: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            return count_lines

        tracing = sys.gettrace()
        sys.settrace(count_lines)
        try:
            space = template.space()
        finally:
            sys.settrace(tracing)
        assert [factor.name for factor in space.factors] == ["style", "detail"]
        return lines

    lines_run(60)
    assert lines_run(600) < 11 * lines_run(60)


def test_a_setting_may_not_have_the_name_of_a_choice() -> None:
    """One name is one dimension."""
    extra = [Factor(name="tone", kind="request", options=(1, 2))]
    with pytest.raises(TemplateError, match="line 1: 'tone' is a choice here and in the study's settings"):
        space_of('{{ choice("tone", ["a", "b"]) }}', extra=extra)


def test_factors_are_listed_as_the_template_mentions_them() -> None:
    """A choice that only another option reveals keeps its place."""
    space = space_of('{% if flag("a") %}{{ flag("b") }}{% endif %}{{ flag("c") }}{{ row.text }}')

    assert [factor.name for factor in space.factors] == ["a", "b", "c"]
    assert [factor.line for factor in space.factors] == [1, 1, 1]


# Counting, on random trees of choices


Tree = list[tuple[int, dict[int, "Tree"]]]
"""Choices in a row: the number of options, and the choices that exist under some of them."""


def trees(depth: int) -> st.SearchStrategy[Tree]:
    below = st.just([]) if depth == 0 else trees(depth - 1)
    one = st.integers(1, 3).flatmap(
        lambda options: st.tuples(
            st.just(options), st.dictionaries(st.integers(0, options - 1), below, max_size=options)
        )
    )
    return st.lists(one, max_size=2)


def written(tree: Tree, counter: list[int]) -> str:
    text = ""
    for options, below in tree:
        counter[0] += 1
        name = f"c{counter[0]}"
        listed = [f"{name} is {i}" for i in range(options)]
        text += f"{{% set {name} = choice('{name}', {listed}) %}}{{{{ {name} }}}} "
        for option, branch in below.items():
            text += f"{{% if {name} == '{listed[option]}' %}}{written(branch, counter)}{{% endif %}}"
    return text


def counted(tree: Tree) -> int:
    return math.prod(sum(counted(below.get(option, [])) for option in range(options)) for options, below in tree)


@settings(max_examples=examples(60), deadline=None)
@given(trees(2))
def test_counting_enumerating_and_prompts_agree(tree: Tree) -> None:
    """The count is right, the enumeration has each candidate once, and no two candidates are one prompt."""
    template = Template(written(tree, [0]) + "{{ row.text }}")
    space = template.space(ROW)

    candidates = list(space.candidates())

    assert space.size() == (counted(tree), True)
    assert len(candidates) == len(set(candidates)) == counted(tree)
    assert candidates[0] == space.default
    prompts = {str(template.render(space.values(candidate), ROW)) for candidate in candidates}
    assert len(prompts) == len(candidates)


@settings(max_examples=examples(60), deadline=None)
@given(trees(2), st.integers(0, 10**6))
def test_any_assignment_makes_a_candidate_of_the_enumeration(tree: Tree, seed: int) -> None:
    """Sampling and canonicalising never leave the space, and doing it twice changes nothing."""
    space = Template(written(tree, [0]) + "{{ row.text }}").space(ROW)
    candidate = space.sample(random.Random(seed))

    assert candidate in set(space.candidates())
    assert space.candidate(candidate.to_dict()) == candidate
    assert space.candidate_of(space.texts(candidate)) == candidate
    assert set(candidate.to_dict()) == space.active(candidate.to_dict())


def test_equal_prompts_are_one_candidate() -> None:
    """What an inactive choice would have been makes no difference."""
    space = space_of('{% if flag("a") %}{{ choice("b", ["1", "2"]) }}{% endif %}{{ row.text }}')

    assert space.candidate({"a": 0, "b": 0}) == space.candidate({"a": 0, "b": 1}) == space.default


def test_a_space_too_large_to_count_says_so() -> None:
    """Beyond some thousand branches the product of all options is an upper bound."""
    flags = "".join(f'{{% if flag("f{i}") %}}{{{{ flag("g{i}") }}}}{{% endif %}}' for i in range(13))
    space = space_of(flags + "{{ row.text }}")

    count, exact = space.size()

    assert not exact
    assert count == 4**13 >= 3**13
    assert "at most 67,108,864 candidates" in repr(space)
    assert exists_when(space)["g12"] == "f12 is yes"


def test_in_a_large_space_hidden_choices_are_looked_for_at_random() -> None:
    """A combination of two is found even where not everything can be tried."""
    many = "".join(f'{{% if flag("f{i}") %}}{{{{ flag("g{i}") }}}}{{% endif %}}' for i in range(13))
    space = space_of(
        many
        + '{% set a = flag("a") %}{% set b = flag("b") %}{% if a and b %}{{ flag("hidden") }}{% endif %}{{ row.text }}'
    )

    assert exists_when(space)["hidden"] == "a is yes and b is yes"


def test_discover_reports_names_that_are_never_reached() -> None:
    """The caller decides what to do about a name without a factor."""
    factor = Factor(name="a", kind="flag", options=(False, True))
    space, missing = discover(["a", "b"], lambda values: {"a": factor})

    assert [f.name for f in space.factors] == ["a"]
    assert missing == ["b"]


# Optuna


SOURCE = """{% set kind = choice("kind", ["a", "b"]) %}
{% if kind == "b" %}{{ choice("tone", ["x", "y", "z"]) }}{% endif %}
{{ order("layout", ["p", "q"]) }} {{ integer("n", 1, 3) }} {{ choice("only", ["one"]) }} {{ row.text }}"""


def test_suggestions_of_a_real_study_are_candidates_of_the_space() -> None:
    """A study with Optuna's own sampler walks the space, stores short ids, and gets canonical candidates."""
    space = space_of(SOURCE)
    everything = set(space.candidates())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = set()
    for _ in range(120):
        trial = study.ask()
        candidate = space.suggest(trial)
        seen.add(candidate)
        for name, index in candidate.positions:
            if name != "only":
                assert trial.params[name] == space.by_name[name].ids[index]
        study.tell(trial, 0.0)

    assert len(everything) == space.size()[0] == (1 + 3) * 2 * 3
    assert seen == everything
    assert set(study.trials[0].params) == {"kind", "tone", "layout", "n"}


def test_tpe_can_be_told_about_conditional_candidates() -> None:
    """Optuna's default sampler works on the flat space."""
    space = space_of(SOURCE)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(lambda trial: float(space.suggest(trial).to_dict().get("tone", 0)), n_trials=15)

    assert study.best_value == 2


# For people


def test_the_space_reads_well() -> None:
    """Each line names a choice, its options and its condition; an empty option shows."""
    space = space_of('{% if flag("a") %}{{ choice("b", ["one\\ntwo", ""]) }}{% endif %}{{ row.text }}')

    assert repr(space).splitlines() == [
        "SearchSpace: 2 choices, 3 candidates",
        "  a: no | yes",
        "  b: one⏎two | (empty)  (when a is yes)",
    ]
    assert space.by_name["b"].conditions == (Condition("a", (1,)),)


def test_one_choice_is_counted_in_the_singular() -> None:
    """The first line of a space says "1 choice", and "1 candidate" where there is only one."""
    assert repr(space_of('{{ choice("b", ["x", "y"]) }}')).splitlines()[0] == "SearchSpace: 1 choice, 2 candidates"
    assert repr(space_of("{{ row.text }}")) == "SearchSpace: 0 choices, 1 candidate"


def test_an_unknown_choice_is_refused_by_name() -> None:
    """The error lists the choices there are."""
    with pytest.raises(InputError, match="there is no choice named 'b'; there are a"):
        space_of('{{ flag("a") }}').candidate_of({"b": 1})
