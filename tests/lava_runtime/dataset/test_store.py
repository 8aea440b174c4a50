from pathlib import Path

from lava_runtime.dataset.shards import Shard
from lava_runtime.dataset.store import LOCK, PartialFolder


def test_the_lock_is_the_last_file_of_a_folder_that_is_removed(tmp_path, monkeypatch):
    """Were it removed before, another run could take what is left for its own."""
    partial = PartialFolder(tmp_path / "run", {"key": "one"})
    unlink, left = Path.unlink, []

    def looking(path, missing_ok=False):
        left.append({entry.name for entry in partial.path.iterdir()})
        unlink(path, missing_ok)

    with partial.opened(shared=False):
        partial.shard_path(Shard(0, 0, 4)).touch()
        (partial.path / "merged").mkdir()
        monkeypatch.setattr(Path, "unlink", looking)
        partial.remove()
    assert len(left) == 3 and all(LOCK in names for names in left) and left[-1] == {LOCK}
    assert list(tmp_path.iterdir()) == []
