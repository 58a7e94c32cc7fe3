"""Who runs a study, and who may send a request."""
