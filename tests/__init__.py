"""A package, so that no installed one of this name stands for it in `python -m tests.gpu_check`."""
