"""Evaluation of agents and of their values."""
