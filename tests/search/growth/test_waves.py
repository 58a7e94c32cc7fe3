"""When a search asks for new options, of which trial, by which operator, and from which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate, Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.growth.history import History
from prompt_search.search.growth.waves import FIRST_PAUSE, MIN_CALLS, Spent, Standing, Wave, Waves
from prompt_search.search.proposals import Ask, GrowthSettings, Reply
from prompt_search.search.trial import Trial

ROWS = list(range(100, 200))
BLOCK = 10
OPERATORS = {"reflect": "failures", "describe": "rows", "combine": "parents", "vary": "parent"}


def space(*, grown: Sequence[str] = ()) -> SearchSpace:
    """Two choices, of which the first grows."""
    options = ("Sort it.", "Classify it.", *grown)
    factors = [
        Factor(name="instruction", kind="choice", options=options, grow="tells the model what to do", grown=len(grown)),
        Factor(name="cue", kind="choice", options=("", "Label:")),
    ]
    return SearchSpace(factors, lambda values: ["instruction", "cue"])


def trial(number: int, instruction: int, scores: dict[int, float], *, state: str = "running") -> Trial:
    """A trial with scores by the place of their rows in the common order."""
    return Trial(
        number=number,
        candidate=Candidate((("instruction", instruction), ("cue", 0))),
        positions={"instruction": instruction, "cue": 0},
        levels=cast(Any, None),
        prepared=cast(PreparedPrompt, None),
        rows=ROWS,
        outcomes=[outcome(ROWS[place], score) for place, score in scores.items()],
        state=state,
    )


def outcome(row: int, score: float) -> Outcome:
    return Outcome(
        row=row,
        key=f"{row}",
        answer="a",
        score=score,
        explanation="",
        unparsed=False,
        error=None,
        cached=False,
        margin=None,
        ambiguous=False,
    )


def waves(history: History, *, operators: dict[str, str] | None = None, share: float = 0.15, seed: int = 0) -> Waves:
    settings = GrowthSettings(
        operators=OPERATORS if operators is None else operators,
        share=share,
        propose=cast(Any, None),
        grow=cast(Any, None),
        described=ROWS[::-1][:24],
    )
    return Waves(settings, history, seed, ROWS, BLOCK)


def due(of: Waves, *trials: Trial, spent: float = 50, limit: float = 300, grown: Sequence[str] = ()) -> Wave:
    """What is due where each trial is expected to score its mean score."""
    means = {each.number: sum(each.scores) / len(each.scores) if each.scores else 0.0 for each in trials}
    ranked = sorted(trials, key=lambda each: -means[each.number])
    standing = Standing(space=space(grown=grown), trials=ranked, means=means)
    return of.due(standing, Spent(calls=spent, limit=limit))


TWO_BLOCKS = {place: float(place % 2) for place in range(20)}
"""Half of the answers to the rows of two blocks are right."""


def accepted(history: History, ask: Ask, *texts: str, grown: Sequence[str] = ()) -> None:
    history.take([Reply(ask=ask, texts=[(text, "") for text in texts], key="k")], space(grown=grown))


def test_a_request_shows_wrong_rows_of_the_second_block_and_sets_the_whole_block_aside() -> None:
    """The first block stays for comparisons; which rows are shown depends on answers, so all of their block go."""
    (ask,) = due(waves(History(), operators={"reflect": "failures"}), trial(0, 0, TWO_BLOCKS)).asks
    assert ask.rows == [110, 112, 114, 116, 118]
    assert ask.aside == ROWS[10:20]
    assert (ask.choice, ask.operator, ask.parents, ask.trial) == ("instruction", "reflect", [0], 0)


def test_a_trial_with_one_block_gets_more_rows_first() -> None:
    """Before its mistakes are shown, a trial of hand-written options is scored on a second block."""
    found = due(waves(History()), trial(0, 0, dict.fromkeys(range(10), 0.0)))
    assert found == Wave(more_rows=[0])


def test_mistakes_of_a_proposed_option_are_shown_from_its_first_block() -> None:
    """What a model proposed is reworded as soon as it was looked at."""
    history = History()
    accepted(history, Ask(choice="instruction", operator="vary", parents=[0]), "Say its kind.")
    grown = trial(1, 2, dict.fromkeys(range(10), 0.0))
    (ask,) = due(waves(history, operators={"reflect": "failures"}), grown, grown=["Say its kind."]).asks
    assert (ask.trial, ask.parents, ask.aside) == (1, [2], ROWS[:10])


def test_rows_of_the_parents_are_set_aside_for_their_children() -> None:
    """An option's rows include those of all options that it comes from."""
    history = History()
    accepted(history, Ask(choice="instruction", operator="reflect", parents=[0], aside=[101, 103]), "A text.")
    accepted(
        history, Ask(choice="instruction", operator="vary", parents=[2], aside=[105]), "B text.", grown=["A text."]
    )
    assert history.aside("instruction", 3) == {101, 103, 105}
    assert history.generation(Candidate((("instruction", 3), ("cue", 1)))) == 2


