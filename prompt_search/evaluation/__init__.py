"""Prompts scored on rows."""
