"""A core that learns alone, from the samples of a flash memory, without a host."""