@pytest.mark.parametrize(
    ("spent", "limit", "share"),
    [(20.0, MIN_CALLS - 1.0, 0.15), (280.0, 300.0, 0.15), (50.0, 300.0, 0.003)],
    ids=["small budget", "late", "no share"],
)
def test_nothing_is_proposed_where_no_call_is_left_to_look_at_it(spent: float, limit: float, share: float) -> None:
    """A small budget, the end of the search, and a share below one call make no request."""
    found = due(waves(History(), share=share), trial(0, 0, TWO_BLOCKS), spent=spent, limit=limit)
    assert found == Wave()


def test_the_share_bounds_the_number_of_requests() -> None:
    """With a share of two calls the third request is never made."""
    history, asked = History(), 0
    rules = waves(history, operators={"describe": "rows"}, share=2 / 300)
    for spent in range(20, 270, 10):
        found = due(rules, trial(0, 0, TWO_BLOCKS), spent=spent)
        asked += len(found.asks)
        for ask in found.asks:
            history.take([Reply(ask=ask, texts=[("", "the answer holds no option")], key="k")], space())
    assert asked == 2


def test_proposals_that_win_nothing_are_followed_by_a_pause() -> None:
    """After the second wave in vain a tenth of the calls passes, then more."""
    history = History()
    rules = waves(history, operators={"describe": "rows"})
    waited = []
    last = 0.0
    for spent in range(20, 270):
        for ask in due(rules, trial(0, 0, TWO_BLOCKS), spent=spent).asks:
            history.take([Reply(ask=ask, texts=[("", "is empty")], key="k")], space())
            waited.append(spent - last)
            last = spent
    assert waited[1:4] == pytest.approx([1, FIRST_PAUSE * 300, 3 * FIRST_PAUSE * 300])
    assert rules.paused


def test_a_wave_that_won_is_followed_by_the_next_without_a_pause() -> None:
    """As soon as a new option is expected to be better than what its request showed, the next request is made."""
    history = History()
    rules = waves(history)
    old = trial(0, 0, TWO_BLOCKS)
    (ask,) = due(rules, old, spent=30).asks
    accepted(history, replace(ask, parents=[0], trial=0), "Say its kind.")
    better = trial(1, 2, dict.fromkeys(range(10), 1.0) | {0: 0.0})
    found = due(rules, old, better, spent=40, grown=["Say its kind."])
    assert [each.trial for each in found.asks] == [1]
    assert not rules.paused


def test_a_stopped_trial_is_not_shown() -> None:
    """Requests start from trials that are still in the race."""
    stopped, running = trial(0, 0, TWO_BLOCKS | {0: 1.0}, state="pruned"), trial(1, 1, TWO_BLOCKS)
    assert [ask.trial for ask in due(waves(History()), stopped, running).asks] == [1]


def test_without_a_choice_that_grows_nothing_is_asked() -> None:
    """A trial of a prompt that was written as a whole has no choice that may grow."""
    whole = trial(0, 0, TWO_BLOCKS)
    whole.candidate = Candidate((("cue", 0),))
    assert due(waves(History()), whole) == Wave()


def test_labelled_rows_come_from_the_end_and_change_from_request_to_request() -> None:
    """An operator that shows rows alone starts where shots come from, with other rows each time."""
    history = History()
    rules = waves(history, operators={"describe": "rows"})
    (first,) = due(rules, trial(0, 0, TWO_BLOCKS), spent=20).asks
    history.take([Reply(ask=first, texts=[("", "is empty")], key="k")], space())
    (second,) = due(rules, trial(0, 0, TWO_BLOCKS), spent=21).asks
    assert (first.rows, second.rows) == ([194, 195, 196, 197, 198, 199], [188, 189, 190, 191, 192, 193])
    assert (first.parents, first.aside) == ([], first.rows)


def test_two_options_are_combined_only_where_there_are_two() -> None:
    """The best option of another trial is the second parent."""
    rules = {"combine": "parents"}
    assert due(waves(History(), operators=rules), trial(0, 0, TWO_BLOCKS)) == Wave()
    better, other = trial(0, 0, TWO_BLOCKS | {0: 1.0}), trial(1, 1, TWO_BLOCKS)
    assert [ask.parents for ask in due(waves(History(), operators=rules), better, other).asks] == [[0, 1]]


def test_what_an_operator_has_won_decides_how_often_it_is_asked() -> None:
    """An operator whose options were worse is asked less often than one whose options were better."""
    names = {"good": "parent", "bad": "parent"}
    asked = []
    for seed in range(40):
        history = History()
        for number, operator in enumerate(("good", "bad") * 6):
            ask = Ask(choice="instruction", operator=operator, parents=[0], trial=0)
            accepted(history, ask, f"text {number}", grown=[""] * number)
        trials = [trial(0, 0, TWO_BLOCKS)]
        for number in range(12):
            score = 0.9 if number % 2 == 0 else 0.1
            trials.append(trial(1 + number, 2 + number, dict.fromkeys(range(10), score)))
        found = due(waves(history, operators=names, seed=seed), *trials, grown=[""] * 12)
        asked += [ask.operator for ask in found.asks]
    assert len(asked) == 40
    assert asked.count("good") > 35


