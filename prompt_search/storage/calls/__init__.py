"""What was sent and answered: responses, the calls of each study, its budgets, the cache as a whole."""
