"""Other people's ways to run a benchmark network in FP32, each where what it needs is installed."""
