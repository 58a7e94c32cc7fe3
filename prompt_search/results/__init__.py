"""The outcome of a study, read from the storage: tables, statistics, verdicts, and the words for them."""
