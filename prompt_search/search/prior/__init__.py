"""What earlier studies know, and how far it holds."""
