"""A result as people see it: printed, in a notebook, and as a report in one file."""
