"""The built-in drawn data set."""
