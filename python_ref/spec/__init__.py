"""The single source of truth: what a design is, in numbers and names. No files, no hardware, no arithmetic of a step."""
