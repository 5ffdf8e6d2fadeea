"""What records say, as numbers: pure functions on arrays, and the frames that are printed from them."""
