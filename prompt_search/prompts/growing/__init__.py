"""Growth: what a model is asked when it proposes options of a choice, and what is read and refused of its reply."""
