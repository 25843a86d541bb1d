"""Boxes joined by cables, on one machine: network namespaces, veth pairs and a bridge.

Everything lives in namespaces of this run alone (processes, network, mounts), so the kernel ends and removes all of it with the first
process in there, however that one ends; the outer process only waits and then removes the directory.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NEW_MOUNTS, NEW_PIDS, NEW_NETWORK = 0x00020000, 0x20000000, 0x40000000
REMOUNT_ALL_PRIVATE = 0x4000 | 0x40000
DIE_WITH_PARENT = 1
# A network of measurements only (RFC 2544).
NET = "198.18.78"
INTERFACE = "eth0"
ADDRESSES = {"a": f"{NET}.1", "b": f"{NET}.2", "witness": f"{NET}.3", "client": f"{NET}.4"}
BRIDGE_ADDRESS, MAIN_ADDRESS, SUB_ADDRESS = f"{NET}.254", f"{NET}.100", f"{NET}.101"
# Killed processes and namespaces are gone within a second; a full disk's write-back may take longer.
FAREWELL_S = 30
LOOK_S = 0.05

libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """What went wrong and where, in one line."""


def system_call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def enclosed(name, parent, keep, work):
    """Runs `work(boxes)` in namespaces of its own, with a directory below `parent`; returns the exit code."""
    if os.geteuid() != 0:
        raise Failure("needs root: it makes network namespaces")
    directory = make_directory(name, parent)
    try:
        return accompany(directory, work)
    finally:
        if keep:
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def make_directory(name, parent):
    try:
        directory = tempfile.mkdtemp(prefix=f"duplex-{name}-", dir=parent)
    except OSError as error:
        raise Failure(f"--dir: {error}") from None
    # PostgreSQL's user passes through, and lists nothing.
    os.chmod(directory, 0o711)
    kind = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, timeout=10).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        os.rmdir(directory)
        raise Failure(f"--dir {parent}: is in memory ({kind}), where a sync costs nothing and every figure would be wrong")
    return directory


def accompany(directory, work):
    sys.stdout.flush()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Until both sides have their handlers, a signal would leave the directory behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    system_call("unshare", NEW_PIDS)
    inner = os.fork()
    if inner == 0:
        run_inside(directory, work)
    for number in wanted:
        signal.signal(number, lambda *_: ask_to_end(inner))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)
    _, status = os.waitpid(inner, 0)
    # The number may soon belong to a process of somebody else.
    signal.alarm(0)
    for number in wanted:
        signal.signal(number, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(status)


def ask_to_end(inner):
    try:
        os.kill(inner, signal.SIGTERM)
        # The handler is the only one who waits from here on.
        signal.signal(signal.SIGALRM, lambda *_: os.kill(inner, signal.SIGKILL))
        signal.alarm(FAREWELL_S)
    except ProcessLookupError:
        pass


def run_inside(directory, work):
    """The first process of the new process namespace: its end is the end of all others in there."""
    code = 1
    try:
        system_call("prctl", DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        code = work(Boxes(directory)) or 0
    except Failure as failure:
        print(f"{os.path.basename(sys.argv[0])}: {failure}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        pass
    except Exception as error:
        where = error.__traceback__
        while where.tb_next:
            where = where.tb_next
        place = f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}"
        print(f"{os.path.basename(sys.argv[0])}: {place}: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            pass
        # At once, without the exit handlers of the outer process.
        os._exit(code)


def interrupt(*_):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


class Boxes:
    """Two servers, a witness and a client; this process itself sits at the switch and reaches them all."""

    def __init__(self, directory):
        self.directory = directory
        self.memory = os.path.join(directory, "memory")
        self.processes = {}
        system_call("unshare", NEW_MOUNTS | NEW_NETWORK)
        system_call("mount", b"none", b"/", None, REMOUNT_ALL_PRIVATE, None)
        system_call("mount", b"proc", b"/proc", b"proc", 0, None)
        # `ip netns` keeps its names below /run, which is the host's.
        system_call("mount", b"tmpfs", b"/run", b"tmpfs", 0, None)
        # What load generators note down must not compete for the servers' disk.
        for name in ("logs", "memory"):
            os.mkdir(os.path.join(directory, name))
        os.chmod(self.path("logs"), 0o711)
        system_call("mount", b"tmpfs", self.memory.encode(), b"tmpfs", 0, None)
        ip("link set lo up", "link add switch type bridge", f"address add {BRIDGE_ADDRESS}/24 dev switch", "link set switch up")
        for box, address in ADDRESSES.items():
            ip(
                f"netns add {box}",
                f"link add cable-{box} type veth peer name {INTERFACE} netns {box}",
                f"link set cable-{box} master switch up",
                f"-n {box} link set lo up",
                f"-n {box} address add {address}/24 dev {INTERFACE}",
                f"-n {box} link set {INTERFACE} up",
            )

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def start(self, box, name, argv, user=None):
        """Starts a process that stays."""
        with open(self.log(name), "ab") as log:
            self.processes[name] = self.spawn(box, argv, user, stdout=log, stderr=log)
        return self.processes[name]

    def run(self, box, name, argv, limit_s, user=None, stdin=None, may_fail=()):
        """Runs a process to its end and returns what it printed; exit codes in `may_fail` are no failure."""
        return self.finish(name, self.begin(box, name, argv, user), limit_s, stdin, may_fail)

    def begin(self, box, name, argv, user=None):
        """Starts a process whose printed words are wanted."""
        with open(self.log(name), "ab") as log:
            return self.spawn(box, argv, user, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def finish(self, name, child, limit_s, stdin=None, may_fail=()):
        try:
            printed, _ = child.communicate(stdin, timeout=limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate(timeout=FAREWELL_S)
            raise Failure(f"{name} did not end within {limit_s:.0f} s") from None
        if child.returncode not in (0, *may_fail):
            raise Failure(f"{name} ended with {child.returncode}: {self.last_words(name)}")
        return printed.decode(errors="replace")

    def spawn(self, box, argv, user, stdin=subprocess.DEVNULL, **streams):
        namespace = os.open(f"/run/netns/{box}", os.O_RDONLY)
        account = pwd.getpwnam(user) if user else None
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "5"}
        if account:
            environment["HOME"] = "/"

        def enter():
            system_call("setns", namespace, NEW_NETWORK)
            if account:
                os.setgroups([account.pw_gid])
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)

        argv = [str(word) for word in argv]
        try:
            return subprocess.Popen(
                argv, stdin=stdin, preexec_fn=enter, env=environment, cwd="/", start_new_session=True, **streams
            )
        except OSError as error:
            raise Failure(f"cannot start {argv[0]}: {error}") from None
        finally:
            os.close(namespace)

    def kill(self, name):
        """SIGKILL to one started process, and its end waited for."""
        child = self.processes.pop(name)
        child.kill()
        child.wait(FAREWELL_S)

    def stop(self, name, number=signal.SIGTERM):
        child = self.processes.pop(name, None)
        if child is None:
            return
        child.send_signal(number)
        try:
            child.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(FAREWELL_S)

    def pull_cable(self, box):
        ip(f"link set cable-{box} down")

    def plug_in_cable(self, box):
        ip(f"link set cable-{box} up")

    def wait(self, what, limit_s, reached):
        """Until `reached()` is true; a started process that ended meanwhile is the reason why it never will be."""
        deadline = time.monotonic() + limit_s
        while not reached():
            for name, child in self.processes.items():
                if child.poll() is not None:
                    raise Failure(f"{name} ended with {child.returncode}: {self.last_words(name)}")
            if time.monotonic() > deadline:
                raise Failure(f"{what}: not within {limit_s:.0f} s")
            time.sleep(LOOK_S)

    def log(self, name):
        return self.path("logs", f"{name}.log")

    def last_words(self, name):
        with open(self.log(name), errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return lines[-1] if lines else "without a word"


def ip(*lines):
    for line in lines:
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, timeout=10)
        if done.returncode != 0:
            raise Failure(f"ip {line}: {done.stderr.strip() or 'failed'}")
