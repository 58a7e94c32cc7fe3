"""Answers: what is asked of the server, what is read from a response, and what counts as unparsed."""

import json
import math
import pickle
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from prompt_search.answers.forms import Answer, Json, Label, Number, Regex, Text, Unparsed, from_dict, number_in
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response

WORDS = st.lists(st.text(st.characters(categories=["Ll"]), min_size=1, max_size=8), min_size=2, max_size=5)
THREE = st.lists(st.floats(0.001, 1.0), min_size=3, max_size=3)


def listed(**probabilities: float) -> Response:
    """A response whose first token was drawn from these; underscores stand for spaces."""
    tokens = sorted(probabilities.items(), key=lambda item: -item[1])
    position = tuple((token.replace("_", " "), math.log(probability)) for token, probability in tokens)
    return Response(text=position[0][0], logprobs=(position,))


def reason(value: Any) -> str:
    assert isinstance(value, Unparsed)
    return value.reason


def test_unparsed_is_falsy_and_equal_to_itself_only() -> None:
    """Two unparsed answers never agree, so that no metric takes them for a match."""
    unparsed = Unparsed("empty")
    assert not unparsed
    assert unparsed == unparsed
    assert unparsed != Unparsed("empty")
    assert len({unparsed, Unparsed("empty")}) == 2


class TestLabelText:
    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("positive", "positive"),
            (" **Positive**.\n", "positive"),
            ("_negative_", "negative"),
            ("Sentiment: NEGATIVE, not positive", "negative"),
            ("It was a card payment!", "card_payment"),
            ("CARD-PAYMENT", "card_payment"),
            ("the card", "card"),
            ("I would say C++.", "C++"),
            ("C", "C"),
            ("情感是正面的", "正面"),
            ("ｐｏｓｉｔｉｖｅ", "positive"),
        ],
    )
    def test_finds_the_first_label_mentioned(self, text: str, label: str) -> None:
        """Case, punctuation and what joins words do not matter; at one place the longest label wins."""
        labels = ["C", "positive", "negative", "card", "card_payment", "C++", "正面"]
        assert Label(labels).parse(Response(text=text)) == label

    @pytest.mark.parametrize("text", ["positively", "impositive", "card_fee", "unsure", "x1", "-12"])
    def test_a_part_of_a_word_is_no_mention(self, text: str) -> None:
        """A label inside another word is not found, and the reason shows the text."""
        answer = Label(["positive", "card", "1"]).parse(Response(text=text))
        assert reason(answer) == f"no label in {text!r}"

    def test_numbers_with_and_without_sign_differ(self) -> None:
        """A sign is part of a label."""
        label = Label(["1", "-1"])
        assert label.parse(Response(text="-1")) == "-1"
        assert label.parse(Response(text="it is 1")) == "1"

    def test_an_empty_response_is_unparsed(self) -> None:
        """No text is no label; a long one is shortened in the reason."""
        assert reason(Label(["a", "b"]).parse(Response(text=" \n"))) == "the response is empty"
        assert len(reason(Label(["a", "b"]).parse(Response(text="x " * 500)))) < 90

    def test_truncation_alone_does_not_matter(self) -> None:
        """A response cut off after the label is read."""
        assert Label(["yes", "no"]).parse(Response(text="Yes, bec", finish_reason="length")) == "yes"

    @given(WORDS, st.sampled_from([" ", "\n", '"', "(", "*", ": "]), st.data())
    def test_finds_any_label_it_was_given(self, words: list[str], around: str, data: st.DataObject) -> None:
        """Each label, between white space or punctuation, is read as itself."""
        try:
            label = Label(words)
        except InputError:
            return
        word = data.draw(st.sampled_from(words))
        assert label.parse(Response(text=around + word + around)) == word

    @given(st.text())
    def test_any_text_is_read_or_unparsed(self, text: str) -> None:
        """No text makes parsing raise."""
        assert isinstance(Label(["yes", "no"]).parse(Response(text=text)), (str, Unparsed))


