(
    """Images: the folder they lie in, their split, their decoded pixels, and the batches every architecture sees alike."""
    ""
)
