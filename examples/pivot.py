"""From the runs below the folder `runs` to a pivot table, in five lines: `python -m examples.pivot`; needs pandas.

Networks are rows, schemes columns; in a cell stand mean, deviation and number of the test accuracies over seeds.
"""

import pandas as pd

from app.reports.records import runs

table = pd.DataFrame(runs("runs"))
pivot = table.pivot_table("test/accuracy", ["dataset", "architecture"], "scheme", ["mean", "std", "count"])
print(pivot.round(3).to_string())
