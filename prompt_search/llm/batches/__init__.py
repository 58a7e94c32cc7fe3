"""The files-and-batches API of OpenAI, and of the servers that speak it: many requests in a file, at a lower price."""
