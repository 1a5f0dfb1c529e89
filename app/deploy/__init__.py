"""From a trained run to what is served: export, and what each site costs.

For the command line alone.
"""
