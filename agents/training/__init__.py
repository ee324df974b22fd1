"""The training loop, its checkpoints and logs, on one process or several."""
