"""Task-oriented dialogues: one value type, a reader for each published format, and a built-in corpus."""
