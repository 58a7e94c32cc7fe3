"""Writing a template with its choices filled in: the prompt that is scored, and that ships."""
