"""What a result says about an objective: values of rows, and which prompts keep the caps."""
