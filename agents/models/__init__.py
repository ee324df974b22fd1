"""Language models, adapters, and values on them."""
