"""The command line: commands, options, and how it prints.

Any room may use it. It imports app.errors and nothing heavy.
"""
