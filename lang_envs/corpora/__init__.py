"""The texts of the tasks: readers of official formats, and built-in worlds."""
