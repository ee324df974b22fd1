"""Working through a suite: its pieces, what each of them does, and the processes that do it."""
