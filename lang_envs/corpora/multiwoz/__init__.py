"""MultiWOZ beyond its texts: the goals of its users, the dialogue state of each turn, and the databases."""
