"""Feature files of UCF-, ActivityNet- and VGGSound-GZSL, and of other sets in the same layout (docs/data.md)."""
