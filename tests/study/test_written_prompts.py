"""Prompts that somebody wrote as a whole are raced beside the candidates of the template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

import prompt_search as ps
from prompt_search.errors import InputError, StudyError, TemplateError
from prompt_search.search.settings import SEARCH_VERSION
from prompt_search.testing import InProcessExecutor
from tests.study.examples import DATA, SOURCE, assert_equal_results, data, study, truth

CAREFUL = "Take care with every word.\n\nText: {{ row.text }}\nLabel:"
"""A prompt that is always right: the model of these tests is, wherever it reads "care"."""

PLAIN = "Label this.\n{{ row.text }}"

CHAT = """{% chat role="system" %}With care: {{ labels | join(" or ") }}.{% endchat %}
{% chat role="user" %}{{ row.text }}{% endchat %}"""

CARELESS = SOURCE.replace(', "Decide with care."', "")
"""The template without the instruction that is always right."""


def own_metric(answer: Any, row: Any) -> bool:
    """Another metric than the default."""
    return bool(answer == row.target)


def raced(fake: InProcessExecutor, *prompts: ps.Prompt | str, storage: str | None = None, **settings: Any) -> ps.Study:
    """A study whose template is never always right, with prompts enqueued."""
    fake.answer = truth
    made = study(fake, storage, template=ps.Template(CARELESS), **settings)
    for prompt in prompts:
        made.enqueue(prompt=prompt)
    return made


def test_written_prompt_may_win(fake: InProcessExecutor) -> None:
    """A prompt that is better than all candidates of the template wins, and ships as it was written."""
    result = raced(fake, CAREFUL).run(300)
    assert result.best.source == CAREFUL
    assert result.best.choices == {"written": "prompt"}
    assert result.test_score(result.best_trial).mean == 1.0
    trials = result.trials_df()
    assert [trials.loc[1, name] for name in ("written", "instruction", "listed", "cue")] == ["prompt", None, None, None]
    assert set(trials["written"].drop(1)) == {"(template)"}
    assert "written by hand" in repr(result)


def test_search_proposes_no_candidate_with_a_written_prompt(fake: InProcessExecutor) -> None:
    """Each written prompt is one trial, right after the default; all other trials are of the template."""
    result = raced(fake, PLAIN, CAREFUL).run(400)
    written = result.trials_df()["written"].tolist()
    assert written[:3] == ["(template)", "prompt", "prompt 2"]
    assert set(written[3:]) == {"(template)"}


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        (PLAIN, [("user", "Label this.\nbad thing number 0")]),
        (ps.Prompt.from_text(PLAIN), [("user", "Label this.\nbad thing number 0")]),
        (ps.Prompt(source=PLAIN, name="mine"), [("user", "Label this.\nbad thing number 0")]),
        (CHAT, [("system", "With care: negative or positive."), ("user", "bad thing number 0")]),
        ('{{ row["text"] | upper }}', [("user", "BAD THING NUMBER 0")]),
        ("{% if row.text %}{{ row.text }}{% endif %}", [("user", "bad thing number 0")]),
        ('Reply {"label": …} for\r\n{{ row.text }}\r\n', [("user", 'Reply {"label": …} for\nbad thing number 0')]),
        ("{# a note #}\n{{ row.text }}", [("user", "bad thing number 0")]),
        ("The {{ target }} of {{ row.text }}", [("user", "The label of bad thing number 0")]),
        ("{% raw %}{{ x }}{% endraw %} {{ row.text }}", [("user", "{{ x }} bad thing number 0")]),
        (ps.Prompt(source=PLAIN, parameters={"top_p": 0.5}), [("user", "Label this.\nbad thing number 0")]),
    ],
)
def test_written_prompt_is_sent_as_it_is(
    fake: InProcessExecutor, prompt: ps.Prompt | str, messages: list[tuple[str, str]]
) -> None:
    """Text, chat blocks and the study's variables render as they do anywhere else, with the study's settings."""
    made = raced(fake, prompt, request={"seed": 7})
    (candidate,) = made.plan.enqueued_candidates
    prepared = made.prepared(candidate)
    request = prepared.request(DATA.rows[0].fields)
    assert [(each.role, each.content) for each in request.messages] == messages
    own = {} if isinstance(prompt, str) else prompt.parameters
    assert request.parameters == {"temperature": 0, **made.answers[0].parameters, "seed": 7, **own}
    assert ps.Prompt.from_dict(prepared.prompt.to_dict()).render(DATA.rows[0].fields) == request.messages


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (
            "Classify.",
            (
                "prompt: no field of the row is shown, so the model gets the same prompt for every row; write "
                "{{ row.text }}"
            ),
        ),
        ("Classify {text}", "prompt line 1: {text} is sent as it is written; write {{ row.text }} for the row's value"),
        ("{{ text }}", "prompt line 1: undefined variable 'text'; a field of the row is written {{ row.text }}"),
        ("{{ row.body }}", "prompt line 1: the rows have no field 'body'; they have text"),
        (
            "{{ row.label }}",
            "prompt line 1: row.label is the target, which a prompt must not contain; use another field",
        ),
        (
            '{{ choice("a", ["b", "c"]) }} {{ row.text }}',
            (
                "prompt: 'choice' is a choice function, so this is a template, not a prompt; open it with "
                "Template.read, as the template= of a study"
            ),
        ),
        (
            "{{ row.text",
            "prompt line 1: template syntax: unexpected end of template, expected 'end of print statement'.",
        ),
    ],
)
def test_written_prompt_is_checked_at_once(fake: InProcessExecutor, prompt: str, said: str) -> None:
    """What is wrong with a prompt is one line, before any call, and the study stays as it was."""
    made = raced(fake)
    with pytest.raises(InputError) as caught:
        made.enqueue(prompt=prompt)
    assert str(caught.value) == said
    assert made.plan.enqueued == ()
    assert fake.count == 0


def test_prompt_with_choices_is_no_written_prompt(fake: InProcessExecutor) -> None:
    """A prompt whose source still has choices is refused with its line."""
    with pytest.raises(TemplateError, match=r"mine line 2: a prompt that is enqueued as a whole has no choices; fill"):
        raced(fake, ps.Prompt(source='{{ row.text }}\n{{ choice("a", ["b", "c"]) }}', name="mine"))


@pytest.mark.parametrize(
    "given",
    [
        [{"role": "user", "content": "Mine: {{ row.text }}"}],
        ({"role": "system", "content": "Mine."}, {"role": "user", "content": "{{ row.text }}"}),
        {"messages": [{"role": "user", "content": "Mine: {{ row.text }}"}]},
        ps.Prompt(source="Mine: {{ row.text }}"),
        "Mine: {{ row.text }}",
    ],
)
def test_prompts_are_enqueued_in_every_form_that_people_have(
    fake: InProcessExecutor, tmp_path: Path, given: Any
) -> None:
    """Messages, text and prompts are enqueued, from a file too, and once only."""
    made = raced(fake)
    made.enqueue(prompt=given)
    assert "Mine" in made.prepared(made.plan.enqueued_candidates[0]).prompt.text
    with pytest.warns(UserWarning, match=r"^this prompt is enqueued already, and is ignored$"):
        made.enqueue(prompt=given)
    assert len(made.plan.enqueued) == 1
    if not isinstance(given, (str, ps.Prompt)):
        (tmp_path / "mine.json").write_text(json.dumps(given))
        other = raced(fake)
        other.enqueue(prompt=tmp_path / "mine.json")
        first, second = (each.prepared(each.plan.enqueued_candidates[0]).prompt for each in (made, other))
        assert first.messages({"text": "x"}) == second.messages({"text": "x"})


def test_choices_that_are_enqueued_again_are_ignored_with_a_word(fake: InProcessExecutor) -> None:
    """The same choices, however they are written, are one candidate."""
    made = raced(fake)
    made.enqueue({"cue": "Answer:"})
    with pytest.warns(UserWarning, match=r"'cue': 'Answer:'.* is enqueued already, and is ignored$"):
        made.enqueue({"cue": "Answer:", "listed": False})
    assert len(made.plan.enqueued) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "a prompt is text with {{ row.FIELD }}, a list of messages or a Prompt, not 5; give one of them"),
        ("mine.j2", "mine.j2: cannot read the prompt: No such file or directory; give the path of a .j2 or .json file"),
        ([], "prompt: messages must be a list with at least one message, got []"),
        (
            [{"role": "user"}],
            (
                "prompt: a message must have a role (system, user, assistant, developer, tool) and content that is "
                "text, got {'role': 'user'}; correct it"
            ),
        ),
        (
            {"messages": [{"role": "user", "content": "{{ row.text }}"}], "temperature": 1},
            (
                "prompt: 'temperature' is no key of a prompt, which has messages, template, choices, parameters, "
                'answer, model, metric; request parameters stand inside of "parameters"'
            ),
        ),
        ({"text": "x"}, "prompt: 'text' is no key of a prompt"),
    ],
)
def test_what_is_no_prompt_is_refused(fake: InProcessExecutor, given: Any, said: str) -> None:
    """Anything else than a prompt is one line that says what a prompt is."""
    with pytest.raises(InputError) as caught:
        raced(fake).enqueue(prompt=given)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("given", ["Classify {{ row.text }}", 5, [{"role": "user", "content": "x"}]])
def test_prompt_in_the_place_of_choices_is_told(fake: InProcessExecutor, given: Any) -> None:
    """Who gives a prompt first is told the name of the argument."""
    with pytest.raises(
        StudyError, match=r"^enqueue takes choices by name first, got .*; write enqueue\(prompt=\.\.\.\)"
    ):
        raced(fake).enqueue(given)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Classify {text}", "line 1: {text} is sent as it is written; write {{ row.text }} for the row's value"),
        ("Classify {{ text }}", "line 1: undefined variable 'text'; a field of the row is written {{ row.text }}"),
        ("Classify {{ txet }}", "line 1: undefined variable 'txet'; a field of the row is written {{ row.text }}"),
        ("Classify {{ row.txet }}", "line 1: the rows have no field 'txet'; they have text"),
    ],
)
def test_evaluated_prompt_is_checked_against_the_data(fake: InProcessExecutor, source: str, said: str) -> None:
    """A prompt that does not fit the rows is told what fits, whether it is scored or rendered."""
    prompt = ps.Prompt.from_text(source)
    with pytest.raises(TemplateError) as caught:
        ps.evaluate(prompt, DATA, model=fake.model(), executor=fake)
    assert str(caught.value) == f"prompt {said}"
    assert fake.count == 0
    if "{{" in source:
        with pytest.raises(TemplateError) as caught:
            prompt.messages({"text": "x"})
        of_row = said.replace(
            "s have no field 'txet'; they have", " has no field 'txet', which the prompt shows; it has:"
        )
        assert str(caught.value) == f"prompt {of_row}"


def test_enqueue_takes_one_thing(fake: InProcessExecutor) -> None:
    """Neither nothing nor choices and a prompt together can be enqueued."""
    made = raced(fake)
    for choices, prompt in ((None, None), ({"cue": ""}, PLAIN)):
        with pytest.raises(StudyError, match=r"^enqueue takes either choices or a whole prompt=; give one of them$"):
            made.enqueue(choices, prompt=prompt)


def test_choice_of_the_same_name_is_refused(fake: InProcessExecutor) -> None:
    """A choice called written would share its column with the names of prompts."""
    made = study(fake, template=ps.Template('{{ choice("written", ["a", "b"]) }} {{ row.text }}'))
    with pytest.raises(StudyError, match="'written' is a choice here and says which prompt was enqueued as a whole"):
        made.enqueue(prompt=PLAIN)


def test_study_without_written_prompts_is_what_it_was(fake: InProcessExecutor) -> None:
    """Nothing about written prompts is in the identity or the space of a study that has none."""
    made = study(fake)
    made.enqueue({"cue": "Answer:"})
    assert made.identity()["enqueued"] == [{"instruction": "Classify.", "listed": "no", "cue": "Answer:"}]
    assert made.identity()["search"] == SEARCH_VERSION
    assert "written" not in made.space().by_name


def test_text_is_part_of_the_identity(fake: InProcessExecutor, storage: str) -> None:
    """A stored study with another written prompt is not continued."""
    raced(fake, CAREFUL, storage=storage).run(60)
    with pytest.raises(StudyError, match="enqueued"):
        raced(fake, PLAIN, storage=storage).run(60)


def test_resumed_study_is_the_same(fake: InProcessExecutor, storage: str, tmp_path: Path) -> None:
    """A run that was ended by its budget goes on to the same result as one that was not."""
    whole = raced(fake, CAREFUL, PLAIN, storage=f"sqlite:///{tmp_path / 'other.db'}").run(300)
    fake.fail_after = fake.count + 90
    with pytest.raises(ps.RunError):
        raced(fake, CAREFUL, PLAIN, storage=storage).run(300)
    fake.fail_after = None
    assert_equal_results(raced(fake, CAREFUL, PLAIN, storage=storage).run(300), whole)


def test_written_and_chosen_candidates_are_raced_together(fake: InProcessExecutor) -> None:
    """Choices and prompts enter in the order in which they were enqueued, and ``replace`` keeps them."""
    made = raced(fake)
    made.enqueue({"cue": "Answer:"})
    made.enqueue(prompt=PLAIN)
    made.enqueue({"cue": ""})
    trials = made.replace(seed=3).run(150).trials_df()
    assert trials["written"].tolist()[:4] == ["(template)", "(template)", "prompt", "(template)"]
    assert trials["cue"].tolist()[:4] == ["Label:", "Answer:", None, ""]


def test_exported_winner_is_raced_again(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A prompt of an earlier study is sent as it was there, and rows that it shows are not scored with it."""
    shots = '{% for shot in examples("shots", min=2, max=3) %}{{ shot.text }}: x\n{% endfor %}{{ row.text }}'
    fake.answer = truth
    best = study(fake, template=ps.Template(shots), request={"top_p": 0.5}).prompt()
    path = best.export(tmp_path / "best.j2")
    made = raced(fake, ps.Prompt.read(path))
    (candidate,) = made.plan.enqueued_candidates
    sent = made.prepared(candidate).request(DATA.rows[0].fields)
    assert [each.to_dict() for each in sent.messages] == best.messages(DATA.rows[0].fields)
    assert sent.parameters == best.parameters
    shown = {row for row in made.search_rows if DATA.rows[row].text + ":" in best.text}
    assert shown
    assert set(made.search_rows) - set(made.rows_for(candidate)) == shown


