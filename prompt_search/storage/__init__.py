"""What is kept in a database: responses, budgets, leases, studies."""
