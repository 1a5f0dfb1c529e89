"""Configuration: cells, tables of runs, settings, and building what they describe.

Used by runs and the rooms above it.
"""
