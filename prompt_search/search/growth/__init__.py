"""Growth: options that a model proposes while the race goes on."""
