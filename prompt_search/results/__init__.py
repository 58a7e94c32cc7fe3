"""What came out of a study: tables, statistics, verdicts."""
