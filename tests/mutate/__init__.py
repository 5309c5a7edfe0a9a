"""Single changes of a core, and whether the comparison with the model sees them: ``python -m tests.mutate DESIGN``."""
