"""Write ``orders.jsonl``: python experiments/order_extraction/make_orders.py

Orders as people write them to a small shop, put together from sentences and things that we wrote. A third mentions a
number or a place that is not what is asked for.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

HERE = Path(__file__).parent
COUNT = 150

ITEMS = (
    "lamp", "kettle", "desk", "pillow", "backpack", "rug", "mirror", "notebook", "bicycle pump", "garden chair",
    "coffee grinder", "bread knife", "rain coat", "wall clock", "phone case", "water bottle", "picture frame",
    "yoga mat",
)  # fmt: skip
CITIES = (
    "Porto", "Leeds", "Lyon", "Graz", "Turin", "Ghent", "Malmö", "Gdańsk", "Split", "Cork", "Utrecht", "Seville",
)  # fmt: skip
WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 8: "eight", 10: "ten", 12: "twelve"}

SENTENCES = (
    "Hi, I'd like to order {amount} {things}, please send {them} to {city}.",
    "{Amount} {things} to {city}, thanks!",
    "Could you ship {amount} {things} to my office in {city}?",
    "Please put me down for {amount} {things}. The address is the usual one in {city}.",
    "We need {amount} {things} in {city} by Friday.",
    "hello, do you still have the {thing}? I would take {amount}, delivery to {city}",
    "Order: {things}, quantity {number}, destination {city}.",
    "My sister in {city} wants {amount} {things}, can you send {them} there?",
    "Good morning. {Amount} {things} for {city} please, and a receipt.",
)  # fmt: skip
DISTRACTIONS = (
    "Last time I bought {other_number} of them and was very happy. ",
    "I live in {other_city}, but it is a present. ",
    "I have been a customer for {other_number} years. ",
    "Your shop in {other_city} told me to write here. ",
)  # fmt: skip


def plural(thing: str) -> str:
    return thing[:-2] + "ves" if thing.endswith("fe") else thing + "s"


def order(generator: random.Random) -> dict[str, object]:
    item, number = generator.choice(ITEMS), generator.choice(list(WORDS))
    city, other_city = generator.sample(CITIES, 2)
    other_number = generator.choice([count for count in WORDS if count not in (1, number)])
    amount = generator.choice([str(number), WORDS[number]])
    if number == 1:
        amount = "a" if amount == "1" else "one"
    text = generator.choice(SENTENCES).format(
        amount=amount,
        Amount=amount.capitalize(),
        number=number,
        thing=item,
        things=item if number == 1 else plural(item),
        them="it" if number == 1 else "them",
        city=city,
    )
    if generator.random() < 1 / 3:
        text = generator.choice(DISTRACTIONS).format(other_number=other_number, other_city=other_city) + text
    return {"text": text, "order": json.dumps({"item": item, "quantity": number, "city": city}, ensure_ascii=False)}


def main() -> None:
    generator = random.Random(0)
    found: dict[str, dict[str, object]] = {}
    while len(found) < COUNT:
        made = order(generator)
        found.setdefault(str(made["text"]), made)
    lines = [json.dumps(each, ensure_ascii=False) for each in found.values()]
    (HERE / "orders.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
