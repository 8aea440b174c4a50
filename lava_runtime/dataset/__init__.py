"""Data sets on Lava: in shards, on all cores, resumable after a kill."""
