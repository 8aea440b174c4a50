"""Four networks, each from definition to Lava spikes in under 40 lines."""
