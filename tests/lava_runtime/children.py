"""What a run may leave behind on this machine: OS processes and shared memory."""

import time
from multiprocessing import resource_tracker
from pathlib import Path


def children() -> set[int]:
    """Children of this process, without Python's own resource tracker, zombies included."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found - {resource_tracker._resource_tracker._pid}


def segments(pid: int | str = "self") -> set[str]:
    """Files in /dev/shm that a process has mapped; those of Lava's channels are called psm_…."""
    maps = (Path("/proc") / str(pid) / "maps").read_text().splitlines()
    return {line.split()[5] for line in maps if "/dev/shm/psm_" in line and not line.endswith("(deleted)")}


def wait_until_empty(leader: int, timeout_s: float = 20.0) -> None:
    """Wait until all processes of a group are gone; fail if they stay."""
    deadline = time.monotonic() + timeout_s
    while left := group(leader):
        assert time.monotonic() < deadline, f"processes {left} outlive their parent"
        time.sleep(0.01)


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
