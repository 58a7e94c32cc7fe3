"""Requests that are sent in batches: what is asked at one time goes to the server as one file."""
