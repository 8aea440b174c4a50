"""Videos with sound to events, and spiking networks with dynamic thresholds trained on them in snnTorch."""
