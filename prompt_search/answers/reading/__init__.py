"""How labels, numbers and texts are read. Exported prompts read by the same functions."""
