"""Passes: functions Graph -> Graph, one per file; `pipeline` puts them in order."""
