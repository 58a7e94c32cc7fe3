"""Data and studies that tests of this room share."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "<script>alert(1)</script> [brackets] {{ x }} {0} & \"'\r\n\tשלום \N{GRINNING FACE}"


class Page(HTMLParser):
    """What a browser makes of a page: its tags, and the text of every ``pre`` and cell."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {"pre": [], "td": [], "th": []}
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag in self.texts:
            self._open.append(tag)
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.texts[tag][-1] += data

    @property
    def blocks(self) -> list[str]:
        """The texts of ``pre``, without the line end that a browser drops."""
        return [text.removeprefix("\n") for text in self.texts["pre"]]
