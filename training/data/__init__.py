"""Videos with sound to events: the benchmark that is rendered here, the loader of any video, the event rule."""
