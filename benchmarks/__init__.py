"""Measured claims: each script prints a table, then one JSON line last."""
