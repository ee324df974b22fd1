"""Reddit comments: one value type, readers of the published layouts, and built-in threads."""
