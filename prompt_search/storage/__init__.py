"""The database: responses, budgets, leases, studies."""
