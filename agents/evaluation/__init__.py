"""Measuring agents and looking into them."""
