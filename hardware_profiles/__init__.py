"""What a device is (limits, integers, costs) and what a run on it costs; imports nothing of ours."""
