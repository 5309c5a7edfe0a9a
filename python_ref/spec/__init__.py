"""The specification of a design, from which everything else is built: numbers and names, but no files, hardware or step arithmetic."""
