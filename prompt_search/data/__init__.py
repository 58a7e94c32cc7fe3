"""Labelled data: rows, the files that they are read from, and how they are split."""
