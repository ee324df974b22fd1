"""What was measured as tables, pictures and one page."""
