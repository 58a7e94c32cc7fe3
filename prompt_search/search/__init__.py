"""The search: which candidate is evaluated next, on which rows, and which one wins."""
