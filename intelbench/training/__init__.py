"""The training loop and what it stands on: budget, optimizer, precision, evaluation."""
