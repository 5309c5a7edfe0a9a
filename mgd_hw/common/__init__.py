"""What every other room of the package builds on: errors, results, progress, files, and the look of tables and figures."""
