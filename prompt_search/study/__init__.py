"""A study: its settings, and what can be done with it."""
