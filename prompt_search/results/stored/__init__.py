"""A stored study as it is read: its records, its tables, and the verdict on it."""
