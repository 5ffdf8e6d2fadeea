"""Experiment trackers (MLflow, TensorBoard, W&B, Trackio): one file each, and what runs send to all of them."""
