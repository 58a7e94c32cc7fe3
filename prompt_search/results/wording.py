"""Every sentence about a result that people read, in terminal, notebook and report; made from values alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from prompt_search import _html, _numbers
from prompt_search._numbers import counted
from prompt_search.results.spent import budget_text
from prompt_search.results.verdict import TOLD_SHARE, AnswerCounts, MeanScore, Verdict

DEFAULT_PROMPT = "the default prompt"
HAND_WRITTEN_PROMPT = "the best prompt written by hand"

SHOWN_TRIALS = 21
"""Number of trials at most that an error names."""

DEFAULT_CHOICES = "(the default prompt)"
"""The text in place of choices that differ from the default, for the default itself."""

PROMPT_NAMES = {"default": "default (all first options)", "hand_written": "best written by hand", "winner": "winner"}
"""The names of the prompts that are tested, in tables."""

WHOSE_TEST = {
    "default": "the default prompt's test",
    "hand_written": "the hand-written prompt's test",
    "winner": "the winner's test",
}
"""Whose test requests and answers they are, in sentences."""

COST_LABELS = {
    "prompt_tokens": "prompt tokens",
    "usd_per_1000_rows": "US dollars per 1,000 rows",
    "latency_s": "seconds per request",
}
"""The costs that scores are compared with, by their column."""

VERDICT_WORDS = {"better": "better than", "worse": "worse than", "not shown": "not shown to be better than"}


def verdict_sentence(verdict: Verdict, subject: str, rival: str, *, none: str = VERDICT_WORDS["not shown"]) -> str:
    """A verdict as a sentence, without its full stop.

    Args:
        verdict: of the subject against its rival.
        subject: the prompt that the verdict is about.
        rival: the prompt that it is compared with.
        none: what the subject is where no difference is shown.
    """
    return f"{subject} is {none if verdict == 'not shown' else VERDICT_WORDS[verdict]} {rival}"


def score_text(score: MeanScore) -> str:
    """A mean score with its interval."""
    return _numbers.estimate(score.mean, score.low, score.high)


def p_text(verdict: Verdict) -> str:
    """The p of a verdict, and which number decides where p and the interval disagree."""
    decider = " (p decides, the interval is approximate)" if verdict.disagrees_with_interval else ""
    return f"p = {verdict.p:.2g}{decider}"


def difference_text(verdict: Verdict, rows: str = "rows") -> str:
    """The difference with its interval and p, the rows that are missing, and for a verdict of ``not shown`` the
    detectable difference.

    Args:
        verdict: a verdict on two rows or more.
        rows: what the compared rows are called.
    """
    difference = _numbers.estimate(verdict.difference, verdict.low, verdict.high, "+.3f")
    text = f"difference {difference}, {p_text(verdict)}{missing_text(verdict, rows)}{repeats_text(verdict, rows)}"
    if verdict != "not shown" or verdict.guarded:
        return text
    if math.isnan(verdict.detectable):
        return f"{text}; with so few {rows} no difference would be detected with 80% power"
    return (
        f"{text}; with this many {rows} a true difference of {verdict.detectable:.2f} would be detected with 80% power"
    )


def missing_text(verdict: Verdict, rows: str = "rows") -> str:
    """The rows that a comparison lacks, and whether they keep it from a verdict."""
    if not verdict.missing:
        return ""
    text = f"; {counted(verdict.missing, rows.removesuffix('s'))} without an answer left out"
    return f"{text}: counted as wrong, they would leave no such difference" if verdict.guarded else text


def repeats_text(verdict: Verdict, rows: str = "rows") -> str:
    """The rows that repeat others, and how they count."""
    if verdict.distinct == verdict.rows:
        return ""
    return f"; only {verdict.distinct:,} of the {rows} are different, and rows that repeat each other count as one"


def share_text(part: int, whole: int) -> str:
    """A share in percent, never rounded to none or to all.

    >>> share_text(1, 20), share_text(1, 900), share_text(899, 900)
    ('5%', 'under 1%', 'over 99%')
    """
    share = part / whole
    return "under 1%" if 0 < share < 0.01 else "over 99%" if 0.99 < share < 1 else f"{share:.0%}"


def answer_remarks(whose: str, counts: AnswerCounts) -> list[str]:
    """What people must know about the answers that a score comes from, in sentences without their full stop: failed
    requests, and answers that could not be read or are ambiguous if they are more than a few.

    Args:
        whose: whose requests they are, such as "the winner's test".
        counts: what came of them.
    """
    remarks = []
    for kinds, counted_as in (
        (counts.failed("prompt"), "count as wrong"),
        (counts.failed("road", "option"), "are missing"),
    ):
        if kinds:
            share = share_text(sum(kinds.values()), counts.requests)
            remarks.append(f"{share} of {whose} requests failed ({', '.join(kinds)}) and {counted_as}")
    if unrated := counts.failed("judge"):
        share = share_text(sum(unrated.values()), counts.requests)
        remarks.append(f"{share} of {whose} answers got no rating ({', '.join(unrated)}) and count as the lowest score")
    if counts.unparsed > TOLD_SHARE * counts.answers:
        remarks.append(f"{share_text(counts.unparsed, counts.answers)} of {whose} answers could not be read")
    if counts.ambiguous > TOLD_SHARE * counts.answers:
        share = share_text(counts.ambiguous, counts.answers)
        remarks.append(f"{share} of {whose} answers mention several possible answers, of which the first was taken")
    return remarks


def cut_prompts(tokens: int) -> str:
    """The server seems to cut prompts off, without its full stop."""
    return (
        f"The server may cut prompts off at {tokens:,} tokens: the longest prompts differ much in length and all count "
        "as that many; raise the context length of the server"
    )


def test_uses_text(uses: int) -> str:
    """How often a test set was used, with a warning from the second use on."""
    return "test set used once" if uses == 1 else f"test set used {uses} times: p and interval are optimistic"


def test_sentence(verdict: Verdict, winner: MeanScore, baseline: MeanScore, uses: int, by: str) -> str:
    """The comparison of winner and default, with their scores, on test rows that so many winners were tested on,
    without its full stop; ``by``: what they are compared by, empty for the score."""
    return (
        f"{verdict_sentence(verdict, 'The winner', DEFAULT_PROMPT)}{by}: {score_text(winner)} against "
        f"{score_text(baseline)} on {verdict.rows} test rows that the search never saw ({test_uses_text(uses)}), "
        f"{difference_text(verdict, 'test rows')}"
    )


def majority_sentence(verdict: Verdict, scores: Mapping[str, float]) -> str:
    """What always answering the most frequent label scores, and which of the two prompts, whose scores are given by
    their names, are not above that; without its full stop."""
    below = [who for who, score in scores.items() if not score > verdict.majority + 1e-9]
    label = _html.clipped(verdict.majority_label or "", 40)
    text = f"Always answering “{label}”, the most frequent label, scores {verdict.majority:.3f} on these rows"
    return text + ("", f", and {' '.join(below)} is not above that", ", and neither prompt is above that")[len(below)]


def unread_baseline(counts: AnswerCounts) -> str:
    """The default prompt was beaten, but most of its answers could not be read; without its full stop."""
    share = share_text(counts.unparsed, counts.answers)
    consequence = "so this says more about its form than about its wording"
    return f"The default prompt's answers could not be read on {share} of test rows, {consequence}"


def one_label_baseline(label: str, count: int, answers: int) -> str:
    """The default prompt was beaten, but answers one label whatever the row says; without its full stop."""
    consequence = "whatever they say, so any prompt that tells rows apart is better"
    share = share_text(count, answers)
    return f"The default prompt answers “{_html.clipped(label, 40)}” on {share} of test rows, {consequence}"


def default_stays(baseline: MeanScore) -> str:
    """The outcome of a search whose winner is the default prompt, without its full stop."""
    return (
        f"No candidate was found that is expected to beat {DEFAULT_PROMPT}, which scores {score_text(baseline)} on "
        f"{baseline.rows} test rows"
    )


def hand_written_sentence(verdict: Verdict, score: MeanScore, winner: MeanScore | None) -> str:
    """The comparison of the winner with the best prompt written by hand, without its full stop.

    Args:
        verdict: of the winner against that prompt.
        score: of that prompt.
        winner: the winner's score on the same rows, where these are not those of its comparison with the default.
    """
    words = verdict_sentence(verdict, "The winner", HAND_WRITTEN_PROMPT)
    scores = score_text(score)
    if winner is not None:
        scores = f"{score_text(winner)} against {scores} on the {verdict.rows} test rows that both answered"
    return f"{words}: {scores}, {difference_text(verdict, 'test rows')}"


def on_other_rows(name: str, winner: MeanScore) -> str:
    """The name of a prompt in a table, where its score is on other rows than the scores beside it."""
    return f"{name} (on other rows; there the winner has {winner.mean:.3f})"


WINNER_IS_HAND_WRITTEN = "The winner was written by hand"


def no_verdict(reason: str) -> str:
    """A sentence for a study without a comparison on test rows, without its full stop."""
    return f"There is no verdict, because {reason}"


def nothing_read(answers: int, response: str, *, echoed: bool) -> str:
    """No answer of any prompt could be read; without its full stop."""
    shown = f"“{_html.clipped(response, 120)}”" if response else "an empty text"
    cure = "this server echoes; use another" if echoed else "state the form in the prompt, or use another answer form"
    return f"None of {answers} answers could be read, such as {shown}: {cure}"


def one_answer_to_all(answers: int, answer: str, *, some_unread: bool = False) -> str:
    """All prompts answered every row alike, as far as answers could be read; without its full stop."""
    which = "answers that could be read" if some_unread else "answers"
    return f"All {answers} {which} are “{_html.clipped(answer, 40)}”, whatever prompt and row are: read a whole prompt"


def same_answers(prompts: int, rows: int) -> str:
    """The choices make no difference; without its full stop."""
    return (
        f"All prompts ({prompts}) gave the same answers on the {rows} rows that they share, so no choice matters here"
    )


NOTHING_TO_SEARCH = (
    "There was nothing to search, because the template has no choice: add choice(...) or flag(...), or score one "
    "prompt with evaluate"
)

IS_UNFINISHED = "it is unfinished"


def untested_reason(errors: Sequence[str], tested_rows: int, wanted: bool) -> str:
    """Why winner and default were not compared on the test rows; "" where the reason is none of these.

    Args:
        errors: of the test's requests.
        tested_rows: number of requests in the test.
        wanted: whether the study was to test its winner.
    """
    if errors:
        return f"{len(errors)} of {tested_rows} test requests failed, the first with: {errors[0]}"
    return "" if wanted else "the study ran without a test (test=False)"


def nothing_answered(errors: Sequence[str]) -> str:
    """Every request of a study failed, with these errors."""
    failed = f"all {len(errors)} requests" if len(errors) > 1 else "the only request"
    return f"{failed} failed, the first with: {errors[0]}; fix the cause, then run it again with retry_errors=True"


NO_TEST_ROWS = "the study has no test rows"
ONE_TEST_ROW = "the study has a single test row, which cannot show a difference; add rows"


def no_room_to_test(limit: str, budget: Mapping[str, float]) -> str:
    """A limit of the budget, by its name, left too few test rows.

    >>> no_room_to_test("tokens", {"calls": 500, "tokens": 20_000})
    'the budget of 20,000 tokens left too little for the test rows; give more tokens'
    """
    if limit == "calls":
        return "the budget left too few calls for the test rows; give more calls"
    more = {"usd": "dollars"}.get(limit, limit)
    return f"the budget of {budget_text({limit: budget[limit]})} left too little for the test rows; give more {more}"


def search_sentence(highest: tuple[float, int], winner: tuple[float, int], estimate: float, candidates: int) -> str:
    """The scores that the search selected by, each with its number of rows, and the estimate of the winner's score on
    new rows: corrected for the selection among so many candidates, and where it is above the winner's score, not called
    a correction."""
    scores = f"{highest[0]:.3f} on {counted(highest[1], 'row')}"
    winners = f"{winner[0]:.3f} on {counted(winner[1], 'row')}"
    if round(estimate, 3) > round(winner[0], 3):
        return (
            f"In the search the highest score was {scores}, which is optimistic, because it was selected among "
            f"{candidates} candidates. The winner's was {winners}; the estimate of its score on new rows from the "
            f"scores of all candidates and the difficulty of their rows is higher, {estimate:.3f}."
        )
    return (
        f"In the search the highest score was {scores} and the winner's {winners}; both are optimistic, because they "
        f"were selected among {candidates} candidates. The winner's selection-corrected estimate is {estimate:.3f}."
    )


def better_now(trial: int, estimate: float) -> str:
    """A remark on a trial that is ranked above the winner after a change of the metric."""
    return f"Trial {trial} is now expected to be better ({estimate:.3f}), but it was not tested."


def higher_estimate(trial: int, estimate: float) -> str:
    """A remark on a trial whose estimate is above the winner's."""
    return f"Trial {trial} has a higher estimate ({estimate:.3f}), but was no finalist, and only finalists can win."