class TestLabelLogprobs:
    label = Label(["positive", "negative", "neutral"], mode="logprobs")

    def test_asks_for_one_token(self) -> None:
        """The request is one token with the twenty likeliest; max_tokens cannot change it."""
        expected = {"max_tokens": 1, "logprobs": True, "top_logprobs": 20}
        assert self.label.parameters == expected
        assert Label(["a", "b"], mode="logprobs", max_tokens=9).parameters == expected

    def test_sums_the_tokens_that_begin_one_label(self) -> None:
        """Spellings of one label add up; ambiguous and foreign tokens are left out."""
        response = listed(The=0.3, _ne=0.25, Pos=0.1, _positive=0.1, neg=0.15, Negative=0.01)
        assert self.label.parse(response) == "positive"
        assert self.label.probabilities(response) == pytest.approx(
            {"positive": 0.2 / 0.36, "negative": 0.16 / 0.36, "neutral": 0.0}
        )

    def test_a_longer_token_counts_only_if_the_word_ends(self) -> None:
        """For the label A, the token "A)" counts and "Answer" does not."""
        label = Label(["A", "B"], mode="logprobs")
        position = (("Answer", math.log(0.6)), ("B)", math.log(0.2)), (" A", math.log(0.1)))
        assert label.parse(Response(logprobs=(position,))) == "B"

    def test_needs_logprobs_and_a_matching_token(self) -> None:
        """Without log-probabilities, or without a token that fits, the answer is unparsed."""
        assert "no log-probabilities; use mode='text'" in reason(self.label.parse(Response(text="positive")))
        answer = self.label.parse(listed(The=0.6, It=0.2))
        assert reason(answer) == "no label begins with one of the likeliest tokens: 'The', 'It'"
        assert self.label.probabilities(Response(text="positive")) is None
        assert self.label.probabilities(listed(The=0.6)) is None

    def test_calibration_divides_by_the_baseline(self) -> None:
        """A label that is likely whatever the input needs more evidence (worked by hand)."""
        label = Label(["yes", "no"], mode="logprobs", calibrate="content-free")
        response, baseline = listed(yes=0.6, no=0.3), listed(yes=0.8, no=0.1)
        assert label.needs_baseline
        assert Label(["yes", "no"], mode="logprobs").parse(response, baseline) == "yes"
        assert label.parse(response, baseline) == "no"
        assert label.probabilities(response, baseline) == pytest.approx({"yes": 0.75 / 3.75, "no": 3 / 3.75})

    def test_calibration_floors_labels_absent_from_the_baseline(self) -> None:
        """A label that the baseline does not list counts as its least likely token, -9999 left out."""
        label = Label(["yes", "no"], mode="logprobs", calibrate="content-free")
        baseline = Response(logprobs=((("yes", math.log(0.5)), ("The", math.log(0.25)), ("x", -9999.0)),))
        assert label.probabilities(listed(yes=0.5, no=0.25), baseline) == pytest.approx({"yes": 0.5, "no": 0.5})

    def test_calibration_without_baseline_is_unparsed(self) -> None:
        """A missing or useless baseline is a counted outcome, not a silent lack of calibration."""
        label = Label(["yes", "no"], mode="logprobs", calibrate="content-free")
        for baseline in (None, Response(text="yes"), Response(logprobs=((("yes", -9999.0),),))):
            assert "to calibrate by" in reason(label.parse(listed(yes=0.6), baseline))
            assert label.probabilities(listed(yes=0.6), baseline) is None

    def test_rows_calibration_divides_by_the_mean_of_the_rows(self) -> None:
        """A label that is likely on every row weighs less, one weight per label (worked by hand)."""
        label = Label(["yes", "no"], mode="logprobs", calibrate="rows")
        response = listed(yes=0.65, no=0.35)
        assert label.needs_calibration
        assert label.parse(response) == "yes"
        calibrated = label.calibrated([listed(yes=0.8, no=0.2), listed(yes=0.6, no=0.4)], ["yes", "no"])
        assert isinstance(calibrated, Label)
        assert calibrated.weights == (0.7143, 1.667)  # a half by 0.7, a half by 0.3
        assert not calibrated.needs_calibration
        assert calibrated.parse(response) == "no"
        assert calibrated.calibrated([listed(yes=0.8, no=0.2), listed(yes=0.6, no=0.4)], ["yes", "no"]) == calibrated

    def test_rows_calibration_leaves_a_right_model_alone(self) -> None:
        """Where the model expects the labels as often as they are, rare ones too, next to nothing changes."""
        label = Label(["yes", "no"], mode="logprobs", calibrate="rows")
        calibrated = label.calibrated([listed(yes=0.9, no=0.1)] * 1000, ["yes"] * 900 + ["no"] * 100)
        assert isinstance(calibrated, Label)
        assert calibrated.weights == pytest.approx((1, 1), rel=0.01)

    def test_rows_calibration_without_log_probabilities_learns_nothing(self) -> None:
        """What cannot be read is left out, and a label that was never listed has nothing to weigh."""
        label = Label(["yes", "no", "maybe"], mode="logprobs", calibrate="rows")
        assert label.calibrated([Response(text="yes"), listed(The=0.5)], ["yes", "no"]) is label
        calibrated = label.calibrated([listed(yes=0.5, no=0.5), Response(text="yes")], ["yes", "no"])
        assert calibrated == Label(label.labels, mode="logprobs", calibrate="rows", weights=(1.0, 0.5, 1.0))

    def test_only_rows_calibration_learns(self) -> None:
        """Every other form stays what it is."""
        for answer in ANSWERS:
            if not isinstance(answer, Label) or answer.calibrate != "rows":
                assert answer.calibrated([listed(yes=0.9, no=0.1)], ["no"]) is answer
                assert not answer.needs_calibration

    @given(THREE, THREE)
    def test_probabilities_sum_to_one_and_contain_the_answer(self, given: list[float], base: list[float]) -> None:
        """The answer is the likeliest label, calibrated or not; a flat baseline changes nothing."""
        names = ("positive", "negative", "neutral")
        response = listed(**dict(zip(names, given, strict=True)))
        calibrated = Label(names, mode="logprobs", calibrate="content-free")
        for label, baseline in (
            (self.label, None),
            (calibrated, listed(**dict(zip(names, base, strict=True)))),
        ):
            probabilities = label.probabilities(response, baseline)
            assert probabilities is not None
            assert sum(probabilities.values()) == pytest.approx(1)
            assert probabilities[str(label.parse(response, baseline))] == max(probabilities.values())
        flat = listed(positive=0.2, negative=0.2, neutral=0.2)
        assert calibrated.probabilities(response, flat) == pytest.approx(self.label.probabilities(response))

    @pytest.mark.parametrize(
        "labels", [["pos", "positive"], ["card payment", "card_arrival"], ["1", "10"], ["x", "x-y"]]
    )
    def test_labels_that_begin_alike_are_refused(self, labels: list[str]) -> None:
        """One token cannot tell such labels apart, so the mode is refused with the remedy."""
        with pytest.raises(InputError, match=r"cannot tell the labels .* apart, .*; rename one .* mode='text'"):
            Label(labels, mode="logprobs")
        Label(labels)


