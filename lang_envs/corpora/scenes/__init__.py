"""The built-in world of visual dialogue: scenes, their captions, questions about them, answers, and a guesser."""
