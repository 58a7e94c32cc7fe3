"""Answers scored by a model: the judge, its scale, how it is asked, and how well it agrees with people."""
