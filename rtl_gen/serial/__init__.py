"""The serial line of a core: bytes, frames, and a core with its line."""