def trials_there(trials: Iterable[int]) -> str:
    """The numbers of a study's trials, the first of them where there are many.

    >>> trials_there([0, 1, 4]), trials_there(range(100))[-13:]
    ('0, 1, 4', '18, 19, …, 99')
    """
    numbers = sorted(trials)
    shown = numbers if len(numbers) <= SHOWN_TRIALS else [*numbers[: SHOWN_TRIALS - 1], "…", numbers[-1]]
    return ", ".join(map(str, shown))


def unfinished(candidates: int) -> str:
    """The state of a study that has not ended."""
    return f"The study is unfinished after {candidates} candidates; run it again to resume."


def rescored(of: str, metric: str, before: str) -> str:
    """What a rescored study has used."""
    scored = f"scored again by {metric}" if metric == before else f"scored by {metric} instead of {before}"
    return f"The responses of {of} were {scored}; no request was sent."


def changes_text(default: Mapping[str, str], chosen: Mapping[str, str], width: int) -> str:
    """The choices that differ from the default's, each option shortened to ``width`` characters."""
    changed = [f"{name}={_html.clipped(text, width)}" for name, text in chosen.items() if default.get(name) != text]
    return ", ".join(changed) or DEFAULT_CHOICES


def cross_fit_sentence(verdict: Verdict, winner: MeanScore, baseline: MeanScore, folds: int, by: str = "") -> str:
    """The test over all folds of a cross-fitted study, without its full stop; ``by`` as for `test_sentence`."""
    return (
        f"{verdict_sentence(verdict, 'The winner of such a search', DEFAULT_PROMPT)}{by}: {score_text(winner)} against "
        f"{score_text(baseline)} on {verdict.rows} rows, each scored by one of {folds} searches that did not use "
        f"it, {difference_text(verdict)}"
    )


