"""Whether two texts are in the same language, as far as that can be told of an instruction of a few words.

Scripts are compared for all languages. Languages in Latin letters are told apart by their function words. A model of
language identification was tried in its place (py3langid 0.4): it takes 0.7 s to load and always names some language,
so that ``Clasifica el texto.`` was not Spanish, and ``Label:`` was Maltese. A guard has to say "not known" of such
texts, and function words do.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

_FUNCTION_WORDS: Final[Mapping[str, str]] = {
    "English": "the of and to is that it with for as are this be by not or from which you your what if each its "
    "only one into does do how has have no an on at when without about these there than they their "
    "will would given please should can between but",
    "German": "der die das und ist nicht ein eine einen einem einer mit für von zu auf den dem des im sich auch "
    "als oder aus wird nur ob wenn du sie gib aber keine welche welches jede jedes ohne bei dass "
    "bitte zur zum werden soll nach wie kann mehr sein diese dieser",
    "French": "le la les des un une et est dans que qui pour par sur pas ne avec ce cette ou du au aux il elle "
    "sont votre vous en seul plus sans si dont chaque quelle quel donne être plusieurs ces leur entre",
    "Spanish": "el la los las de que en un una es por con para no se del al lo su como más este esta si sin solo "
    "cada cuál qué según sola responde entre sobre pero debe ser",
    "Italian": "il lo la gli le di che un una per con non si del della dei delle al nel alla sono come questo "
    "questa se solo ogni senza quale cosa sola rispondi questi essere tra deve più",
    "Portuguese": "os as de que em um uma por com para não se do da dos das no na ao como este esta ou qual cada "
    "apenas sem são só responda seu sua entre sobre mais ser deve",
    "Dutch": "de het een en van is niet dat die in op te voor met zijn aan of door uit bij naar dit deze geen "
    "alleen elke welke als zonder wordt geef je",
    "Swedish": "och att det en ett som är på för av med inte den till om har eller de från vilken endast utan "
    "varje du ska bara när",
    "Danish": "og at det en et som er på for af med ikke den til om har eller de fra hvilken kun uden hver du skal når",
    "Polish": "na się nie do to jest że jak po czy dla od tylko lub które który która każdy bez oraz przez jeśli",
    "Turkish": "ve bir bu için ile da de mi olarak ne veya en sadece göre her olan değil hangi yalnızca ya ise",
    "Indonesian": "yang dan di untuk dengan ini dari pada adalah tidak itu atau ke dalam apakah satu hanya oleh "
    "setiap tanpa jika anda",
}
"""Words of one letter are left out: they are names of answers, too, as in ``A:``."""

_LETTERS = re.compile(r"[^\W\d_]+")

ENOUGH_LETTERS: Final = 8
"""Number of letters from which on a text has a script that is compared."""

FOREIGN: Final = 0.1
"""Share of letters in a script that the other texts do not have, from which on a text is foreign."""

MOST_LATIN: Final = 0.6
"""Share of Latin letters that texts in another script may have: names, labels and formats are often Latin."""


def foreign_script(text: str, others: Iterable[str]) -> str:
    """The script in which a text is written and the others are not, or "".

    >>> foreign_script("对文本分类。只输出标签。", ["Sort it."])
    'CJK'
    >>> foreign_script("Ordne die Nachricht zu.", ["Sort it."])
    ''
    """
    shares, usual = _scripts(text), _scripts(" ".join(others))
    if shares.total() < ENOUGH_LETTERS or not usual:
        return ""
    for script, letters in shares.most_common():
        most = MOST_LATIN if script == "LATIN" else FOREIGN
        if letters > most * shares.total() and usual[script] <= letters / shares.total() / 4 * usual.total():
            return script
    return ""


def other_language(text: str, others: Iterable[str]) -> str:
    """The language of a text where it is known and another one than that of the others, or "".

    Both must be clear: two function words at least, twice as many as of the other's language.

    >>> other_language("Ordne die Nachricht einer Kategorie zu.", ["Sort the message into one category."])
    'German'
    >>> other_language("Label only.", ["Sort the message into one category."])
    ''
    """
    hits, usual = _function_words(text), _function_words(" ".join(others))
    if not hits or not usual:
        return ""
    language, first = hits.most_common(1)[0]
    expected, known = usual.most_common(1)[0]
    clear = first >= 2 and first >= 2 * hits[expected] and known >= 2 and known >= 2 * usual[language]
    return language if language != expected and clear else ""


def _function_words(text: str) -> Counter[str]:
    """How many words of a text are function words of each language."""
    words = _LETTERS.findall(unicodedata.normalize("NFKC", text).casefold())
    return Counter(language for word in words for language in _languages().get(word, ()))


@lru_cache(maxsize=1)
def _languages() -> dict[str, tuple[str, ...]]:
    """The languages of each function word."""
    found: dict[str, tuple[str, ...]] = {}
    for language, words in _FUNCTION_WORDS.items():
        for word in dict.fromkeys(words.split()):
            found[word] = (*found.get(word, ()), language)
    return found


def _scripts(text: str) -> Counter[str]:
    """How many letters of a text are in each script; Japanese kana are one."""
    counts = Counter(each for each in unicodedata.normalize("NFKC", text) if each.isalpha())
    scripts: Counter[str] = Counter()
    for letter, count in counts.items():
        script = unicodedata.name(letter, "UNKNOWN").split()[0]
        scripts["KANA" if script in ("HIRAGANA", "KATAKANA") else script] += count
    return scripts
