"""From published files to graphs: downloads, checks, reads and converts them; for `datamodules.datasets`."""
