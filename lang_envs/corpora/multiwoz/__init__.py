"""MultiWOZ beyond its texts: the goals people were given, what was understood turn by turn, and the databases."""
