"""Files of raw data as they were published: downloaded, checked, read.

For data sets.
"""
