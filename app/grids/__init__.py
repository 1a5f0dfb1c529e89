"""Many runs in many processes: the tables of the paper, and searches for hyper-parameters.

For the command line alone.
"""
