"""Every sentence of the package that a user can read, room by room: to be read in one go.

    python experiments/sentences.py [ROOM ...]

Prints the texts of ``wording.py`` and ``titles.py`` modules, the messages of errors where they are raised, and the help
of the command line, with file and line. Values that are filled in are shown as ``{expression}``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "prompt_search"

SPEAKING = ("typer.Typer", "typer.Option", "typer.Argument", "typer.echo", "typer.confirm", "complain", "print_text")
"""Functions of the command line whose texts users read."""

SHORTEST = 12
"""Characters of the shortest text in a wording module that counts as a sentence."""


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """The line and the text of each sentence in a module."""
    tree = ast.parse(file.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in _spoken(tree, file):
        for text in _texts(node):
            if id(text) not in docstrings and len(_shown(text)) >= SHORTEST:
                yield text.lineno, _shown(text)
    if "cli" in file.parts:
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or not any(isinstance(by, ast.Call) for by in node.decorator_list):
                continue
            if docstring := ast.get_docstring(node):
                yield node.lineno, " ".join(docstring.split())


def _spoken(tree: ast.Module, file: Path) -> Iterator[ast.AST]:
    """The parts of a module whose texts reach users."""
    if file.stem in ("wording", "titles"):
        yield tree
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield node.exc
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in SPEAKING:
            yield node


def _texts(node: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)


def _shown(text: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(text, ast.Constant):
        return str(text.value)
    parts = (
        str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part).strip('{}')}}}"
        for part in text.values
    )
    return "".join(parts)


def main(rooms: list[str]) -> None:
    """Print the sentences of some rooms, or of all."""
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE)
        if rooms and name.parts[0].removesuffix(".py") not in rooms:
            continue
        found = dict.fromkeys(sorted(sentences(file)))
        if found:
            print(f"\n{name}")
        for line, text in found:
            print(f"  {line:>4}  {text!r}" if "\n" in text else f"  {line:>4}  {text}")


if __name__ == "__main__":
    main(sys.argv[1:])