def test_rescored_study_keeps_its_written_prompts(fake: InProcessExecutor, storage: str) -> None:
    """Rescoring with another metric, by a study that enqueues nothing, reads the same trials."""
    result = raced(fake, CAREFUL, PLAIN, storage=storage).run(200)
    again = study(fake, storage, template=ps.Template(CARELESS), metric=own_metric).rescore("study")
    assert again.trials_df()["written"].tolist() == result.trials_df()["written"].tolist()
    assert again.best.source == result.best.source


def test_cross_fit_races_written_prompts(fake: InProcessExecutor) -> None:
    """Each search of a cross-fit has the written prompt."""
    crossed = raced(fake, CAREFUL).cross_fit(600, folds=2)
    assert crossed.result.best.source == CAREFUL


@pytest.mark.parametrize("sampler", [optuna.samplers.RandomSampler(0), optuna.samplers.TPESampler(seed=0)])
@pytest.mark.parametrize("pruner", [None, optuna.pruners.MedianPruner()])
def test_samplers_and_pruners_of_optuna_leave_written_prompts_alone(
    fake: InProcessExecutor, sampler: Any, pruner: Any
) -> None:
    """A user's sampler proposes candidates of the template alone, a pruner sees all trials."""
    result = raced(fake, CAREFUL, sampler=sampler, pruner=pruner).run(200)
    assert result.trials_df()["written"].tolist().count("prompt") == 1
    assert len(result.trials_df()) > 4


