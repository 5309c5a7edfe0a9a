"""Properties of the hardware's blocks, proven for every behaviour of what is around them: ``python -m tests.formal``."""
