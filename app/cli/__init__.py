"""The command line: commands, options, and printing.

Every room may use it. It imports app.errors and nothing heavy.
"""
