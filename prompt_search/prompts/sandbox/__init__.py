"""A Jinja environment that is safe for templates from anyone: no access to its surroundings, limited work."""
