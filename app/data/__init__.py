"""What data there is and what it looks like.

For the command line alone.
"""
