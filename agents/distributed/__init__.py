"""Training with several processes: their communication, and a loss that is computed over all of them."""
