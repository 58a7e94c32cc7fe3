"""Requests that are no prompt with a row: those to a proposer and to a judge."""
