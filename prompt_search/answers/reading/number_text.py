"""Text in which numbers are written with plain digits and signs: without LaTeX, and without the many forms of Unicode.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import re
import unicodedata

from prompt_search.answers.reading.plain_text import cleaned

RAISED = re.compile(r"[⁺⁻]?[⁰¹²³⁴-⁹]+")

GROUPING_SPACE = re.compile(r"(?<=\d)[\u00a0\u2007-\u200a\u202f](?=\d{3}(?!\d))")

VULGAR_FRACTION = re.compile(r"(?P<whole>\d)?(?P<fraction>[¼-¾⅐-⅞])(?=(?P<digit>\d)?)")

LATEX_WORDS = {
    "times": "×", "cdot": "×", "div": "÷", "pm": "±", "sqrt": "√", "pi": "π ", "degree": "°", "left": "", "right": "",
    "approx": "≈", "ge": "≥", "geq": "≥", "le": "≤", "leq": "≤", "gt": ">", "lt": "<",
    "text": "", "textbf": "", "textit": "", "mathrm": "", "mathbf": "", "mathit": "", "mbox": "",
    "operatorname": "",
}  # fmt: skip

LATEX_SPACES = re.compile(
    r"sim(?:eq)?|equiv|to|[rR]ightarrow|implies|q?quad|space|therefore|[lc]?dots|(?:display|text)style|begin"
    r"|end"
)

LATEX_FRACTION = re.compile(r"(\d)?\\[dtc]?frac\s{0,3}(?:\{([^{}]{1,40})\}|(\d))\s{0,3}(?:\{([^{}]{1,40})\}|(\d))")

LATEX_WORD = re.compile(r"\\(?!boxed)([a-zA-Z]+)(\s?\{)?")


def plain_numbers(text: str) -> str:
    """The text with plain digits, signs, fractions and powers; what is not known is kept away from the digits.

    >>> plain_numbers("１½ × 10³"), plain_numbers(r"\\boxed{1{,}000}"), plain_numbers(r"-\\frac{3}{4}\\text{ m}")
    ('1 1/2 x 10^3', '\\\\boxed{1,000}', '-3/4  m}')
    """
    if not text.isascii():
        text = plain_digits(text)
    text = text.replace("{,}", ",")
    return without_latex(text) if "\\" in text else text


def plain_digits(text: str) -> str:
    """The text with the digits, signs and fractions of ASCII."""
    text = "".join(
        str(unicodedata.decimal(character)) if character > "\x7f" and character.isdecimal() else character
        for character in text
    )
    text = RAISED.sub(lambda raised: "^" + unicodedata.normalize("NFKC", raised.group()), text)
    text = GROUPING_SPACE.sub("_", text)
    text = VULGAR_FRACTION.sub(vulgar_fraction, text)
    text = text.replace("٬", ",").replace("٫", ".").replace("—", " - ").replace("―", " - ").replace("×", "x")
    return cleaned(text)


def vulgar_fraction(found: re.Match[str]) -> str:
    """A fraction that is one character, apart from digits beside it."""
    parts = unicodedata.normalize("NFKC", found["fraction"]).replace("\u2044", "/")
    return f"{found['whole'] or ''}{' ' if found['whole'] else ''}{parts}{' ' if found['digit'] else ''}"


def without_latex(text: str) -> str:
    """The text without LaTeX commands but for ``\\boxed``."""
    text = text.replace("\\!", "").replace("\\%", "%").replace("\\$", "$")
    text = text.replace("\\{", "(").replace("\\}", ")")
    text = re.sub(r"(?<=\d)\\[,;: ](?=\d{3})", "_", text)
    text = re.sub(r"\^\s{0,3}(?:\\circ|\{\\circ\})", "°", text)
    text = re.sub(r"\\[,;:(\[\])]", " ", text)
    text = LATEX_FRACTION.sub(latex_fraction, text)
    text = LATEX_WORD.sub(latex_word, text)
    return re.sub(r"\^\s{0,3}\{([^{}]{1,20})\}", r"^\1", text)


def latex_fraction(found: re.Match[str]) -> str:
    """A fraction of two numbers, or a root as a sign of what is not understood."""
    above, below = (found[2] or found[3]).strip(), (found[4] or found[5]).strip()
    known = re.fullmatch(r"-?\d+(?:\.\d+)?", above) and re.fullmatch(r"\d+(?:\.\d+)?", below)
    return f"{found[1] or ''}{' ' if found[1] else ''}{'' if known else '√('}{above}/{below}"


def latex_word(found: re.Match[str]) -> str:
    """What a LaTeX command means for the numbers beside it; an unknown one is a root, so that they are not read."""
    word, brace = found[1], found[2] or ""
    if word in LATEX_WORDS:
        meaning = LATEX_WORDS[word]
        return meaning if meaning else (" " if brace else "")
    return " " if LATEX_SPACES.fullmatch(word) else f" √{brace and '('}"
