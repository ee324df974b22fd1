"""Language models, adapters, and value heads."""