def test_a_proposal_of_an_earlier_search_is_an_option_without_a_gain() -> None:
    """Its trial had another number, so that nothing is compared with it; waves are numbered on."""
    history = History()
    accepted(history, Ask(choice="instruction", operator="vary", parents=[0], trial=0), "A text.")
    later = History([replace(each, trial=-1) for each in history.proposals])
    assert later.next_wave == 1
    assert later.gains([trial(0, 2, TWO_BLOCKS)], {0: 0.5}) == {}
    assert later.is_grown(Candidate((("instruction", 2),)))


def test_a_trial_whose_mistakes_were_shown_gets_more_rows_before_it_is_shown_again() -> None:
    """A request that shows the same mistakes again would tell nothing new; after three blocks another operator asks."""
    history = History()
    rules = waves(history, operators={"reflect": "failures", "vary": "parent"})
    (first,) = due(rules, trial(0, 0, TWO_BLOCKS), spent=30).asks
    assert first.operator == "reflect"
    accepted(history, first, "Say its kind.")
    assert due(rules, trial(0, 0, TWO_BLOCKS), spent=40) == Wave(more_rows=[0])
    all_right = dict.fromkeys(range(20, 40), 1.0)
    (second,) = due(rules, trial(0, 0, TWO_BLOCKS | all_right), spent=60).asks
    assert second.operator == "vary"


def test_mistakes_that_led_to_an_option_are_shown_again_after_its_own() -> None:
    """A text seldom mends all mistakes that led to it; up to eight rows are shown, the trial's own first."""
    history = History()
    rules = waves(history, operators={"reflect": "failures"})
    (first,) = due(rules, trial(0, 0, TWO_BLOCKS), spent=30).asks
    assert first.rows == [110, 112, 114, 116, 118]
    accepted(history, first, "Say its kind.")
    wrong = {20: 1.0, 21: 0.0, 22: 1.0, 23: 0.0, 24: 0.0, 25: 0.0}
    (second,) = due(rules, trial(0, 0, TWO_BLOCKS), trial(1, 2, wrong), spent=60, grown=["Say its kind."]).asks
    assert (second.trial, second.rows) == (1, [121, 123, 124, 125, 110, 112, 114, 116])
    assert second.aside == ROWS[20:30]


def test_rows_of_operators_that_show_no_mistakes_are_not_shown_again() -> None:
    """What *describe* showed are rows, not mistakes."""
    history = History()
    accepted(
        history, Ask(choice="instruction", operator="describe", rows=[190, 191], aside=[190, 191]), "Say its kind."
    )
    grown = trial(1, 2, dict.fromkeys(range(10), 0.0))
    (ask,) = due(waves(history, operators={"reflect": "failures"}), grown, grown=["Say its kind."]).asks
    assert ask.rows == ROWS[:6]


@pytest.mark.parametrize(
    ("scores", "paused"),
    [((0.6, 0.6), False), ((0.495, 0.495), False), ((0.6, 0.0), True), ((0.4, 0.4), True)],
)
def test_calls_pass_unless_all_proposals_together_have_won(scores: tuple[float, float], paused: bool) -> None:
    """Of some looks that say nothing, one always says that something was won; a loss that is next to nothing counts as
    a gain."""
    history = History()
    rules = waves(history, operators={"vary": "parent", "shorten": "parent"})
    (ask,) = due(rules, trial(0, 0, TWO_BLOCKS), spent=30).asks
    accepted(history, ask, "A text.", "B text.")
    looked = [trial(number, 1 + number, {0: score}) for number, score in enumerate(scores, start=1)]
    due(rules, trial(0, 0, TWO_BLOCKS), *looked, spent=60, grown=["A text.", "B text."])
    assert rules.paused == paused


def test_scores_that_are_all_equal_win_nothing() -> None:
    """Where no answer can be read, a proposal loses nothing and wins nothing, and calls pass before the next."""
    history = History()
    rules = waves(history, operators={"vary": "parent", "shorten": "parent"})
    nothing = dict.fromkeys(range(20), 0.0)
    (ask,) = due(rules, trial(0, 0, nothing), spent=30).asks
    accepted(history, ask, "A text.")
    due(rules, trial(0, 0, nothing), trial(1, 2, {0: 0.0}), spent=60, grown=["A text."])
    assert rules.paused


def test_options_that_share_what_they_come_from_are_counted_once() -> None:
    """Sixty options, each combined from the two before it, have sixty proposals behind them, not Fibonacci's number."""
    history, grown = History(), list[str]()
    for number in range(60):
        ask = Ask(choice="instruction", operator="combine", parents=[number + 1, number])
        accepted(history, ask, f"Text {number}.", grown=grown)
        grown.append(f"Text {number}.")
    assert [each.option for each in history.ancestry("instruction", 61)] == list(range(61, 1, -1))
    assert history.generation(Candidate((("instruction", 61),))) == 60
