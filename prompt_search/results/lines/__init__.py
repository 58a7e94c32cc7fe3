"""Tables as lines of text."""
