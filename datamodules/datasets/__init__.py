"""The data sets, one in each file; imported through `datamodules`, which lists them all."""
