"""The format of integer programs: grids, ops, the rules they obey, and how programs are saved and read.

For `models`, which write programs, and for the engine, which runs them. It needs neither torch nor a compiler.
"""
