"""Statistics: arrays in, values out. Knows nothing of records, files or torch."""
