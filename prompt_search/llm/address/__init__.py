"""Where a model is served: base URLs as people write them, and the headers and query values that go with requests."""
