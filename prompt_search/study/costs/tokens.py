"""How many tokens a text is expected to have."""

from __future__ import annotations

BYTES_PER_TOKEN = 4.0
"""Bytes of English text per token, roughly; other scripts and numbers take more tokens."""
