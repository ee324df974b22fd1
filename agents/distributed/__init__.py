"""Several processes that learn together: who they are, and how a loss is computed over all of them."""
