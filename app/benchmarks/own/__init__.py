"""`benchmark networks`: times networks written for PyG against the integer programs of what `prepare` makes of them."""
