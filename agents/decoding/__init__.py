"""How models speak: drawing tokens, searching, and choosing among candidates."""
