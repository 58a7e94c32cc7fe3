"""The surrogate: a Gaussian process over the choices, fitted to the scores of a search."""
