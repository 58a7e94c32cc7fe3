"""What a race decides: who gets rows next, who is stopped, who is in the finals."""
