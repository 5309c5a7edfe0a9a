"""One page about a design: what was generated, what was proven, how well it learns and what it costs."""
