"""What the few answers of a preflight mean."""
