"""Records that are written once for a study, and stay as they are."""
