"""What agents learn from: where episodes come from, and how they become tensors."""
