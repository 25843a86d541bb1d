"""PostgreSQL: the peer, a synchronous streaming pair under pgbench; and single clusters, as store of a duplex server."""

import glob
import os
import pwd
import signal

from rig.boxes import ADDRESSES, NET, Failure

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer")
DATABASE, OWNER, SUB = "bench", "bench", "sub"
# initdb and pg_basebackup copy some 40 MB; syncing them takes seconds on a busy disk.
STEP_LIMIT_S = 180
FORMS = ("ordinary", "best_case")

# The tuning of the published figures: memory enough, durable in every respect, no checkpoint by time within a cell.
TUNING = """
listen_addresses = '*'
port = 5432
max_connections = 200
shared_buffers = 1GB
fsync = on
full_page_writes = on
wal_level = replica
max_wal_size = 4GB
checkpoint_timeout = 15min
max_wal_senders = 10
wal_keep_size = 1GB
hot_standby = on
log_min_messages = warning
"""
STORE_TUNING = """
listen_addresses = ''
shared_buffers = 512MB
fsync = on
full_page_writes = on
log_min_messages = warning
"""


class Programs:
    """Where PostgreSQL's programs are, which version, and the user that runs them: it refuses to be run by root."""

    def __init__(self, directory=None):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
        wanted = [path for path in found if path.split("/")[4] == "15"] or found
        self.directory = directory or (os.path.dirname(wanted[-1]) if wanted else "/usr/bin")
        for program in ("postgres", "initdb", "pg_basebackup", "pgbench", "psql"):
            if not os.access(self[program], os.X_OK):
                raise Failure(f"{self[program]}: not there (Debian: postgresql-15; or --pgbin DIR)")
        self.user = next((name for name in ("postgres", "nobody") if known(name)), None)
        if self.user is None:
            raise Failure("no user postgres or nobody to run PostgreSQL as")

    def __getitem__(self, program):
        return os.path.join(self.directory, program)


def known(user):
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None


