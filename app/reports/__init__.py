"""Results as tables, plots and pages.

For the rooms that run or deploy something and show what came of it.
"""
