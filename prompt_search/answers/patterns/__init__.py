"""Regular expressions from anywhere: whether one ends soon on a text, in steps that are counted instead of timed."""
