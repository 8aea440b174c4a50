from lava_runtime.dataset import store
from lava_runtime.dataset.store import PartialFolder


def test_nobody_can_lock_a_folder_while_it_is_removed(tmp_path, monkeypatch):
    """The lock is a file in it: were that removed first, another run would take what is left for its own."""
    partial = PartialFolder(tmp_path / "run", {"key": "one"})
    remove, seen = store.shutil.rmtree, []

    def looking(path, **options):
        seen.append(partial.path.exists())
        remove(path, **options)

    monkeypatch.setattr(store.shutil, "rmtree", looking)
    with partial.opened(shared=False):
        partial.shard_path(store.Shard(0, 0, 4)).touch()
        partial.remove()
    assert seen and not any(seen)
    assert list(tmp_path.iterdir()) == []