def test_everything_is_told_of_a_written_prompt(fake: InProcessExecutor, storage: str, tmp_path: Path) -> None:
    """Estimate, preflight, tables, reports, notebooks, comparisons, files and Optuna know a written prompt."""
    made = raced(fake, CAREFUL, storage=storage)
    assert made.estimate(200).calls <= 200
    assert made.preflight(200).prompts > 1
    result = made.run(200)
    assert CAREFUL.splitlines()[0] in result._repr_html_()
    for name in ("report.md", "report.html"):
        assert "Take care with every word." in result.report(tmp_path / name).read_text(encoding="utf-8")
    assert result.optuna_study.trials[1].params == {"written": "1 prompt"}
    assert result.optuna_study.trials[1].user_attrs["prompt"] == result.best.text
    assert "prompt" in result.effects_df().query("choice == 'written'")["option"].tolist()
    for suffix in (".j2", ".json"):
        again = ps.Prompt.read(result.best.export(tmp_path / f"best{suffix}"))
        assert again.messages(DATA.rows[0].fields) == result.best.messages(DATA.rows[0].fields)
    assert ps.open_result(storage, "study").best.source == CAREFUL


def test_two_models_race_a_written_prompt_on_its_own(fake: InProcessExecutor) -> None:
    """A prompt that names one of the study's models is sent to it, another to the first."""
    models = ps.choice([fake.model("one"), fake.model("two")])
    named = ps.Prompt(source=PLAIN, model="two")
    made = raced(fake, named, CAREFUL, model=models, data=data(40))
    assert [made.prepared(each).model for each in made.plan.enqueued_candidates] == ["two", "one"]
    assert made.run(150).trials_df()["written"].tolist()[1:3] == ["prompt", "prompt 2"]


