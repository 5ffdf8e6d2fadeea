"""What people write: budgets, recipes, conditions, suites; and how TOML is decoded strictly."""