class TestLabelJson:
    label = Label(["positive", "not-sure"], mode="json")

    def test_asks_for_an_enumeration(self) -> None:
        """The request carries a strict schema with the labels."""
        form = self.label.parameters["response_format"]["json_schema"]
        assert form["strict"] is True
        assert form["schema"]["properties"]["label"]["enum"] == ["positive", "not-sure"]
        assert self.label.parameters["max_tokens"] == 64

    @pytest.mark.parametrize(
        "text",
        ['{"label": "not-sure"}', '```json\n{"label": "Not sure"}\n```', ' {"label":"NOT-SURE","x":1} '],
    )
    def test_reads_the_label(self, text: str) -> None:
        """Case and a fenced block around the object are tolerated."""
        assert self.label.parse(Response(text=text)) == "not-sure"

    @pytest.mark.parametrize(
        ("text", "finish_reason", "why"),
        [
            ("positive", "stop", "not JSON: 'positive'"),
            ('{"label": "posi', "length", "the JSON was cut off at 64 tokens; raise max_tokens"),
            ('{"label": "unknown"}', "stop", "not an object with a known label"),
            ('{"label": 1}', "stop", "not an object with a known label"),
            ('["positive"]', "stop", "not an object with a known label"),
        ],
    )
    def test_anything_else_is_unparsed(self, text: str, finish_reason: str, why: str) -> None:
        """The reason says what is wrong with the JSON."""
        assert why in reason(self.label.parse(Response(text=text, finish_reason=finish_reason)))


