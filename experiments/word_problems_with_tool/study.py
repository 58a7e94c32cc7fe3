"""Word problems with a calculator: prompt-search run experiments/word_problems_with_tool/study.py --calls 300"""

import ast
import operator
import os
import re
from pathlib import Path
from typing import Any

import prompt_search as ps

HERE = Path(__file__).parent

CALCULATION = re.compile(r"\d[\d\s.+*/()-]*[+*/-][\d\s.+*/()-]*\d")
"""A calculation in a line of the model."""

OPERATIONS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def calculated(text: str) -> str | None:
    """The value of the calculation in a text; None where there is none that has one.

    >>> calculated("That is 4 * 3 = 11, I think"), calculated("4 / 0"), calculated("twelve")
    ('12', None, None)
    """

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
                return float(OPERATIONS[type(op)](value(left), value(right)))
        raise ValueError("no calculation")

    found = CALCULATION.search(text.partition("=")[0])
    try:
        return None if found is None else f"{value(ast.parse(found[0].strip(), mode='eval').body):g}"
    except (ArithmeticError, SyntaxError, ValueError):
        return None


async def calculate(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> str:
    """One calculation a turn, whose result the model is told, until it gives the answer."""
    messages: list[Any] = list(prompt.render(row))
    result = ""
    for _ in range(4):
        response = await call(messages, max_tokens=32, stop=["\n"])
        value = calculated(response.text)
        if value is None or "answer" in response.text.lower():
            return response.text or result
        result = value
        messages += [response.message, {"role": "user", "content": f"= {result}"}]
    return result


def model() -> ps.Model:
    """The embedded model, or one behind the address that `kills.py` counts at."""
    address = os.environ.get("COUNTED_AT")
    return ps.Model("local-model", base_url=address) if address else ps.Model.local()


study = ps.Study(
    template=ps.Template.read(HERE / "template.j2"),
    data=ps.Dataset.read(HERE.parent / "word_problems" / "problems.csv", target="answer"),
    model=model(),
    answer=ps.Number(max_tokens=32),
    metric=ps.metrics.numeric,
    task=calculate,
    name="word_problems_with_tool",
    storage="sqlite:///word_problems_with_tool.db",
    max_concurrency=4,
)
