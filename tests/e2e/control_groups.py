"""Control groups for tests: made-up trees in a folder, and this machine's own where it may be
written (version 1, as root)."""
import os
import pathlib
import uuid

import pytest

PERIOD = 100000  # us


class Tree:
    """Files of a version 2 hierarchy, for --cgroup-root: the process is in /pod/service."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.write("proc/self/cgroup", "0::/pod/service\n")
        self.quota(None)

    def write(self, path, text):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")  # read whole or not at all
        new.write_text(text)
        new.replace(path)

    def group(self, name, text, level="pod/service"):
        self.write(f"sys/fs/cgroup/{level}/{name}", text)

    def quota(self, cores, level="pod/service"):
        amount = "max" if cores is None else str(int(cores * PERIOD))
        self.group("cpu.max", f"{amount} {PERIOD}\n", level)

    def throttled(self, periods, throttled, seconds):
        self.group("cpu.stat", f"usage_usec 1\nnr_periods {periods}\nnr_throttled {throttled}\n"
                               f"throttled_usec {int(seconds * 1e6)}\n")

    def memory(self, high=None, most=None, current=0, inactive=0, level="pod/service"):
        self.group("memory.high", f"{'max' if high is None else high}\n", level)
        self.group("memory.max", f"{'max' if most is None else most}\n", level)
        self.group("memory.current", f"{current}\n", level)
        self.group("memory.stat", f"anon 1\ninactive_file {inactive}\n", level)


class Group:
    """A group of a version 1 controller on this machine."""

    def __init__(self, controller):
        base = pathlib.Path("/sys/fs/cgroup") / controller
        self.folder = base / f"smallmind-{uuid.uuid4().hex}"
        if not (base / "cgroup.procs").is_file():
            pytest.skip(f"no version 1 control groups of {controller} here")
        try:
            self.folder.mkdir()
        except OSError as error:
            pytest.skip(f"control groups cannot be made here: {error}")

    def set(self, name, value):
        (self.folder / name).write_text(str(value))

    def read(self, name):
        return (self.folder / name).read_text()

    def quota(self, cores):
        self.set("cpu.cfs_quota_us", -1 if cores is None else int(cores * PERIOD))

    def enter(self):
        """For a child that has been forked and not begun yet."""
        self.set("cgroup.procs", os.getpid())

    def take(self, pid):
        self.set("cgroup.procs", pid)

    def remove(self):
        parent = self.folder.parent / "cgroup.procs"
        for pid in self.read("cgroup.procs").split():
            try:
                parent.write_text(pid)
            except OSError:
                pass  # it has ended
        self.folder.rmdir()
