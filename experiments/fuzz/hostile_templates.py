"""Five hundred templates that try to run without end: each must end soon, with one line or as harmless text.

Run:
    python experiments/fuzz/hostile_templates.py          # a table of the slowest and the largest
    python experiments/fuzz/hostile_templates.py round    # those whose name has this word

Each template is rendered, searched for choices and read as a prompt, each time in a process of its own, whose CPU
seconds and memory are measured. The exit code is 1 where one takes more than it may, or raises something else.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

from prompt_search.errors import PromptSearchError
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.template import Template

MOST_SECONDS = 1.0
"""CPU seconds that one use of a template may take."""
MOST_MEGABYTES = 200.0
"""Memory that one use may take."""
PATIENCE = 30
"""Seconds after which a process is ended."""
SHOWN = 15
"""Number of templates in the table."""

ROW = {"text": "some text", "long": "word " * 20_000, "many": [f"item {i}" for i in range(2_000)], "n": 3}

LOOP = "{% for i in range(99999) %}"
END = "{% endfor %}"
NUMBERS = "{% set r = range(90000) | list %}"
TEXTS = "{% set t = ['ab'] * 90000 %}"


def in_loop(body: str) -> str:
    return f"{LOOP}{body}{END}"


def doubled(start: str, step: str, end: str = "{{ a }}", times: int = 60) -> str:
    return f"{{% set a = {start} %}}" + step * times + end


def in_namespace(start: str, step: str, end: str = "{{ n.a }}") -> str:
    return f"{{% set n = namespace(a={start}) %}}" + in_loop(f"{{% set n.a = {step} %}}") + end


FILTERS = [
    *("abs", "attr('x')", "batch(1000)", "batch(3, 'x' * 900)", "capitalize", "center(1000)", "default('x' * 999)"),
    *(
        "dictsort",
        "e",
        "filesizeformat",
        "first",
        "float",
        "forceescape",
        "format('x')",
        "groupby('x')",
        "indent(1000)",
    ),
    *("int", "int(0, 36)", "items", "join('x' * 900)", "last", "length", "list", "lower", "map('attr', 'real')"),
    *("map('upper')", "map(attribute='x')", "map(attribute='x.y.z')", "max", "min", "pprint", "reject('odd')"),
    *("rejectattr('real')", "replace('', 'x' * 900)", "replace('o', 'x' * 900)", "reverse", "round(1000)", "safe"),
    *("select('odd')", "selectattr('real', 'odd')", "slice(1000)", "sort", "sort(case_sensitive=true)", "string"),
    *("striptags", "sum", "sum(start=1.5)", "sum(attribute='real')", "title", "tojson", "tojson(1000)", "trim"),
    *("truncate(10)", "truncate(10**9)", "unique", "unique(case_sensitive=true)", "upper", "urlencode", "wordcount"),
    *("wordwrap(1)", "wordwrap(1, wrapstring='x' * 900)", "map('replace', '', 'x' * 900)", "map('center', 1000)"),
    *("map('list')", "map('join', 'x' * 99)", "map('tojson')", "map('round', 1000)", "sort(attribute='real')"),
]

TEMPLATES = {
    **{f"filter {name} on a text, in a loop": in_loop(f"{{% set x = row.long | {name} %}}") for name in FILTERS},
    **{f"filter {name} on numbers, often": NUMBERS + f"{{% set x = r | {name} | list %}}" * 60 for name in FILTERS},
    **{f"filter {name} on texts, often": TEXTS + f"{{% set x = t | {name} | list | join %}}" * 60 for name in FILTERS},
    "nested loops": LOOP + LOOP + END + END,
    "nested loops that never enter": LOOP + "{% for j in range(99999) if j < 0 %}{% endfor %}" + END,
    "nested loops with else": LOOP + "{% for j in [] %}{% else %}x{% endfor %}" + END,
    "recursive loop": "{% for i in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}",
    "recursive loop that holds itself": "{% set l = [1] * 9 %}{% for i in l recursive %}{{ loop(l) }}{% endfor %}",
    "recursive macro": "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "recursive macro by caller": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 40 + "x" + "{% endcall %}" * 40,
    "macro with many arguments": "{% macro m(" + ", ".join(f"a{i}" for i in range(500)) + ") %}{% endmacro %}"
    + in_loop("{{ m() }}"),
    "macro default": "{% macro m(a='x' * 999) %}{{ a }}{% endmacro %}" + in_loop("{{ m() }}"),
    "blocks in blocks": "{% block a %}{{ self.b() }}{{ self.b() }}{% endblock %}"
     "{% block b %}{{ self.a() }}{% endblock %}",
    "loop.cycle": in_loop("{{ loop.cycle(*row.many) }}"),
    "loop.changed": in_loop("{{ loop.changed(row.long, row.many) }}"),
    "loop.previtem": "{% for i in [row.long] * 99999 %}{{ loop.previtem == loop.nextitem }}{% endfor %}",
    "loop.length": in_loop("{% for j in row.many %}{{ loop.length }}{{ loop.revindex }}{% endfor %}"),
    "loop kept": "{% set n = namespace(a=[]) %}" + in_loop("{% set n.a = [loop, n.a] %}") + "{{ n.a }}",
    "cycler": "{% set c = cycler(*row.many) %}" + in_loop("{{ c.next() }}{{ c.current }}"),
    "joiner": "{% set j = joiner(row.long) %}" + in_loop("{{ j() }}"),
    "namespace list doubled": in_namespace("[1]", "n.a + n.a"),
    "namespace list doubled by times": in_namespace("[1]", "n.a * 2"),
    "namespace list nested": in_namespace("[1]", "[n.a, n.a]", "{{ n.a | string | length }}"),
    "namespace list nested once": in_namespace("[1]", "[n.a]", "{{ n.a }}"),
    "namespace list grown": in_namespace("[]", "n.a + [i]"),
    "namespace tuple doubled": in_namespace("(1, 2)", "n.a + n.a"),
    "namespace dict doubled": in_namespace("{}", "{'x': n.a, 'y': n.a}"),
    "namespace dict grown": in_namespace("{}", "dict(n.a, **{i | string: i})"),
    "namespace dict by dict": in_namespace("{'a': 1}", "dict(n.a)"),
    "namespace text doubled": in_namespace("'ab'", "n.a + n.a"),
    "namespace text by tilde": in_namespace("'ab'", "n.a ~ n.a"),
    "namespace text grown": in_namespace("'ab'", "n.a + 'ab'"),
    "namespace text replaced": in_namespace("'ab'", "n.a.replace('a', 'aa')"),
    "namespace text joined": in_namespace("'ab'", "n.a.join([n.a, n.a])"),
    "namespace text formatted": in_namespace("'ab'", "'%s%s' % (n.a, n.a)"),
    "namespace text format": in_namespace("'ab'", "'{0}{0}'.format(n.a)"),
    "namespace number doubled": in_namespace("2", "n.a * n.a"),
    "namespace number squared": in_namespace("2", "n.a ** 2"),
    "namespace number grown": in_namespace("2 ** 9000", "n.a + n.a"),
    "namespace number negated": in_namespace("2 ** 9000", "-n.a"),
    "namespace of namespaces": in_namespace("1", "namespace(b=n.a, c=n.a)", "{{ n.a.b.c }}"),
    "set block doubled": doubled("'ab'", "{% set a %}{{ a }}{{ a }}{% endset %}"),
    "set block filtered": doubled("'ab'", "{% set a | replace('a', 'aa') %}{{ a }}{% endset %}"),
    "filter block doubled": "{% filter replace('a', 'aaaaaaaaaa') %}" * 20 + "a" + "{% endfilter %}" * 20,
    "text tripled by join": doubled("'ab'", "{% set a = [a, a, a] | join %}"),
    "text by list of itself": doubled("'ab'", "{% set a = (a | list | join(a)) %}"),
    "list by batch": doubled("[1]", "{% set a = (a + a) | batch(2) | list %}"),
    "list by slice of itself": doubled("[1]", "{% set a = a[:] + a[:] %}"),
    "list by list filter": doubled("'ab'", "{% set a = (a ~ a) | list | join %}"),
    "dict by items": doubled("{'a': 1}", "{% set a = {'x': a.items() | list, 'y': a} %}"),
    "dict keys": in_loop("{% set x = dict.fromkeys(range(9999)) %}"),
    "dict from pairs": in_loop("{% set x = dict(row.many | map('list')) %}"),
    "dict literal": in_loop("{% set x = {" + ", ".join(f"{i}: i" for i in range(999)) + "} %}"),
    "list literal": in_loop("{% set x = [" + ", ".join("i" for _ in range(999)) + "] %}"),
    "list literal of constants": in_loop("{% set x = [" + ", ".join("1" for _ in range(999)) + "] %}"),
    "text literal": in_loop("{% set x = '" + "x" * 99_999 + "' %}{{ x == x ~ '' }}"),
    "in a long list": NUMBERS + in_loop("{{ -1 in r }}"),
    "not in a long list": NUMBERS + in_loop("{{ 5 not in r }}"),
    "in a long range": in_loop("{{ 0.5 in range(99999) }}"),
    "in a long text": in_loop("{{ 'q' in row.long }}"),
    "in a long tuple": "{% set r = (1, ) * 90000 %}" + in_loop("{{ -1 in r }}"),
    "is in a long list": NUMBERS + in_loop("{{ -1 is in r }}"),
    "in a long text, quadratic": "{{ ('a' * 90000 ~ 'b') in ('a' * 900000) }}" * 9,
    "count, quadratic": "{{ ('a' * 900000).count('a' * 90000 ~ 'b') }}" * 9,
    "find, quadratic": "{{ ('ab' * 400000).find('ab' * 40000 ~ 'b') }}" * 9,
    "replace, quadratic": "{{ ('ab' * 400000).replace('ab' * 40000 ~ 'b', '') }}" * 9,
    "lists compared": NUMBERS + in_loop("{{ r == r[:] }}"),
    "lists compared in order": NUMBERS + in_loop("{{ r < r + [1] }}"),
    "nested lists compared": doubled("[1]", "{% set a = [a, a] %}", "{{ a == [a[0], a[1]] }}"),
    "tuples compared": doubled("(1,)", "{% set a = (a, a) %}", "{{ a == (a[0], a[1]) }}", 40),
    "tuple as key": doubled("(1,)", "{% set a = (a, a) %}", "{{ {a: 1} }}", 40),
    "tuple as key by dict": doubled("(1,)", "{% set a = (a, a) %}", "{% set x = dict([(a, 1)]) %}", 40),
    "tuple looked up": doubled("(1,)", "{% set a = (a, a) %}", "{{ row[a] }}{{ {}[a] }}", 40),
    "tuples made unique": doubled("(1,)", "{% set a = (a, a) %}", "{{ [a, a] | unique | list }}", 30),
    "tuples sorted": doubled("(1,)", "{% set a = (a, a) %}", "{{ [a, a, a] | sort }}", 30),
    "tuples grouped": doubled("(1,)", "{% set a = (a, a) %}", "{{ [[a], [a]] | groupby(0) }}", 30),
    "tuples at most": doubled("(1,)", "{% set a = (a, a) %}", "{{ [a, a, a] | max }}", 30),
    "tuples in a set": doubled("(1,)", "{% set a = (a, a) %}", "{{ [a] | map('unique') | list }}", 30),
    "negative index": NUMBERS + in_loop("{{ r[-90000:] | length }}"),
    "negative step": NUMBERS + in_loop("{% set x = r[::-1] %}"),
    "slice of a text": in_loop("{% set x = row.long[::-1] %}"),
    "huge slice": NUMBERS + in_loop("{% set x = r[-10**9:10**9:1] %}"),
    "list times negative": in_loop("{% set x = row.many * -5 %}{{ row.many * 999 }}"),
    "list times true": in_loop("{% set x = row.many * true * true %}"),
    "text times float": "{{ 'a' * 1e9 }}",
    "text times power": "{{ 'a' * 10 ** 9 }}",
    "power of powers": "{{ 9 ** 9 ** 9 ** 9 }}",
    "negative power": "{{ (-9) ** 9 ** 9 }}",
    "float power": "{{ 9.5 ** 9 ** 9 }}",
    "power modulo": in_loop("{{ 7 ** 3000 % 5 }}"),
    "power of true": "{{ (true + true) ** 10 ** 10 }}",
    "product of many": "{{ " + "*".join("99999999" for _ in range(3_000)) + " }}",
    "quotient of powers": in_loop("{{ 10 ** 3000 // 3 }}"),
    "large numbers as text": in_loop("{{ 10 ** 3000 }}"),
    "large numbers joined": in_loop("{% set x = [10 ** 3000] * 99 | join %}"),
    "large numbers by tilde": in_loop("{% set x = 10 ** 3000 ~ '' %}"),
    "large numbers summed": "{{ [10 ** 3000] * 90000 | sum }}",
    "large numbers summed, in brackets": "{{ ([10 ** 3000] * 900000) | sum }}",
    "large numbers as json": "{{ ([10 ** 3000] * 900000) | tojson }}",
    "large numbers printed": "{{ [10 ** 3000] * 900000 }}",
    "large number from text": "{{ ('9' * 900000) | int }}",
    "large number from text, based": "{{ ('f' * 900000) | int(0, 16) }}" * 20,
    "large float from text": "{{ ('9' * 900000) | float }}" * 20,
    "large number formatted": in_loop("{{ '{:,}'.format(10 ** 3000) }}"),
    "large number by percent": in_loop("{{ '%d' % (10 ** 3000) }}"),
    "large shift by power": "{{ 2 ** 9999999999 // 2 ** 9999999998 }}",
    "large number rounded": in_loop("{{ (10 ** 3000) | round(-1000) }}"),
    "bit_length": in_loop("{{ (10 ** 3000).bit_length() }}"),
    "as_integer_ratio": in_loop("{{ 1e300.as_integer_ratio() }}"),
    "float as text": in_loop("{{ '%.999f' % 1e300 }}"),
    "float by format": in_loop("{{ '{:.999f}'.format(1e300) }}"),
    "hex of a float": in_loop("{{ 1e300.hex() }}"),
    "width by percent": "{{ '%999999999s' % 'a' }}",
    "width by percent, left": "{{ '%-999999999s' % 'a' }}",
    "width by a star": "{{ '%*s' % (999999999, 'a') }}",
    "width by a star after a name": "{{ '%(a)*s' % {'a': 1} }}",
    "width by percent of a dict": "{{ '%(a)999999999s' % {'a': 1} }}",
    "precision by percent": "{{ '%.999999999d' % 5 }}",
    "width by format": "{{ '{:>999999999}'.format('a') }}",
    "width by a field": "{{ '{:{}}'.format('a', 999999999) }}",
    "width by a named field": "{{ '{a:{b}}'.format(a='a', b=999999999) }}",
    "width by a field of a field": "{{ '{a:{b[0]}}'.format(a='a', b=[999999999]) }}",
    "width by format_map": "{{ '{a:{b}}'.format_map({'a': 'a', 'b': 999999999}) }}",
    "width with digits of another script": "{{ '{:٩٩٩٩٩٩٩٩٩}'.format('a') }}",
    "percent with digits of another script": "{{ '%٩٩٩٩٩٩٩٩٩s' % 'a' }}",
    "width with a fill": "{{ '{:{{>999999999}'.format('a') }}",
    "width by conversion": "{{ '{!r:>999999999}'.format('a') }}",
    "width with an underscore": "{{ '{:9_999_999}'.format(1) }}",
    "format many times": in_loop("{{ ('{0}' * 999).format(row.long) }}"),
    "format of a list": in_loop("{{ '{}'.format(row.many) }}"),
    "format of a kept method": "{% set f = '{:>999999999}'.format %}{{ f('a') }}",
    "format of a safe text": "{{ ('{:>999999999}' | safe).format('a') }}",
    "percent of a safe text": "{{ ('%999999999s' | safe) % 'a' }}",
    "safe text times": "{{ ('a' | safe) * 999999999 }}",
    "safe text joined": "{{ (row.long | safe).join(row.long) }}",
    "safe text escaped": "{{ ('<' * 900000) | e | e | e | e | e | e }}",
    "escape method": "{% set x = ('<' * 900000) | safe %}{{ x.escape(x) }}",
    "unescape": "{{ ('&lt;' * 200000 | safe).unescape() }}",
    "striptags method": "{{ (('<!--' * 90000) | safe).striptags() }}",
    "striptags of openings": "{{ ('<!--' * 200000) | striptags }}",
    "striptags of brackets": "{{ ('<' * 900000) | striptags }}",
    "urlize": "{{ row.long | urlize }}",
    "xmlattr": "{{ {'a': 'b'} | xmlattr }}",
    "urlencode of a dict": in_loop("{{ {'a': row.long} | urlencode }}"),
    "title of quotes": "{{ (\"'\" * 900000) | title }}" * 9,
    "wordcount of one word": "{{ ('a' * 900000) | wordcount }}" * 60,
    "wordwrap of one word": "{{ ('a' * 900000) | wordwrap(1) }}",
    "wordwrap of lines": "{{ ('a\\n' * 90000) | wordwrap(999) }}" * 20,
    "wordwrap of hyphens": "{{ ('-' * 90000) | wordwrap(3) }}" * 9,
    "wordwrap of blanks": "{{ (' ' * 900000) | wordwrap(79) }}" * 9,
    "indent of lines": "{{ ('\\n' * 90000) | indent(999, true, true) }}",
    "indent by a text": "{{ ('a\\n' * 9000) | indent('x' * 99999) }}",
    "center many": TEXTS + "{{ t | map('center', 1000) | list | length }}" * 60,
    "truncate many": TEXTS + "{{ t | map('truncate', 10**9) | list | length }}" * 60,
    "replace by count": "{{ row.long.replace('w', row.long, 10**9) }}",
    "replace of nothing": "{{ row.long.replace('', row.long) }}",
    "replace filter of nothing": "{{ row.long | replace('', row.long) }}",
    "replace filter by count": "{{ row.long | replace('w', row.long, count=5) }}" * 60,
    "split": in_loop("{% set x = row.long.split('w') %}"),
    "split lines": in_loop("{% set x = row.long.splitlines() %}"),
    "split in characters": "{{ ('a ' * 450000).split() | length }}" * 60,
    "partition": in_loop("{% set x = row.long.partition('q') %}"),
    "casefold": in_loop("{% set x = row.long.casefold() %}"),
    "upper of ligatures": doubled("'ΐ' * 9", "{% set a = a.upper() + a %}"),
    "expandtabs": "{{ '\\t'.expandtabs(999999999) }}",
    "expandtabs kept": "{% set f = '\\t'.expandtabs %}{{ f(999999999) }}",
    "zfill": "{{ '1'.zfill(999999999) }}",
    "ljust by true": "{{ 'x'.ljust(999999999, 'y') }}",
    "center by keyword": "{{ 'x'.center(width=999999999) }}",
    "translate": "{{ row.long.translate({119: row.long}) }}",
    "encode": "{{ row.long.encode('utf-32') }}",
    "startswith many": in_loop("{{ row.long.startswith(row.many) }}"),
    "startswith a tuple": "{% set t = ('ab',) * 90000 %}" + in_loop("{{ row.long.startswith(t) }}"),
    "isalpha": in_loop("{{ row.long.isprintable() }}"),
    "strip": in_loop("{% set x = row.long.strip('word ') %}"),
    "strip of many": "{% set s = 'abc' * 90000 %}{{ row.long.strip(s ~ 'word ') }}" * 60,
    "list methods": NUMBERS + in_loop("{{ r.count(5) }}{{ r.index(89999) }}"),
    "list copies": NUMBERS + in_loop("{% set x = r.copy() %}"),
    "list method kept": NUMBERS + "{% set f = r.index %}" + in_loop("{{ f(89999) }}"),
    "range methods": in_loop("{{ range(99999).index(99998.0) }}{{ range(99999).count(0.5) }}"),
    "dict methods": "{% set d = dict(row.many | map('batch', 4)) %}" + in_loop("{{ d.copy() }}"),
    "dict items": in_loop("{% for k, v in row.items() %}{{ k }}{% endfor %}"),
    "row copied": in_loop("{% set x = dict(row) %}"),
    "map by names": NUMBERS + "{{ r | map('attr', 'real') | list | length }}" * 60,
    "map of maps": NUMBERS + "{{ r " + "| map('abs')" * 300 + " | list | length }}",
    "select of selects": NUMBERS + "{{ r " + "| select('number')" * 300 + " | list | length }}",
    "lazy map, never read": NUMBERS + "{% set x = r | map('abs') %}" * 3_000,
    "groupby": NUMBERS + "{{ r | groupby('real') | length }}" * 9,
    "groupby of groups": NUMBERS + "{{ r | groupby('real') | groupby('grouper') | length }}",
    "sort by text": TEXTS + "{{ t | sort | length }}" * 60,
    "sort of lists": "{{ ([[1] * 900] * 900) | sort | length }}" * 60,
    "sort of long texts": "{{ ([row.long] * 9000) | sort | length }}",
    "unique of long texts": "{{ ([row.long] * 9000) | unique | list | length }}",
    "min of long texts": "{{ ([row.long] * 9000) | min }}",
    "max by attribute": NUMBERS + "{{ r | max(attribute='real') }}" * 60,
    "dictsort": "{{ dict(row.many | map('list') | map('batch', 2) | map('first')) | dictsort }}" * 60,
    "sum of lists": "{{ ([[1]] * 60000) | sum(start=[]) }}",
    "sum of lists by attribute": "{{ ([{'a': [1]}] * 60000) | sum(attribute='a', start=[]) }}",
    "sum of texts": "{{ ['a'] * 60000 | sum(start='') }}",
    "sum of tuples": "{{ ([(1,)] * 60000) | sum(start=()) }}",
    "sum of numbers": "{{ range(99999) | sum }}" * 60,
    "join of lists": "{{ ([row.many] * 900) | join }}",
    "join by attribute": "{{ ([{'a': row.long}] * 90000) | join(', ', attribute='a') }}",
    "join of joins": "{{ row.many | map('join', row.long) | join }}",
    "batch of batches": "{{ range(99999) | batch(1) | batch(1) | batch(1) | list | length }}" * 20,
    "batch filled": "{{ [1] | batch(1000, row.long) | list | join }}",
    "slice filled": "{{ [1] | slice(1000, row.long) | list | join }}",
    "tojson of nested lists": doubled("[1]", "{% set a = [a] %}", "{{ a | tojson }}", 3_000),
    "tojson indented": doubled("[1]", "{% set a = [a] %}", "{{ a | tojson(999) }}", 90),
    "tojson of quotes": "{{ ('<' * 900000) | tojson }}" * 9,
    "tojson of surrogates": "{{ ('\\ud800' * 90000) | tojson }}" * 9,
    "pprint": NUMBERS + "{{ r | pprint }}" * 60,
    "pprint of nested lists": doubled("[1]", "{% set a = [a, a] %}", "{{ a | pprint }}", 16),
    "pprint of a text": "{{ row.long | pprint }}" * 60,
    "pprint of a long word": "{{ ('a ' * 400000) | pprint }}",
    "filesizeformat": in_loop("{{ (10 ** 3000) | filesizeformat }}"),
    "default of default": in_loop("{{ undefined_name | default(row.long) }}"),
    "items of a dict": in_loop("{{ dict(row) | items | list }}"),
    "attribute of a long name": in_loop("{{ row['" + "x" * 9_999 + "'] | default('') }}"),
    "missing attribute": "{{ row." + "x" * 99_999 + " }}",
    "missing name": "{{ " + "x" * 99_999 + " }}",
    "missing filter": "{{ 1 | " + "x" * 99_999 + " }}",
    "unknown tag": "{% " + "x" * 99_999 + " %}",
    "error with a long text": "{{ row.long + 1 }}",
    "error with a long list": "{{ (range(90000) | list) + 1 }}",
    "error with a nested list": doubled("[1]", "{% set a = [a, a] %}", "{{ {}[a] }}", 40),
    "conditional expression": "{{ " + "1 if 1 else " * 5_000 + "1 }}",
    "long comparison": "{{ " + " < ".join(map(str, range(5_000))) + " }}",
    "long and": "{{ " + " and ".join(["row.n"] * 5_000) + " }}",
    "long tilde": "{{ " + " ~ ".join(["row.long"] * 5_000) + " }}",
    "long addition": "{{ " + " + ".join(["1"] * 5_000) + " }}",
    "constants folded": "{{ 'a' * 900000 * 900 }}",
    "constants folded by a filter": "{{ 'a' | center(1000) | center(1000) | replace(' ', 'x' * 9999) }}",
    "constants folded by format": "{{ '%999999999s' | format('a') }}",
    "constants folded, many": "{{ 'a' * 900000 }}" * 60,
    "constants folded, round": "{{ 5 | round(10 ** 9) }}",
    "constants folded, power": "{{ 9 ** 99999999 }}",
    "constants folded, range": "{{ range(10 ** 9) | list }}",
    "constants folded, batch": "{{ 'abc' | batch(999999999, 'x') | list }}",
    "constants folded, list": "{{ [1] * 999999999 }}",
    "constants folded, tuple": "{{ (1, 2) * 999999999 }}",
    "constants folded, join": "{{ ('a' * 90000) | list | join('b' * 90000) }}",
    "constants folded, sum": "{{ [[1], [2]] | sum(start=[]) }}",
    "constants folded, before a choice": "{{ 'a' * 10**10 }}{{ choice('c', ['a', 'b']) }}",
    "constants folded, in a branch": "{% if false %}{{ 'a' * 10**10 }}{% endif %}",
    "choice of a long option": "{{ choice('c', ['a' * 900000000, 'b']) }}",
    "choice of many options": "{{ choice('c', range(99999)) }}" * 60,
    "choice of large options": "{{ choice('c', [row.long, row.long ~ 'x']) }}" * 9_000,
    "choice of nested options": doubled("[1]", "{% set a = [a, a] %}", "{{ choice('c', [a, [a]]) }}"),
    "choice of shared options": doubled("[1]", "{% set a = [a, a] %}", "{{ choice('c', [a, [a]]) }}", 16),
    "choice of tuples": doubled("(1,)", "{% set a = (a, a) %}", "{{ choice('c', [a, (a,)]) }}", 30),
    "choices in a loop": in_loop("{{ choice('c' ~ i, ['a', 'b']) }}"),
    "flags in a loop": in_loop("{{ flag('c' ~ i) }}"),
    "integers in a loop": in_loop("{{ integer('c' ~ i, 0, 999) }}"),
    "orders in a loop": in_loop("{{ order('c' ~ i, [1, 2, 3, 4, 5, 6]) }}"),
    "order of many": "{{ order('o', range(99999)) }}",
    "order of six, often": in_loop("{{ order('o', [1, 2, 3, 4, 5, 6]) }}"),
    "integer of many": "{{ integer('n', 0, 10 ** 9) }}",
    "integer of powers": "{{ integer('n', -10 ** 3000, 10 ** 3000) }}",
    "choice with a long name": "{{ choice('c' * 900000000, ['a', 'b']) }}",
    "examples of many": "{% for s in examples('s', max=999) %}{{ s }}{% endfor %}" * 999,
    "examples with pickers": "{% for s in examples('s', max=9, pickers=range(99999)) %}{% endfor %}",
    "flags nested": "".join(f"{{% if flag('f{i}') %}}" for i in range(200)) + "{% endif %}" * 200,
    "flags side by side": "".join(f"{{% if flag('f{i}') %}}a{{% endif %}}" for i in range(3_000)),
    "choices side by side": "".join(f"{{{{ choice('c{i}', ['a', 'b']) }}}}" for i in range(3_000)),
    "chat in a loop": LOOP + '{% chat role="user" %}{{ row.long }}{% endchat %}' + END,
    "chat of a large role": "{% chat role='a' * 900000000 %}x{% endchat %}",
    "chats nested": '{% chat role="user" %}' * 99 + "{% endchat %}" * 99,
    "nested brackets": "{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}",
    "nested lists": "{{ " + "[" * 10_000 + "]" * 10_000 + " }}",
    "nested dicts": "{{ " + "{1:" * 10_000 + "1" + "}" * 10_000 + " }}",
    "nested calls": "{{ " + "f(" * 10_000 + ")" * 10_000 + " }}",
    "nested ifs": "{% if 1 %}" * 10_000 + "{% endif %}" * 10_000,
    "nested fors": "{% for i in [1] %}" * 10_000 + "{% endfor %}" * 10_000,
    "nested sets": "{% set a %}" * 10_000 + "{% endset %}" * 10_000,
    "nested withs": "{% with %}" * 10_000 + "{% endwith %}" * 10_000,
    "nested blocks": "".join(f"{{% block b{i} %}}" for i in range(3_000)) + "{% endblock %}" * 3_000,
    "nested macros": "".join(f"{{% macro m{i}() %}}" for i in range(3_000)) + "{% endmacro %}" * 3_000,
    "nested nots": "{{ " + "not " * 10_000 + "1 }}",
    "nested minus": "{{ " + "-" * 10_000 + "1 }}",
    "nested filters": "{{ 1 " + "| string " * 10_000 + "}}",
    "nested attributes": "{{ row" + ".x" * 10_000 + " }}",
    "nested items": "{{ row" + "[0]" * 10_000 + " }}",
    "nested tests": "{{ 1 " + "is not defined " * 10_000 + "}}",
    "elifs": "{% if 0 %}" + "{% elif 0 %}" * 10_000 + "{% endif %}",
    "many variables": "".join(f"{{% set a{i} = {i} %}}" for i in range(10_000)),
    "many blocks": "".join(f"{{% block b{i} %}}{{% endblock %}}" for i in range(3_000)),
    "many filters": "{{ row.text " + "| upper " * 900 + "}}",
    "unclosed brackets": "{{ " + "(" * 90_000,
    "unclosed text": "{{ '" + "a" * 900_000,
    "unclosed comment": "{# " + "a" * 900_000,
    "unclosed tags": "{{ " * 90_000,
    "many quotes": "{{ " + "'" * 90_001 + " }}",
    "many backslashes": "{{ '" + "\\" * 90_000 + "' }}",
    "many blanks": "{{" + " " * 900_000 + "1 }}",
    "many lines": "\n" * 900_000 + "{{ 1 }}",
    "many braces": "{" * 90_000,
    "many percent signs": "{%" * 9_000,
    "large number": "{{ " + "9" * 90_000 + " }}",
    "large float": "{{ 1." + "9" * 90_000 + " }}",
    "large exponent": "{{ 1e" + "9" * 90_000 + " }}",
    "hexadecimal number": "{{ 0x" + "f" * 90_000 + " }}",
    "raw": "{% raw %}" + "{{ x }}" * 90_000 + "{% endraw %}",
    "include": "{% include '/dev/zero' %}",
    "include of a list": "{% include ['a'] * 999999999 %}",
    "import": "{% import '/dev/zero' as z %}",
    "extends itself": "{% extends 'template' %}",
    "do": "{% do row.many.append(1) %}",
    "lipsum": "{{ lipsum(99999) }}",
    "with doubled": "{% with a = 'ab' %}" + "{% with a = a ~ a %}" * 60 + "{{ a }}" + "{% endwith %}" * 61,
    "call doubled": "{% macro m(a) %}{{ caller(a ~ a) }}{% endmacro %}" + "{% call(a) m('ab') %}" * 30
    + "{{ a }}" + "{% endcall %}" * 30,
    "varargs": "{% macro m() %}{{ m(*(varargs + varargs)) }}{% endmacro %}{{ m(1) }}",
    "kwargs": "{% macro m() %}{{ kwargs }}{% endmacro %}" + in_loop("{{ m(**row) }}"),
    "star of a range": in_loop("{{ dict(*[range(99999)]) }}"),
    "arguments without end": in_loop("{{ '{}'.format(*range(99999)) }}"),
    "unpacked": in_loop("{% for a, b in [row.many[:2]] * 99 %}{% endfor %}"),
    "unpacked names": "{% set a, b = range(99999) %}",
}  # fmt: skip


class Use(NamedTuple):
    """What one use of a template came to."""

    name: str
    seconds: float
    megabytes: float
    said: str


def used(source: str) -> dict[str, Callable[[], object]]:
    return {
        "rendered": lambda: Template(source).render({}, ROW),
        "searched": lambda: Template(source).space(ROW),
        "as a prompt": lambda: Prompt(source=source).messages(ROW),
    }


def measure(source: str, how: str, ended: Connection) -> None:
    """In a process of its own: use the template and send seconds, megabytes and what was said."""
    before = memory()
    start = time.process_time()
    try:
        used(source)[how]()
        said = ""
    except PromptSearchError as error:
        said = str(error)
    except BaseException as error:  # anything else is a finding
        said = f"RAISED {type(error).__name__}: {error}"[:200]
    ended.send((time.process_time() - start, memory() - before, said))


def memory() -> float:
    """The most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def uses_of(name: str, source: str) -> list[Use]:
    uses = []
    for how in used(source):
        receiver, sender = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=measure, args=(source, how, sender))
        process.start()
        found = receiver.recv() if receiver.poll(PATIENCE) else (float("inf"), float("inf"), "HANGS")
        process.kill()
        process.join()
        uses.append(Use(f"{name} ({how})", *found))
    return uses


def is_wrong(use: Use) -> bool:
    return (
        use.seconds > MOST_SECONDS
        or use.megabytes > MOST_MEGABYTES
        or use.said.startswith("RAISED")
        or "\n" in use.said
        or len(use.said) > 2_000
    )


def main(word: str = "") -> int:
    uses = [use for name, source in TEMPLATES.items() if word in name for use in uses_of(name, source)]
    wrong = [use for use in uses if is_wrong(use)]
    harmless = sum(not use.said for use in uses)
    print(f"{len(TEMPLATES)} templates, {len(uses)} uses, {harmless} harmless, {len(wrong)} wrong")
    slowest = sorted(uses, key=lambda use: -use.seconds)[:SHOWN]
    largest = sorted(uses, key=lambda use: -use.megabytes)[:5]
    for use in dict.fromkeys([*wrong, *slowest, *largest]):
        mark = "WRONG" if use in wrong else ""
        print(f"{mark:5} {use.seconds:6.2f} s {use.megabytes:7.0f} MB  {use.name}: {use.said[:90]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    Template("{{ row.text }}").render({}, ROW)  # what is imported once is not measured
    sys.exit(main(*sys.argv[1:]))
