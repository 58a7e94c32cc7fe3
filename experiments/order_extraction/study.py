"""Orders to JSON: prompt-search run experiments/order_extraction/study.py --calls 300"""

from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent

data = ps.Dataset.read(HERE / "orders.jsonl", target="order")

schema = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "quantity": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["item", "quantity", "city"],
    "additionalProperties": False,
}


study = ps.Study(
    template=ps.Template.read("extract"),
    data=data,
    model=ps.Model.local(),
    answer=ps.Json(schema, max_tokens=48),
    metric=ps.metrics.fields,
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
