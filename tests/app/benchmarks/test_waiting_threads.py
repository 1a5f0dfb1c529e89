from __future__ import annotations

import subprocess
import sys


def test_threads_of_blas_that_wait_take_no_time_from_the_next_candidate():
    code = "import os, sys, app.benchmarks; print(os.environ['OPENBLAS_THREAD_TIMEOUT'], 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "4 False\n"
