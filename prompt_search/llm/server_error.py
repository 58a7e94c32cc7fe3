"""What a server says when it refuses a request, out of the many shapes of error bodies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError:
    """A refusal in the server's own words.

    Attributes:
        status: the HTTP status, or the one inside the body where a refusal was sent as a success.
        message: the explanation; never empty.
        code, type, param: the machine-readable parts, each "" where the server gives none; numbers as text.
    """

    status: int
    message: str
    code: str = ""
    type: str = ""
    param: str = ""
