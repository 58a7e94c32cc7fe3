"""One request and its answer: models, client, rate limits, executors."""
