"""Fixtures of the report's tests."""

from tests.report.examples import finished, result

__all__ = ["finished", "result"]
