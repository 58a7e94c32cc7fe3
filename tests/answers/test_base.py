"""What cannot be read is a value."""

from __future__ import annotations

from pydantic import BaseModel, field_validator

from prompt_search.answers import Json, Unparsed
from prompt_search.answers.base import read_answer
from prompt_search.llm.messages import Response


def test_unparsed_is_falsy_and_equal_to_itself_only() -> None:
    """Two unparsed answers never agree, so that no metric takes them for a match."""
    unparsed = Unparsed("empty")
    assert not unparsed
    assert unparsed == unparsed
    assert unparsed != Unparsed("empty")
    assert len({unparsed, Unparsed("empty")}) == 2


class _Picky(BaseModel):
    label: str

    @field_validator("label")
    @classmethod
    def known(cls, value: str) -> str:
        return {"a": "b"}[value]


def test_whatever_reading_raises_makes_the_answer_unread() -> None:
    """A validator that raises something else than it should ends no run."""
    form = Json(_Picky)
    assert read_answer(form, Response(text='{"label": "a"}')) == {"label": "b"}
    unread = read_answer(form, Response(text='{"label": "c"}'))
    assert isinstance(unread, Unparsed)
    assert unread.reason == "reading it raised KeyError: 'c'"
