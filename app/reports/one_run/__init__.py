"""The report of one run (`report --run`): what it measured, and what its log, its network and its data show."""
