"""What is shown of a result: failing rows, fields, and the cheaper prompt."""
