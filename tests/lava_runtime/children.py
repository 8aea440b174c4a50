"""What a run may leave behind on this machine: OS processes and shared memory."""

import os
from multiprocessing import resource_tracker
from pathlib import Path


def children() -> set[int]:
    """Children of this process, without Python's own resource tracker, zombies included."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found - {resource_tracker._resource_tracker._pid}


def segments() -> set[str]:
    """Names in shared memory that Lava's channels may leave."""
    return {name for name in os.listdir("/dev/shm") if name.startswith("psm_")}


def group(pgid: int) -> set[int]:
    """All living processes of a process group, zombies left out."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == pgid and fields[0] != "Z":
                found.add(int(entry.name))
    return found
