"""Many runs in many processes: the tables of the paper, and searches for hyper-parameters.

Used by the command line alone.
"""
