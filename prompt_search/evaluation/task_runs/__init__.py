"""Running a user's own program as the task: what it may call, and what comes of a row."""
