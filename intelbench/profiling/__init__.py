"""Measures: environment, step times, peak memory, parameters and FLOPs. Nothing here decides anything."""
