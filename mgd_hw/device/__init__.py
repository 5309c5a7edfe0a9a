"""Training on a core at the end of a link, which is a board or a virtual board."""
