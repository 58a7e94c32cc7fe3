"""Prompts as files and as text for people."""
