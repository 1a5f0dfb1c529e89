"""Parts of the builder of integer programs (`models/quantization/builder.py`)."""
