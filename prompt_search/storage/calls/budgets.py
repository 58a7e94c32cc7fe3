"""The budgets of a study, and what was paid under each of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from prompt_search._json import checked, json_text, reading
from prompt_search.budget import Budget, Spending
from prompt_search.errors import InputError
from prompt_search.storage import schema
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient
from prompt_search.storage.records import TAKEN_OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBudget:
    """A budget that is being spent on a study.

    Attributes:
        number: its place among the budgets of the study.
        paid_before: what was paid under earlier budgets.
        paid: what was paid under this one.
    """

    number: int
    paid_before: Spending
    paid: Spending


class Budgets:
    """The budgets of a database's studies; a call is stored with the number of its budget."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    def open_budget(self, study: str, budget: Budget) -> OpenedBudget:
        """Begin or go on to spend a budget on a study.

        Raises:
            InputError: the budget allows no more than is paid already; or it is in US dollars, and what earlier runs
                cost is not known.
        """
        of_study = schema.studies.c.study == study
        with self._database.writing() as connection:
            text = connection.execute(sql.select(schema.studies.c.budgets).where(of_study)).scalar_one()
            with reading(f"the budgets of study {study!r}"):
                budgets = checked(list[dict[str, Any]], json.loads(text))
            paid = _paid(connection, study)
            total = sum(paid.values(), Spending())
            if budget.usd is not None and math.isnan(total.usd):
                raise InputError(
                    f"a budget in US dollars counts what study {study!r} cost so far, which is unknown; give it "
                    "another name, or start over with fresh=True (--fresh)"
                )
            # A run that failed before its first response has spent nothing of its budget.
            budgets = budgets[: _used_budgets(connection, study)]
            if not budgets or budgets[-1] != budget.limits:
                if not budget.allows_more_than(total):
                    raise InputError(_too_small(study, budget, total))
                budgets.append(budget.limits)
            connection.execute(schema.studies.update().where(of_study).values(budgets=json_text(budgets)))
        number = len(budgets) - 1
        former = sum((spending for earlier, spending in paid.items() if earlier < number), Spending())
        return OpenedBudget(number=number, paid_before=former, paid=paid.get(number, Spending()))

    @patient
    def paid_before(self, study: str, budget: int) -> set[str]:
        """The requests that were paid for under earlier budgets than the one of this number."""
        of = schema.calls.c
        query = sql.select(of.key).where(of.study == study, of.attempts > 0, of.budget < budget)
        with self._database.connected() as connection:
            return set(connection.execute(query).scalars())


def _used_budgets(connection: sql.Connection, study: str) -> int:
    """The number of budgets under which a study has made any call."""
    of = schema.calls.c
    last = connection.execute(sql.select(sql.func.max(of.budget)).where(of.study == study)).scalar_one()
    return 0 if last is None else int(last) + 1


def _too_small(study: str, budget: Budget, total: Spending) -> str:
    used = {"calls": f"{total.calls:,} calls", "tokens": f"{total.tokens:,} tokens", "usd": f"${total.usd:.4g}"}
    spent = " and ".join(used[name] for name in budget.never_passed)
    return (
        f"study {study!r} has paid for {spent} already, and {budget} allows no more: a budget is for the whole study; "
        "give a larger one, or read the result that is stored (prompt-search show, ps.open_result)"
    )


def _paid(connection: sql.Connection, study: str) -> dict[int, Spending]:
    """What was paid under each budget, by its number, and what owners that were taken over may have paid; US dollars
    are NaN where the cost of a call is unknown."""
    paid: dict[int, Spending] = {}
    calls, sent = schema.calls.c, schema.sent.c
    for of, counts in ((calls, calls.attempts > 0), (sent, sent.state == TAKEN_OVER)):
        usd = sql.case((sql.func.count() > sql.func.count(of.usd), None), else_=sql.func.sum(of.usd))
        query = sql.select(of.budget, sql.func.sum(of.attempts), sql.func.sum(of.tokens), usd)
        for number, attempts, tokens, cost in connection.execute(
            query.where(of.study == study, counts).group_by(of.budget)
        ):
            spending = Spending(calls=int(attempts), tokens=int(tokens), usd=math.nan if cost is None else cost)
            paid[number] = paid.get(number, Spending()) + spending
    return paid
