"""Growth of a study: asking a model for new options."""
