"""The application: command line, experiments, export, and the integer engine."""

__version__ = "0.1.0"
