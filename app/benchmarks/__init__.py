"""Time and memory, measured against named peers in the same run.

For the command line and the demo.
"""
