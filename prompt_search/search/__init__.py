"""The search: which candidate is looked at next, on which rows, and which one wins."""
