"""The command ``import``: a network of dense layers that was trained elsewhere becomes a design file and its parameters."""
