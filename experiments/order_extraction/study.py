"""Orders to JSON: prompt-search run experiments/order_extraction/study.py --calls 300"""

import json
from pathlib import Path
from typing import Any

import prompt_search as ps
from prompt_search.data.rows import Row

HERE = Path(__file__).parent

data = ps.Dataset.read(HERE / "orders.jsonl", target="order")

schema = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "quantity": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["item", "quantity", "city"],
    "additionalProperties": False,
}


def fields_right(answer: dict[str, Any], row: Row) -> ps.Score:
    """The part of the three fields that are right."""
    wanted = json.loads(row.target)
    missed = [name for name in wanted if str(answer.get(name)).casefold() != str(wanted[name]).casefold()]
    return ps.Score(1 - len(missed) / len(wanted), explanation=f"wrong: {', '.join(missed)}" if missed else "")


study = ps.Study(
    template=ps.Template.read("extract"),
    data=data,
    model=ps.Model.local(),
    answer=ps.Json(schema, max_tokens=48),
    metric=fields_right,
    context={
        "schema_fields": {
            "item": "what is ordered, in the singular",
            "quantity": "how many, as a number",
            "city": "where it is sent",
        }
    },
    name="order_extraction",
    storage="sqlite:///order_extraction.db",
)
