"""Tests of growth: operators, replies, guards and the proposer."""
