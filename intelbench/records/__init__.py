"""What a run is and what it left behind: frozen structs, and the files that hold them."""
