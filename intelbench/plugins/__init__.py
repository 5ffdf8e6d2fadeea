"""The doors: registries of named values, and plug-in files and entry points that add to them."""
