"""One prompt on rows, without a search: scored, asked, or guarded by a score."""
