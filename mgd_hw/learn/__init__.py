"""How well a design learns: its models compared, what they cost, and what stands in the way."""
