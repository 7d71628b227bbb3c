"""A share of this machine for each replica, so that several on few cores are several machines.

A share is a control group with a CPU quota (version 1 or 2), tied to one processor; its weight
keeps other programs from taking what it may use. Balancer and clients have one without a quota.
Where there is a processor for each replica and one for their clients, a processor alone is the
share. Linux; making groups needs root.
"""
import math
import os
import pathlib
import shlex

PERIOD = 10000  # us; a short one, so that a step is slowed down rather than held up
ROOT = pathlib.Path("/sys/fs/cgroup")
FULL = 0.9  # of a processor is shared out at most; balancer and clients have what is left


class Unavailable(Exception):
    pass


def is_v1():
    return (ROOT / "cpu" / "cgroup.procs").is_file()


def own_group():
    """Where this process is now."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") if is_v1() else controllers == "":
            return (ROOT / "cpu" if is_v1() else ROOT) / path.lstrip("/")
    return ROOT


class Group:
    """A control group of this machine: so many cores, None without a quota."""

    def __init__(self, name, cores):
        self.home = own_group()
        self.folder = (ROOT / "cpu" if is_v1() else ROOT) / f"smallmind-{os.getpid()}-{name}"
        try:
            self.folder.mkdir()
            quota = -1 if cores is None else int(cores * PERIOD)
            if is_v1():
                self.set("cpu.cfs_period_us", PERIOD)
                self.set("cpu.cfs_quota_us", quota)
                self.set("cpu.shares", 262144)
            else:
                self.set("cpu.max", f"{'max' if cores is None else quota} {PERIOD}")
                self.set("cpu.weight", 10000)
        except OSError as error:
            self.remove()
            raise Unavailable(f"no control group with a CPU quota can be made here ({error}): run "
                              "as root, or on more processors than replicas") from error

    def set(self, name, value):
        (self.folder / name).write_text(str(value))

    def enter(self):
        self.set("cgroup.procs", os.getpid())

    def remove(self):
        if self.folder.is_dir():
            if str(os.getpid()) in (self.folder / "cgroup.procs").read_text().split():
                (self.home / "cgroup.procs").write_text(str(os.getpid()))
            self.folder.rmdir()


class Share:
    """A processor, and a group or None."""

    def __init__(self, processor, group=None):
        self.processor, self.group = processor, group

    def command(self, words):
        """The command, run inside; what a caller adds to it becomes "$@"."""
        enter = ""
        if self.group is not None:
            enter = f"echo $$ >{shlex.quote(str(self.group.folder / 'cgroup.procs'))}; "
        inner = " ".join(shlex.quote(str(w)) for w in words)
        return ["sh", "-c", f'{enter}exec taskset -c {self.processor} {inner} "$@"', "sh"]

    def remove(self):
        if self.group is not None:
            self.group.remove()


def whole():
    """One processor, which other programs get only while it has nothing to do, as far as groups
    can be made."""
    processor = max(os.sched_getaffinity(0))
    try:
        return Share(processor, Group("whole", None))
    except Unavailable:
        return Share(processor)


def shares(n):
    """[n] for replicas, a group for their clients or None, and how they were made, in words."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > n:
        return ([Share(processors[i + 1]) for i in range(n)], None,
                "a processor for each replica, one for HAProxy and the clients")
    cores = round(FULL / math.ceil(n / len(processors)), 2)
    groups = []
    try:
        for i in range(n):
            groups.append(Group(str(i), cores))
        groups.append(Group("clients", None))
    except Unavailable:
        for one in groups:
            one.remove()
        raise
    made = [Share(processors[i % len(processors)], group) for i, group in enumerate(groups[:n])]
    return made, groups[n], (f"{cores:g} of a processor for each replica by a CPU quota, the rest "
                             f"of {len(processors)} for HAProxy and the clients")
