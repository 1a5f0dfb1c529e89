"""What a run or a table of runs is made of: cells, grids, settings, and the classes they name.

For runs and the rooms above.
"""