WINNERS_TEST = "the winners' test"
"""Whose test requests and answers they are in a cross-fitted study, in sentences."""


def cross_fit_ships(calls: int, tokens: int, usd: float | None) -> str:
    """The prompt that a cross-fitted study ships, and what its searches used."""
    used = f"{_numbers.tokens(tokens or None)}, {_numbers.dollars(usd)}"
    return f"The prompt to ship is the winner of a search over all rows; {calls:,} calls ({used}) were used in all."


def comparison_sentence(verdict: Verdict, names: tuple[str, str], scores: tuple[MeanScore, MeanScore]) -> str:
    """The comparison of a second prompt with a first one."""
    first, second = names
    words = verdict_sentence(verdict, second, first, none="not shown to differ from")
    return (
        f"{words}: {score_text(scores[1])} against {score_text(scores[0])} on {verdict.rows} rows, won {verdict.won}, "
        f"lost {verdict.lost}; {difference_text(verdict)}."
    )


CHOSEN_BY_THESE_ROWS = "At least one of the two was selected by its score on these rows: the difference is optimistic."
NO_ROW_DIFFERS = "no row was won or lost"
SAME_TEXT = "the prompts have the same text"


def evaluation_text(score: MeanScore, counts: AnswerCounts) -> str:
    """The scores of one prompt on labelled rows."""
    text = f"Evaluation: {score_text(score)} on {counted(score.rows, 'row')}, {counts.unparsed} unparsed"
    if counts.ambiguous:
        text += f", {counts.ambiguous} ambiguous"
    kinds = [
        f"{count} {kind} {counted_as}"
        for counted_as, failed in (
            ("wrong", counts.failed("prompt")),
            ("lowest score", counts.failed("judge")),
            ("missing", counts.failed("road", "option")),
        )
        for kind, count in failed.items()
    ]
    return f"{text}, {counts.errors} errors" + (f" ({', '.join(kinds)})" if kinds else "")


NO_EFFECT_SHOWN = "No option is shown to affect the score with so few answers."
