"""Logs of others become data sets: rows are read, their layout is recognised, and what was said is spelled."""
