"""Predictions of trained runs and of programs: which rows, what is known of them, and the CSV of `predict`."""
