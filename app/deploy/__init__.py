"""Commands that bring a trained run to where it is served: export, and what each site costs.

Only the command line may import them.
"""
