"""Training data: sources of episodes, and their conversion to tensors."""