class TestLabelSettings:
    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({}, "label"),
            ({"mode": "logprobs"}, "label_logprobs"),
            ({"mode": "logprobs", "calibrate": "rows"}, "label_logprobs_calibrated"),
            ({"mode": "logprobs", "calibrate": "content-free"}, "label_logprobs_content_free"),
            ({"mode": "json"}, "label_json"),
            ({"name": "mine"}, "mine"),
        ],
    )
    def test_default_names(self, options: dict[str, Any], name: str) -> None:
        """Each mode has a name of its own, so that modes can be options of one choice."""
        assert Label(["yes", "no"], **options).name == name

    @pytest.mark.parametrize(
        ("labels", "options", "message"),
        [
            (["yes"], {}, r"at least two labels are needed, not 1 \('yes'\)"),
            ([], {}, r"at least two labels are needed, not 0 \(none\)"),
            (["yes", " "], {}, "a label must not be empty"),
            (["yes", "no", "yes"], {}, "the labels 'yes' and 'yes' read the same"),
            (["a b", "A_B"], {}, "the labels 'a b' and 'A_B' read the same"),
            ("yes", {}, r"labels must be a list, not the text 'yes'; write \['yes', ...\]"),
            (["yes", "no"], {"mode": "vote"}, "must be one of text, logprobs, json, not 'vote'"),
            (["yes", "no"], {"calibrate": "rows"}, "calibrate needs mode='logprobs', not 'text'"),
            (["yes", "no"], {"mode": "logprobs", "calibrate": True}, "None or one of content-free, rows, not True"),
            (["yes", "no"], {"mode": "logprobs", "weights": [1, 1]}, "and need calibrate='rows'"),
            (["yes", "no"], {"mode": "logprobs", "calibrate": "rows", "weights": [1]}, "each of the 2 labels"),
            (["yes", "no"], {"mode": "logprobs", "calibrate": "rows", "weights": [1, 0]}, "positive number"),
            (["yes", "no"], {"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ],
    )
    def test_wrong_settings(self, labels: Any, options: dict[str, Any], message: str) -> None:
        """Settings that cannot work are refused at once."""
        with pytest.raises(InputError, match=message):
            Label(labels, **options)

    def test_text_mode_has_no_probabilities(self) -> None:
        """Only log-probabilities give probabilities; numbers are taken as their text."""
        label = Label([0, 1])  # type: ignore[list-item]
        assert label.labels == ("0", "1")
        assert label.probabilities(listed(a=0.5)) is None
        assert not label.needs_baseline
        assert label.parameters == {"max_tokens": 16}


class TestNumber:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("18", 18),
            ("so 3 and then 18.", 18),
            ("He pays $1,234.50.", 1234.5),
            ("-$5", -5),
            ("$-5", -5),
            ("−3 degrees", -3),
            ("between 3-4", 4),
            ("(12)", 12),
            ("50% of them", 50),
            ("2e3", 2000),
            ("about .5", 0.5),
            ("wait...18", 18),
            ("the 18th", 18),
            ("CO2: 3 atoms", 3),
            ("1,2", 2),
            ("#### 18\nThat took 3 steps.", 18),
            ("#### 1\n#### 70,000", 70000),
            ("**Answer:** $18 for 2 days", 18),
            ("The answer is 9, after 7 days", 9),
            ("Answer: 16 - 7 = 9", 9),
            ("The answer is:\n18", 18),
            ("\\boxed{12} in 3 steps", 12),
        ],
    )
    def test_reads(self, text: str, number: float) -> None:
        """The announced number wins, else the last; signs, currency and separators are understood."""
        assert Number().parse(Response(text=text)) == number

    @pytest.mark.parametrize("text", ["", "none", "v1.5.2", "B2B", "1e999"])
    def test_no_number(self, text: str) -> None:
        """Digits inside words and numbers too large are no answer."""
        assert reason(Number().parse(Response(text=text))) == f"no number in {text!r}"

    @given(st.decimals(-(10**9), 10**9, places=2))
    def test_reads_any_number_as_people_write_it(self, number: Any) -> None:
        """With or without thousands separators, before a full stop, the number is read exactly."""
        for text in (f"{number}", f"It is {number:,}.", f"#### {number}\n7"):
            assert number_in(text) == float(number)

    @given(st.text())
    def test_any_text_gives_a_finite_number_or_none(self, text: str) -> None:
        """No text makes reading raise."""
        number = number_in(text)
        assert number is None or math.isfinite(number)


class TestTextAndRegex:
    def test_text(self) -> None:
        """White space around is removed on demand, and the first line that is not blank can be taken."""
        response = Response(text="\n  one \ntwo\n")
        assert Text().parse(response) == "one \ntwo"
        assert Text(strip=False).parse(response) == "\n  one \ntwo\n"
        assert Text(first_line=True).parse(response) == "one"
        assert reason(Text().parse(Response(text=" \n"))) == "the response is empty"

    @pytest.mark.parametrize(
        ("pattern", "group", "found"),
        [
            (r"\d+", None, "12"),
            (r"a(\d)(\d)", None, "1"),
            (r"a(\d)(\d)", 2, "2"),
            (r"a(\d)(\d)", 0, "a12"),
            (r"(?P<all>\d+)", "all", "12"),
        ],
    )
    def test_regex(self, pattern: str, group: int | str | None, found: str) -> None:
        """The first group is returned, the whole match if there is none, or the group asked for."""
        assert Regex(pattern, group=group).parse(Response(text="a12 34")) == found

    def test_regex_without_match(self) -> None:
        """No match, or a group that took no part in it, is unparsed."""
        assert reason(Regex("b").parse(Response(text="a"))) == "no match in 'a'"
        assert reason(Regex("a|(b)").parse(Response(text="a"))) == "no match in 'a'"

    @pytest.mark.parametrize(
        ("pattern", "group", "message"),
        [
            ("(", None, r"pattern '\(' does not compile: .*; correct it"),
            ("a", 1, "pattern 'a' has no group 1; it has 0, named: none"),
            ("(?P<x>a)", "y", "has no group 'y'; it has 1, named: x"),
        ],
    )
    def test_wrong_patterns(self, pattern: str, group: int | str | None, message: str) -> None:
        """A pattern or group that cannot work is refused at once."""
        with pytest.raises(InputError, match=message):
            Regex(pattern, group=group)


class Address(BaseModel):
    city: str
    zip: int | None


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    mood: Literal["good", "bad"] = "good"
    addresses: list[Address]


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "properties": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
        "x": {"type": "number"},
        "kind": {"enum": ["p", "q"]},
        "version": {"const": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/a~1tag"}, "minItems": 1, "maxItems": 2},
        "either": {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
        "both": {"allOf": [{"type": "integer"}, {"minimum": 5}]},
    },
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"a/tag": {"type": "string"}},
}


