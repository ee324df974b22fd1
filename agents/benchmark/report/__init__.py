"""Writes the results of a benchmark as tables, pictures and one HTML page."""
