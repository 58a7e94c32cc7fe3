"""What an attempt takes from the budget before it is sent, one by one or in a batch."""

from __future__ import annotations

from prompt_search.errors import BudgetExceeded
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.messages import Request
from prompt_search.storage.records import Sent


class Reservations:
    """Takes from the budget what attempts can use.

    A request that waits for its batch has taken it already. Where it is sent alone after all, that attempt is paid with
    what was taken.

    Attributes:
        waiting: number of attempts that wait for room in the budget, which others have to leave first.
    """

    def __init__(self, settings: EvaluationSettings) -> None:
        self.waiting = 0
        self._settings = settings
        self._kept: set[int] = set()
        """Identities of requests that have taken what an attempt can use, and were not attempted."""

    async def keep(self, request: Request) -> None:
        """Take what the next attempt of a request can use.

        Raises:
            BudgetExceeded: there is no room for it.
        """
        await self._settings.ledger.reserve(request)
        self._kept.add(id(request))

    def attempted(self, request: Request) -> None:
        """A batch has attempted the request, or it is not attempted any more."""
        self._kept.discard(id(request))

    async def attempt(self, request: Request) -> None:
        """Take what an attempt that is sent alone can use, and write down that it is sent: whoever resumes the study
        after a crash counts it.

        Raises:
            BudgetExceeded: it may not be sent.
            RunError: another process has taken the study over.
        """
        settings, ledger, key = self._settings, self._settings.ledger, request.key
        if id(request) in self._kept:
            self._kept.discard(id(request))
        else:
            self.waiting += 1
            try:
                await ledger.reserve(request)
            finally:
                self.waiting -= 1
        if settings.owner is None:
            return
        await settings.store.responses.save_sent(
            Sent(
                study=settings.study,
                key=key,
                owner=settings.owner,
                budget=settings.budget,
                most=ledger.most(request),
            )
        )
        try:
            ledger.check_again(request)
        except BudgetExceeded:
            if not ledger.attempts(request):
                await settings.store.in_thread(settings.store.responses.drop_sent, settings.study, key)
            raise
