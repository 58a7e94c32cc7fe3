"""Where requests are sent from when one machine is not enough: the workers of a Dask cluster.

What travels is one HTTP attempt: the body of a request to a worker, and status and raw answer back. Requests, retries,
budget, limits and storage stay with the process that runs the study; workers hold nothing but open connections.
An attempt is a Dask task that is bound to one worker, so that Dask never sends it again by itself: when its worker or
the connection to the scheduler is lost, it comes back as a lost attempt, which the client counts and repeats like one
whose connection broke. The only package that knows ``distributed``.
"""

from __future__ import annotations

from prompt_search.llm.dask_executor.executor import AnyExecutor, DaskExecutor, executor_of
from prompt_search.llm.dask_executor.transport import DaskTransport
from prompt_search.llm.dask_executor.worker import Parcel, attempt

__all__ = ["AnyExecutor", "DaskExecutor", "DaskTransport", "Parcel", "attempt", "executor_of"]
