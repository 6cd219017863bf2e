"""The main job, for real and on this machine alone: `make demo`, or `python -m demo`."""
