"""The Python API: run a comparison, load its results as data frames, plot and report them."""