class TestJson:
    def test_asks_for_the_schema(self) -> None:
        """The schema is sent as given, strict only if it meets the rules for that."""
        form = Json(SCHEMA).parameters["response_format"]["json_schema"]
        assert form["schema"] == SCHEMA
        assert form["strict"] is False
        assert Json(Address).parameters["response_format"]["json_schema"]["strict"] is True
        open_object = {"type": "object", "properties": {"any": {"type": "object"}}, "required": ["any"]}
        assert Json(open_object).parameters["response_format"]["json_schema"]["strict"] is False

    def test_a_model_validates_and_fills_in(self) -> None:
        """A pydantic model gives plain values with its defaults, and closes its schema to other names."""
        answer = Json(Person)
        text = '```json\n{"name": "Ada", "addresses": [{"city": "London", "zip": null}]}\n```'
        assert answer.parse(Response(text=text)) == {
            "name": "Ada",
            "mood": "good",
            "addresses": [{"city": "London", "zip": None}],
        }
        assert answer.json_schema["$defs"]["Address"]["additionalProperties"] is False
        why = reason(answer.parse(Response(text='{"name": 1}')))
        assert why.startswith("the JSON breaks its schema: 2 validation errors for Person name")
        assert "\n" not in why

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (
                {
                    "n": 1,
                    "x": 1,
                    "properties": "ab",
                    "kind": "p",
                    "version": 1,
                    "tags": ["t"],
                    "either": True,
                },
                None,
            ),
            ({"n": None, "either": "s", "both": 5}, None),
            ({"n": 2.0}, None),
            ([], "$: [] is not of type 'object'"),
            ({}, "$: 'n' is a required property"),
            ({"n": 1, "m": 1}, "$: Additional properties are not allowed ('m' was unexpected)"),
            ({"n": True}, "$.n: true is not of type 'integer', 'null'"),
            ({"n": 1.5}, "$.n: 1.5 is not of type 'integer', 'null'"),
            ({"n": 0}, "$.n: 0 is less than the minimum of 1"),
            ({"n": 10}, "$.n: 10 is greater than the maximum of 9"),
            ({"n": 1, "properties": "a"}, '$.properties: "a" is too short'),
            ({"n": 1, "properties": "baa"}, "$.properties: \"baa\" does not match '^a'"),
            ({"n": 1, "kind": "r"}, "$.kind: \"r\" is not one of ['p', 'q']"),
            ({"n": 1, "version": 2}, "$.version: 1 was expected"),
            ({"n": 1, "tags": []}, "$.tags: [] should be non-empty"),
            ({"n": 1, "tags": ["a", 1]}, "$.tags[1]: 1 is not of type 'string'"),
            ({"n": 1, "either": 1}, "$.either: 1 is not valid under any of the given schemas"),
            ({"n": 1, "both": 4}, "$.both: 4 is less than the minimum of 5"),
            ({"n": 0, "kind": "r", "m": 1}, "$: Additional properties are not allowed ('m' was unexpected)"),
        ],
    )
    def test_a_schema_is_checked(self, value: Any, why: str | None) -> None:
        """What breaks the schema is unparsed, with the place."""
        answer = Json(SCHEMA).parse(Response(text=json.dumps(value)))
        if why is None:
            assert answer == value
        else:
            assert reason(answer) == f"the JSON breaks its schema: {why}"

    @pytest.mark.parametrize(
        ("schema", "text", "why"),
        [
            (
                {"properties": {"n": {"exclusiveMinimum": 0}}},
                '{"n": -3}',
                "$.n: -3 is less than or equal to the minimum",
            ),
            ({"exclusiveMaximum": 3}, "3", "$: 3 is greater than or equal to the maximum of 3"),
            ({"multipleOf": 2}, "3", "$: 3 is not a multiple of 2"),
            ({"not": {"type": "null"}}, "null", "$: null should not be valid under {'type': 'null'}"),
            ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "3", "$: 3 is valid under each of"),
            ({"uniqueItems": True}, "[1, 1]", "$: [1, 1] has non-unique elements"),
            ({"prefixItems": [{"type": "string"}]}, "[1]", "$[0]: 1 is not of type 'string'"),
            ({"contains": {"const": 1}}, "[2]", "$: [2] does not contain items matching the given schema"),
            ({"minProperties": 1}, "{}", "$: {} should be non-empty"),
            ({"propertyNames": {"maxLength": 1}}, '{"ab": 1}', '$: "ab" is too long'),
            ({"patternProperties": {"^a": {"type": "null"}}}, '{"ab": 1}', "$.ab: 1 is not of type 'null'"),
            ({"dependentRequired": {"a": ["b"]}}, '{"a": 1}', "$: 'b' is a dependency of 'a'"),
            ({"if": {"minimum": 5}, "then": {"multipleOf": 5}}, "6", "$: 6 is not a multiple of 5"),
            ({"unevaluatedProperties": False}, '{"a": 1}', "$: Unevaluated properties are not allowed"),
            (
                {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 0, "exclusiveMinimum": True},
                "0",
                "$: 0",
            ),
        ],
    )
    def test_every_word_of_a_schema_counts(self, schema: dict[str, Any], text: str, why: str) -> None:
        """No rule is passed over, whichever part of the language it is of; a draft that the schema names is used."""
        assert reason(Json(schema).parse(Response(text=text))).startswith(f"the JSON breaks its schema: {why}")

    def test_reason_stays_short(self) -> None:
        """Long values and rules are cut, half a surrogate pair is written out, the same reason comes each time."""
        form = Json({"enum": ["x" * 1000]})
        first, second = (reason(form.parse(Response(text=json.dumps("é\n" * 500)))) for _ in range(2))
        assert first == second
        assert first.startswith('the JSON breaks its schema: $: "é\\né\\n')
        assert len(first) < 300
        assert reason(form.parse(Response(text='"\\ud800"'))).startswith(
            'the JSON breaks its schema: $: "\\ud800" is not'
        )

    @pytest.mark.parametrize(
        ("schema", "text", "why"),
        [
            ({"multipleOf": 0.01}, "1e400", "a number in it is too large to be checked"),
            ({"multipleOf": 0.01}, "1" + 400 * "0", "a number in it is too large to be checked"),
            (
                {"items": {"$ref": "#"}},
                "[" * 400 + "]" * 400,
                "it is nested too deeply to be checked, or the schema refers to itself without end",
            ),
        ],
    )
    def test_what_cannot_be_checked_is_unparsed(self, schema: dict[str, Any], text: str, why: str) -> None:
        """Numbers and depths beyond Python's limits are no answer, and raise nothing."""
        assert reason(Json(schema).parse(Response(text=text))) == f"the JSON breaks its schema: {why}"

    @pytest.mark.parametrize(
        ("text", "finish_reason", "why"),
        [
            ('{"n": 1}', "length", "the JSON was cut off at 256 tokens; raise max_tokens"),
            ("n = 1", "stop", "not JSON: 'n = 1'"),
            ('{"n": NaN}', "stop", "not JSON"),
            ("[" * 100_000, "stop", "not JSON"),
        ],
    )
    def test_no_json_is_unparsed(self, text: str, finish_reason: str, why: str) -> None:
        """Text, numbers that JSON does not know, and anything cut off."""
        assert reason(Json(SCHEMA).parse(Response(text=text, finish_reason=finish_reason))).startswith(why)

    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            ("object", "must be a pydantic model class or a JSON schema .*, not 'object'"),
            ({"enum": [object()]}, "the JSON schema is not JSON: .*; correct it"),
            ({"type": "text"}, r"is invalid at \$.type: \"text\" is not one of \['array', .*'string'\]; correct it"),
            (
                {"properties": {"a": {"pattern": "("}}},
                r"is invalid at \$.properties.a.pattern: \"\(\" is not a 'regex'",
            ),
            ({"required": "n"}, r"is invalid at \$.required: \"n\" is not of type 'array'; correct it"),
            (
                {"exclusiveMinimum": True},
                r"is invalid at \$.exclusiveMinimum: true is not of type 'number'; correct it",
            ),
            (
                {"items": {"$ref": "#/$defs/a"}},
                r"refers to '#/\$defs/a', which is not in it and is not fetched; add it",
            ),
            ({"$ref": "#/x", "x": {"$ref": "#/y"}}, "refers to '#/y', which is not in it"),
            ({"$ref": "#/x", "x": {"type": "text"}}, r"is invalid at #/x.type: \"text\" is not one of"),
            ({"$ref": "#"}, "refers to itself without end, or is nested too deeply; take a reference out, or it apart"),
            ({"$schema": "mine"}, r"has the \$schema 'mine', which is no known draft; leave it out for Draft 2020-12"),
        ],
    )
    def test_wrong_schemas(self, schema: Any, message: str) -> None:
        """A schema that cannot be checked is refused at once."""
        with pytest.raises(InputError, match=message):
            Json(schema)

    @pytest.mark.parametrize("word", ["$ref", "$dynamicRef"])
    @pytest.mark.parametrize("address", ["https://json-schema.org/draft/2020-12/schema", "http://[", "other.json"])
    def test_nothing_is_fetched(self, word: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reference to an address or a file is refused, wherever it stands, and nothing is opened for it."""
        opened: list[Any] = []
        monkeypatch.setattr("urllib.request.urlopen", opened.append)
        monkeypatch.setattr("socket.socket.connect", lambda *address: opened.append(address))
        for schema in ({word: address}, {"properties": {"a": {"anyOf": [{"items": {word: address}}]}}}):
            with pytest.raises(InputError) as caught:
                Json(schema)
            assert str(caught.value) == (
                f"the JSON schema refers to {address!r}, which is not in it and is not fetched; add it to $defs"
            )
        assert Json({"enum": [{word: address}]}).parse(Response(text=json.dumps({word: address}))) == {word: address}
        assert not opened

    def test_names_of_the_user_are_no_words_of_the_schema(self) -> None:
        """A property called as a word of the language, and what stands under an unknown word, are not read as rules."""
        schema = {
            "type": "object",
            "properties": {"$ref": {"type": "string"}, "properties": {"type": "number"}},
            "patternProperties": {"properties": {"type": "number"}},
            "required": ["$ref", "properties"],
            "additionalProperties": False,
            "x-note": {"properties": 3, "type": "object"},
        }
        form = Json(schema)
        assert form.parameters["response_format"]["json_schema"]["strict"] is True
        assert form.parse(Response(text='{"$ref": "a", "properties": 1}')) == {"$ref": "a", "properties": 1}

    def test_does_not_follow_later_changes(self) -> None:
        """The schema is copied, so changing the caller's dict changes nothing."""
        schema = {"type": "object"}
        answer = Json(schema)
        schema["type"] = "array"
        assert answer.schema == {"type": "object"}


ANSWERS = [
    Label(["yes", "no"], max_tokens=4),
    Label(["yes", "no"], mode="logprobs", calibrate="content-free", name="mine"),
    Label(["yes", "no"], mode="logprobs", calibrate="rows", weights=[0.5, 2.25]),
    Label(["yes", "no"], mode="json"),
    Number(32),
    Text(first_line=True, strip=False),
    Regex("a(b)", group=0),
    Json(SCHEMA),
    Json(Person, name="person"),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_round_trip_through_json(answer: Answer) -> None:
    """The description is JSON, makes an equal form with the same request, and pickling keeps it too."""
    again = from_dict(json.loads(json.dumps(answer.to_dict())))
    for other in (again, pickle.loads(pickle.dumps(answer))):
        assert other == answer
        assert hash(other) == hash(answer)
        assert other.parameters == answer.parameters


def test_wrong_descriptions() -> None:
    """An unknown kind or setting is refused."""
    with pytest.raises(InputError, match="must be one of label, number, text, regex, json, not 'poem'"):
        from_dict({"kind": "poem"})
    with pytest.raises(InputError, match=r"an answer of the kind 'text' cannot be made: .*'rhyme'.*; correct"):
        from_dict({"kind": "text", "rhyme": True})