class Cluster:
    """One PostgreSQL server in one box, with a Unix socket in its own directory."""

    def __init__(self, boxes, programs, box, name):
        self.boxes, self.programs, self.box, self.name = boxes, programs, box, name
        self.data = boxes.path(name, "data")
        self.socket = boxes.path(name)
        os.mkdir(self.socket)
        account = pwd.getpwnam(programs.user)
        os.chown(self.socket, account.pw_uid, account.pw_gid)

    def create(self, tuning):
        self.program("initdb", "-k", "-D", self.data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-locale")
        self.append("postgresql.conf", f"{tuning}unix_socket_directories = '{self.socket}'\n")
        self.append("pg_hba.conf", f"host all all {NET}.0/24 trust\nhost replication all {NET}.0/24 trust\n")

    def copy_of(self, main):
        address = ADDRESSES[main.box]
        self.program("pg_basebackup", "-h", address, "-U", OWNER, "-D", self.data, "-X", "stream", "-c", "fast")
        link = f"host={address} user={OWNER} application_name={SUB} sslmode=disable"
        self.append("postgresql.conf", f"primary_conninfo = '{link}'\nunix_socket_directories = '{self.socket}'\n")
        self.append("standby.signal", "")

    def append(self, file, text):
        path = os.path.join(self.data, file)
        with open(path, "a") as out:
            out.write(text)
        account = pwd.getpwnam(self.programs.user)
        os.chown(path, account.pw_uid, account.pw_gid)

    def start(self):
        self.boxes.start(self.box, self.name, [self.programs["postgres"], "-D", self.data], self.programs.user)
        self.boxes.wait(f"{self.name} to answer", STEP_LIMIT_S, self.answers)

    def stop(self):
        self.boxes.stop(self.name, signal.SIGINT)

    def answers(self):
        try:
            return self.ask("SELECT 1", "postgres") == "1"
        except Failure:
            return False

    def program(self, program, *arguments):
        name = f"{self.name}-{program}"
        return self.boxes.run(self.box, name, [self.programs[program], *arguments], STEP_LIMIT_S, self.programs.user)

    def ask(self, sql, database=DATABASE):
        arguments = ["-h", self.socket, "-U", OWNER, "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]
        return self.program("psql", *arguments).strip()

    @property
    def pid(self):
        return self.boxes.processes[self.name].pid


def create_tables(cluster, members):
    cluster.ask(f"CREATE DATABASE {DATABASE}", "postgres")
    argv = [cluster.programs["psql"], "-h", cluster.socket, "-U", OWNER, "-d", DATABASE, "-Xq", "-v", "ON_ERROR_STOP=1"]
    with open(os.path.join(HERE, "schema.sql"), "rb") as schema:
        argv += ["-v", f"members={members}"]
        cluster.boxes.run(cluster.box, f"{cluster.name}-schema", argv, STEP_LIMIT_S, cluster.programs.user, stdin=schema.read())


class Pair:
    """Main in box a, synchronous streaming standby in box b: a commit is flushed on both before it is answered."""

    def __init__(self, boxes, programs, members):
        self.boxes, self.programs, self.members = boxes, programs, members
        self.main = Cluster(boxes, programs, "a", "peer-main")
        self.sub = Cluster(boxes, programs, "b", "peer-sub")
        self.main.create(TUNING)
        self.main.start()
        create_tables(self.main, members)
        self.sub.copy_of(self.main)
        self.sub.start()
        for setting in (f"synchronous_standby_names = '{SUB}'", "synchronous_commit = 'on'"):
            self.main.ask(f"ALTER SYSTEM SET {setting}")
        self.main.ask("SELECT pg_reload_conf()")
        boxes.wait("the peer's standby to be synchronous", STEP_LIMIT_S, self.is_synchronous)

    def is_synchronous(self):
        return self.main.ask("SELECT sync_state FROM pg_stat_replication") == "sync"

    def version(self):
        return self.main.ask("SHOW server_version").split()[0]

    def stop(self):
        self.sub.stop()
        self.main.stop()

    def checkpoint(self):
        self.main.ask("CHECKPOINT")

    def load(self, form, clients, seconds):
        """Deposits for so long; latencies from pgbench's own note of each transaction."""
        notes = os.path.join(self.boxes.memory, f"pgbench-{os.urandom(4).hex()}")
        argv = [self.programs["pgbench"], "-n", "-M", "prepared", "-h", ADDRESSES["a"], "-U", OWNER]
        argv += ["-f", os.path.join(HERE, f"{form}.pgbench"), "-D", f"members={self.members}"]
        argv += ["-c", clients, "-j", 1, "-T", seconds, "-l", f"--log-prefix={notes}", DATABASE]
        printed = self.boxes.run("client", "pgbench", argv, seconds + STEP_LIMIT_S)
        if not self.is_synchronous():
            raise Failure("the peer's standby was lost during the run: its figures would not be of a synchronous pair")
        return outcome(printed, notes)


def outcome(printed, notes):
    """Throughput and latencies (ms) of one run; the notes are removed."""
    tps = [line.split()[2] for line in printed.splitlines() if line.startswith("tps = ")]
    if not tps or "number of failed transactions: 0 " not in printed:
        raise Failure(f"pgbench: transactions failed: {' '.join(printed.split())[-200:]}")
    latencies_us = []
    for file in glob.glob(glob.escape(notes) + "*"):
        with open(file) as lines:
            latencies_us += [int(line.split(" ", 3)[2]) for line in lines]
        os.remove(file)
    latencies_us.sort()
    if not latencies_us:
        raise Failure("pgbench noted no transaction")
    quantile = lambda q: latencies_us[min(len(latencies_us) - 1, int(len(latencies_us) * q))] / 1000
    return {"per_s": float(tps[0]), "p50_ms": quantile(0.50), "p99_ms": quantile(0.99), "commands": len(latencies_us)}
