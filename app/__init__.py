"""The application: command line, experiments, export, and the integer engine."""

__version__ = "0.2.0"
