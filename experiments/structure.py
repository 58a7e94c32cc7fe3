"""Sizes of the package's functions, classes, modules and folders, held against the limits of docs/design/structure.md.

    python experiments/structure.py          # a table; exit code 1 where something is over its limit and not excepted

A size over its limit is accepted only with a line of its own in the table of exceptions there, which gives the reason.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "prompt_search"
RECORD_NAME = "docs/design/structure.md"
RECORD = ROOT / RECORD_NAME
"""The design record that names the exceptions."""

LIMITS = {"function": 40, "class": 300, "module": 400, "folder": 14}
"""Lines of a function's body without its docstring, of a class and of a module; modules in a folder."""

MEDIAN_MODULE = 150
"""The most lines that half of the modules may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large one thing is: ``name`` is ``path`` or ``path:definition``, as the table of exceptions writes it."""

    kind: str
    name: str
    size: int

    @property
    def is_over(self) -> bool:
        return self.size > LIMITS[self.kind]


def measured(package: Path = PACKAGE) -> list[Size]:
    """The sizes of everything in a package."""
    files = sorted(file for file in package.rglob("*.py"))
    folders = Counter(file.parent for file in files)
    sizes = [
        Size(kind="folder", name=f"{folder.relative_to(package.parent)}/", size=count)
        for folder, count in folders.items()
    ]
    for file in files:
        name = str(file.relative_to(package.parent))
        text = file.read_text("utf-8")
        sizes.append(Size(kind="module", name=name, size=len(text.splitlines())))
        sizes += _definitions(ast.parse(text), name)
    return sizes


def _definitions(tree: ast.Module, module: str) -> Iterator[Size]:
    def visit(node: ast.AST, outer: str) -> Iterator[Size]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                lines = (child.end_lineno or child.lineno) - child.lineno + 1
                yield Size(kind="class", name=f"{module}:{outer}{child.name}", size=lines)
                yield from visit(child, f"{outer}{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Size(kind="function", name=f"{module}:{outer}{child.name}", size=_body_lines(child))
                yield from visit(child, f"{outer}{child.name}.")
            else:
                yield from visit(child, outer)

    return visit(tree, "")


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last line."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not statements:
        return 0
    return (function.end_lineno or function.lineno) - statements[0].lineno + 1


def imports_between_rooms(package: Path = PACKAGE) -> tuple[int, int]:
    """The number of rooms, which are the package's sub-packages and single modules, and of pairs of them in which one
    imports the other, for types too."""
    prefix = f"{package.name}."
    rooms, pairs = set[str](), set[tuple[str, str]]()
    for file in package.rglob("*.py"):
        if file == package / "__init__.py":
            continue
        room = file.relative_to(package).parts[0].removesuffix(".py")
        rooms.add(room)
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module] if node.module != package.name else [prefix + each.name for each in node.names]
                pairs |= {(room, name.split(".")[1]) for name in names if name.startswith(prefix)}
    return len(rooms), sum(importer != imported for importer, imported in pairs)


def excepted(record: Path = RECORD) -> set[str]:
    """The names in the first column of the record's table of exceptions."""
    return set(re.findall(r"^\| `([^`]+)` \|", record.read_text("utf-8"), flags=re.MULTILINE))


def main() -> int:
    """Print the table; 1 where something is over its limit without a reason."""
    sizes, exceptions = measured(), excepted()
    print("| what | count | median | largest | limit | over it |\n|---|---:|---:|---:|---:|---:|")
    for kind, limit in LIMITS.items():
        of_kind = [each for each in sizes if each.kind == kind]
        largest = max(of_kind, key=lambda each: each.size)
        count = sum(each.is_over for each in of_kind)
        middle = median(each.size for each in of_kind)
        print(f"| {kind} | {len(of_kind)} | {middle:g} | {largest.size} `{largest.name}` | {limit} | {count} |")
    rooms, pairs = imports_between_rooms()
    print(f"\n{rooms} rooms, {pairs} pairs of them in which one imports the other")
    problems = [
        f"{each.kind} {each.name} has {each.size}, more than {LIMITS[each.kind]}, without a reason in {RECORD_NAME}"
        for each in sizes
        if each.is_over and each.name not in exceptions
    ]
    stale = exceptions - {each.name for each in sizes if each.is_over}
    problems += [f"{name} has a reason in {RECORD_NAME}, but is within its limits or gone" for name in sorted(stale)]
    middle = median(each.size for each in sizes if each.kind == "module")
    if middle > MEDIAN_MODULE:
        problems.append(f"the median module has {middle:g} lines, more than {MEDIAN_MODULE}")
    for problem in problems:
        print(f"\n{problem}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
