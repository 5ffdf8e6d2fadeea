"""Images: their folder, their split, their decoded pixels, and the batches every architecture sees alike."""