@pytest.mark.parametrize("count", [1, 5])
def test_prompt_that_shows_test_rows_is_refused(fake: InProcessExecutor, count: int) -> None:
    """A prompt with the answers to test rows in it would pass the test without being better."""
    made = raced(fake)
    rows = made.plan.test_rows[:count]
    shots = "".join(f"{DATA.rows[row].text}: {DATA.rows[row].target}\n" for row in rows)
    named = ", ".join(map(str, sorted(rows)[:3])) + (", …" if count > 3 else "")
    with pytest.raises(StudyError) as caught:
        made.enqueue(prompt=ps.Prompt(source=shots + PLAIN, name="mine"))
    assert str(caught.value) == (
        f"mine shows {count} of the test rows as examples (row {named}), so that a test would not be fair; show "
        "others, such as those of study.search_rows"
    )


def test_rescored_prompt_keeps_its_own_answer_form(fake: InProcessExecutor, storage: str) -> None:
    """A prompt that was enqueued with an answer form is read by it when the study is rescored with another."""
    own = ps.Label(["negative", "positive"], mode="json")
    written = ps.Prompt(source=PLAIN, answer=own.to_dict(), parameters=own.parameters)
    fake.answer = lambda body: f'{{"label": "{truth(body)}"}}' if "response_format" in body else truth(body)
    first = study(fake, storage, template=ps.Template(CARELESS))
    first.enqueue(prompt=written)
    result = first.run(200)
    again = study(fake, storage, template=ps.Template(CARELESS), answer=ps.Label(["positive", "negative"]))
    scores = [each.trials_df()["score"].tolist()[1] for each in (result, again.rescore("study"))]
    assert scores[0] > 0
    assert scores[0] == scores[1]


def test_budget_in_tokens_needs_a_bound_for_a_written_prompt_too(fake: InProcessExecutor) -> None:
    """A prompt with its own answer form and no limit of its answers is refused before any call."""
    form = ps.Label(["negative", "positive"]).to_dict()
    made = raced(fake, ps.Prompt(source=PLAIN, answer=form))
    with pytest.raises(InputError, match="can only be kept when answers are bounded"):
        made.run(ps.Budget(tokens=10_000))
    assert fake.count == 0
