"""Where the texts of the tasks come from: readers of official formats, and built-in worlds."""
