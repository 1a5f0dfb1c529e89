"""Commands that say which data there is and what it looks like.

Only the command line may import them.
"""
