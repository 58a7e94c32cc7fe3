"""The writer: what is saved is committed, in order, many at a time, and failures reach whoever saved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.storage.calls.group_commit import MOST_AT_ONCE, Writer


@given(st.lists(st.integers(), max_size=40))
def test_everything_is_committed_in_order_before_save_returns(values: list[int]) -> None:
    """Each value is in a committed group when its `save` returns, and the groups in a row are the values."""
    committed: list[int] = []
    writer: Writer[int] = Writer(committed.extend)

    async def save(value: int) -> None:
        await writer.save(value)
        assert value in committed

    async def main() -> None:
        await asyncio.gather(*map(save, values))

    asyncio.run(main())
    writer.close()
    assert committed == values


def test_what_comes_during_a_commit_is_one_group() -> None:
    """While one group is written the next gathers, so a slow disk makes larger groups, up to a limit."""
    groups: list[int] = []
    began, go = threading.Event(), threading.Event()

    def commit(values: Sequence[int]) -> None:
        groups.append(len(values))
        began.set()
        assert go.wait(10)

    writer: Writer[int] = Writer(commit)

    async def main() -> None:
        saves = [asyncio.ensure_future(writer.save(0))]
        await asyncio.to_thread(began.wait, 10)
        saves += [asyncio.ensure_future(writer.save(number)) for number in range(MOST_AT_ONCE + 5)]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*saves)

    asyncio.run(main())
    writer.close()
    assert groups == [1, MOST_AT_ONCE, 5]


def test_failed_group_is_told_and_the_next_one_is_written() -> None:
    """Whoever saved hears why it was not committed; the writer goes on."""
    committed: list[str] = []

    def commit(values: Sequence[str]) -> None:
        if "bad" in values:
            raise OSError("the disk is full")
        committed.extend(values)

    writer: Writer[str] = Writer(commit)

    async def main() -> None:
        with pytest.raises(OSError, match="the disk is full"):
            await writer.save("bad")
        await writer.save("good")

    asyncio.run(main())
    assert committed == ["good"]
    writer.close()


def test_closing_commits_what_waits_even_when_nobody_waits_for_it() -> None:
    """A run that was cancelled, its loop closed, loses nothing that it had handed over."""
    committed: list[int] = []
    go = threading.Event()

    def commit(values: Sequence[int]) -> None:
        assert go.wait(10)
        committed.extend(values)

    writer: Writer[int] = Writer(commit)

    async def main() -> None:
        saves = [asyncio.ensure_future(writer.save(number)) for number in range(3)]
        await asyncio.sleep(0)
        for save in saves:
            save.cancel()

    asyncio.run(main())
    go.set()
    writer.close()
    assert committed == [0, 1, 2]


def test_closed_writer_takes_nothing() -> None:
    """Saving after the end is an error, not a loss."""
    writer: Writer[int] = Writer(lambda values: None)
    writer.close()
    with pytest.raises(RuntimeError, match="the writer is closed"):
        asyncio.run(writer.save(1))
