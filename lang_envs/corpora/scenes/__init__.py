"""The built-in world of visual dialogue: scenes, what is said of them, questions about them, and a guesser."""
