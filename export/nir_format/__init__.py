"""NIR files in detail; `export.nir_file` has the two functions and the table of nodes."""
