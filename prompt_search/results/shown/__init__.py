"""What is shown of a result: lines of a width, failing rows, fields, and the cheaper prompt."""
