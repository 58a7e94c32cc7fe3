"""What the user labelled: rows, files, splits."""
