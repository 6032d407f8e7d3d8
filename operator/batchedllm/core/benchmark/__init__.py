"""The benchmark of a model's engine: the short pod that runs it, what it found, and what that is used for."""
