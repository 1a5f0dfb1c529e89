"""Sites whose grids have a scale for every column: of weights, and of values that are read feature by feature."""
