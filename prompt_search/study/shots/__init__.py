"""Shots that are picked by what the model itself answers."""
