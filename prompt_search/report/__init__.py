"""One file that has all that is needed to decide."""
