"""Starting from what earlier studies know."""
