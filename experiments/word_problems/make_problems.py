"""Write ``problems.csv``: python experiments/word_problems/make_problems.py

Word problems of one or two steps with small numbers, put together from stories that we wrote.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

HERE = Path(__file__).parent
COUNT = 150

NAMES = ("Mia", "Omar", "Lena", "Tom", "Aiko", "Ben", "Sara", "Ivan", "Nora", "Paul")
THINGS = ("apples", "stamps", "marbles", "pencils", "shells", "stickers", "coins", "cards")
PLACES = ("boxes", "bags", "drawers", "baskets")


def problem(generator: random.Random) -> tuple[str, str, int]:
    """Question, solution, answer."""
    name, other = generator.sample(NAMES, 2)
    thing, place = generator.choice(THINGS), generator.choice(PLACES)
    a, b, c = generator.randint(3, 20), generator.randint(2, 9), generator.randint(2, 9)
    match generator.randrange(6):
        case 0:
            question = f"{name} has {a} {thing} and finds {b} more. How many {thing} does {name} have now?"
            return question, f"{a} + {b} = {a + b}", a + b
        case 1:
            total = a + b
            question = f"{name} had {total} {thing} and gave {b} of them to {other}. How many {thing} are left?"
            return question, f"{total} - {b} = {a}", a
        case 2:
            question = f"There are {b} {place} with {c} {thing} in each. How many {thing} are there?"
            return question, f"{b} * {c} = {b * c}", b * c
        case 3:
            question = f"{name} shares {b * c} {thing} equally among {b} friends. How many does each friend get?"
            return question, f"{b * c} / {b} = {c}", c
        case 4:
            question = (
                f"{name} has {b} {place} with {c} {thing} in each, and {a} {thing} beside them. How many are that?"
            )
            return question, f"{b} * {c} = {b * c}, {b * c} + {a} = {b * c + a}", b * c + a
        case _:
            question = (
                f"{name} has {a} {thing}. {other} has {b} more than {name}. How many {thing} do they have together?"
            )
            return question, f"{a} + {b} = {a + b}, {a} + {a + b} = {2 * a + b}", 2 * a + b


def main() -> None:
    generator = random.Random(0)
    found: dict[str, tuple[str, str, int]] = {}
    while len(found) < COUNT:
        made = problem(generator)
        found.setdefault(made[0], made)
    with (HERE / "problems.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "solution", "answer"])
        writer.writerows(found.values())


if __name__ == "__main__":
    main()
