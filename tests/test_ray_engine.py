"""Scans past one machine: parts are handed out, lost and handed out again; the scores stay the same, bit for bit."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from genolm import compute  # noqa: F401
from genolm import remote_jobs
from genolm.cli import commands, reporting
from genolm.engines import LocalEngine
from genolm.errors import BundleError, Cancelled, SequenceError, SettingsError
from genolm.genome_files import open_genome
from genolm.hand_out import WAITING, Finished, HandOut, Lost, Reached, hand_out
from genolm.predict import Predictor
from genolm.progress import Progress
from genolm.ray_engine import RayEngine
from genolm.registry import load_bundle
from genolm.remote_jobs import follow, read_progress, submit
from genolm.scan import scan_genome
from genolm.scan_plan import plan_parts, scan_layout
from genolm.scan_source import ScanSource
from genolm.scan_work import ScanWork

WINDOWS_PER_PART = 40


class FakeWorkers:
    """Workers in this process: each gets through a part in three looks; some are lost on the way."""

    def __init__(self, work, count, losses=(), joins=()):
        self.work, self.count = work, count
        self.losses, self.joins = list(losses), list(joins)
        self.at, self.looks, self.stopped, self.begun = {}, 0, 0, []

    def room(self):
        return self.count - len(self.at)

    def begin(self, part):
        assert self.room() > 0
        self.begun.append(part.key)
        self.at[part.key] = (part, 0)

    def news(self):
        self.looks += 1
        self.count += self.joins.count(self.looks)
        found = []
        for key, (part, steps) in list(self.at.items()):
            self.at[key] = (part, steps + 1)
            if steps < 2:
                found.append(Reached(key, part.windows * (steps + 1) // 3))
            elif key in self.losses:
                self.losses.remove(key)
                del self.at[key]
                found.append(Lost(key, "node 7 is gone"))
            else:
                del self.at[key]
                found.append(Finished(key, self.work.scores(part), 0.1))
        return found

    def stop(self):
        self.stopped += 1


@pytest.fixture
def genome_path(tmp_path, make_dna):
    path = tmp_path / "genome.fa"
    path.write_text(f">a\n{make_dna(900)}\n>b circular=true\n{make_dna(400)}\n")
    return path


@pytest.fixture
def work(genome_path, toy_bundle_path):
    predictor = Predictor(load_bundle(toy_bundle_path), device="cpu", threads=1)
    with open_genome(genome_path) as genome:
        yield ScanWork(genome, predictor, scan_layout(predictor, 5), 1, "stream")


@pytest.fixture
def parts(work):
    genome = work.genome
    return plan_parts(genome.contigs, genome.topology, work.layout, signs="+-", windows_per_part=WINDOWS_PER_PART)


def handed(workers, parts, **options):
    """Return scores by key and the counts that were told."""
    told = []
    found = {
        item.part.key: item.scores
        for item in hand_out(workers, parts, tick=lambda windows, stage: told.append((windows, stage)), **options)
    }
    return found, told


def test_lost_parts_are_handed_out_again_and_no_window_is_told_twice(work, parts):
    expected = {part.key: work.scores(part) for part in parts}
    lost = [parts[0].key, parts[0].key, parts[3].key, parts[-1].key]
    workers = FakeWorkers(work, 2, losses=lost, joins=(4, 4))
    found, told = handed(workers, parts)
    assert list(map(len, expected.values())) == [len(found[key]) for key in expected]
    for key, scores in expected.items():
        np.testing.assert_array_equal(found[key], scores)
    assert sum(windows for windows, _ in told) == sum(part.windows for part in parts)
    assert min(windows for windows, _ in told) == 0
    assert told[0] == (0, WAITING) and told[-1][1] == "scanning b, minus strand"
    assert sorted(workers.begun) == sorted([part.key for part in parts] + lost)
    assert workers.count == 4 and workers.stopped == 1 and not workers.losses


def test_a_part_that_ends_every_worker_ends_the_scan_with_a_sentence(work, parts):
    workers = FakeWorkers(work, 2, losses=[parts[1].key] * 9)
    with pytest.raises(SettingsError, match=r"contig|a, strand \+, ended 3 workers.*node 7 is gone.*goes on from"):
        handed(workers, parts, max_retries=2)
    assert workers.stopped == 1


def test_a_stop_ends_the_workers_at_once(work, parts):
    workers = FakeWorkers(work, 2)

    def stop(windows, stage):
        if workers.looks == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        list(hand_out(workers, parts, tick=stop))
    assert workers.stopped == 1 and workers.looks == 3
    early = FakeWorkers(work, 1)
    next(running := hand_out(early, parts, tick=lambda *_: None))
    running.close()
    assert early.stopped == 1


def test_what_comes_late_from_a_worker_that_was_given_up_counts_for_nothing(parts):
    desk = HandOut(parts[:1])
    key = desk.take().key
    assert desk.take() is None and not desk.is_over
    assert desk.reached(key, 10) == (10, parts[0].stretches[-1].stage)
    desk.lost(key, "gone")
    assert desk.reached(key, 12) == (0, "") and desk.finished(key) is None
    assert desk.take() is parts[0]
    assert desk.reached(key, 8) == (0, "")
    assert desk.reached(key, parts[0].windows)[0] == parts[0].windows - 10
    assert desk.finished(key) is parts[0] and desk.is_over


def test_work_is_opened_again_from_plain_data(work, parts, tmp_path):
    source = ScanSource.of(work)
    source.check()
    again = source.open()
    for part in parts:
        np.testing.assert_array_equal(again.scores(part), work.scores(part))
    with pytest.raises(SequenceError, match=r"It has no file .*gone.fa; put it on storage that all nodes see"):
        replace(source, genome=replace(source.genome, path=str(tmp_path / "gone.fa"))).check()
    with pytest.raises(SettingsError, match=r"It has torch .* and not 1\.0; install there"):
        replace(source, code={**source.code, "torch": "1.0"}).check()
    with pytest.raises(SettingsError, match="Its CPU is of another kind"):
        replace(source, precision="bf16", fast_bf16=not source.fast_bf16).check()
    with pytest.raises(BundleError, match="has other weights or settings. Put .* on storage"):
        replace(source, bundle_sha256="0").open()
    path = work.genome.path
    path.write_text(path.read_text().replace("A", "C", 1))
    with pytest.raises(SequenceError, match=r"genome.fa is another file: 1,3\d\d bytes with SHA-256"):
        source.check()


def test_a_small_genome_in_memory_comes_along(work):
    class Memory:
        contigs, topology = work.genome.contigs, work.genome.topology
        fetch = staticmethod(work.genome.fetch)

    source = ScanSource.of(replace(work, genome=Memory()))
    source.check()
    genome = source.open().genome
    assert genome.contigs == work.genome.contigs
    for place in (("a", 5, 80), ("b", -30, 50), ("b", 380, 430), ("b", 10, 20)):
        assert genome.fetch(*place) == work.genome.fetch(*place)


def test_what_is_missing_is_said(monkeypatch, work, parts, tmp_path):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    scan = lambda engine: list(engine.run(work, parts, tick=lambda *_: None))  # noqa: E731
    with pytest.raises(SettingsError, match="token is not known here; set RAY_AUTH_TOKEN"):
        scan(RayEngine())
    with pytest.raises(SettingsError, match="http:// addresses are for scans that are submitted"):
        scan(RayEngine("http://10.0.0.1:8265"))
    with pytest.raises(SettingsError, match="'10.0.0.1:6379' is not the address of a Jobs API"):
        submit(["scan"], "10.0.0.1:6379")
    with pytest.raises(SettingsError, match="cpus_per_worker is 0"):
        RayEngine(cpus_per_worker=0)
    for address, said in (("10.0.0.1", "is not an address"), ("127.0.0.1:9", "no Ray cluster at 127.0.0.1:9")):
        with pytest.raises(SettingsError, match=said):
            scan(RayEngine(address))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)
    for call in (lambda: scan(RayEngine()), lambda: submit(["scan"], "http://127.0.0.1:8265")):
        with pytest.raises(SettingsError, match=r'Ray is not installed here; `pip install -e "\.\[ray\]"` in the'):
            call()


def test_progress_is_read_from_what_a_command_writes_to_its_log(capsys):
    assert read_progress("Loading\nError: no") is None
    lines = reporting._Lines()
    lines(Progress("scanning chr1: b, plus strand", 0, 90))
    lines(Progress("scanning chr2, plus strand", 31, 90, 60.0, {"loss": 0.5}))
    text = capsys.readouterr().err + "a warning: 5 things\n"
    assert read_progress(text, 7.0) == Progress("scanning chr2, plus strand", 340, 1000, 7.0)
    assert read_progress(text.splitlines()[0]).stage == "scanning chr1: b, plus strand"


class FakeCluster:
    """The Jobs API of a cluster: commands go from pending to running and on to an end."""

    def __init__(self, end="SUCCEEDED", text="scanning a, plus strand: 40%\n"):
        self.jobs, self.end, self.text, self.stopped = {}, end, text, []

    def list_jobs(self):
        return list(self.jobs.values())

    def submit_job(self, *, entrypoint, submission_id, runtime_env):
        self.jobs[submission_id] = SimpleNamespace(
            submission_id=submission_id, entrypoint=entrypoint, status="PENDING", message="", env=runtime_env
        )

    def get_job_info(self, job_id):
        job = self.jobs[job_id]
        seen = SimpleNamespace(**vars(job))
        job.status = {"PENDING": "RUNNING", "RUNNING": self.end}.get(job.status, job.status)
        return seen

    def get_job_logs(self, job_id):
        return self.text

    def stop_job(self, job_id):
        self.stopped.append(job_id)
        self.jobs[job_id].status = "STOPPED"


@pytest.fixture
def fake_cluster(monkeypatch):
    def made(**options):
        cluster = FakeCluster(**options)
        monkeypatch.setattr(remote_jobs, "_client", lambda address: cluster)
        monkeypatch.setattr(remote_jobs, "LOOK_SECONDS", 0.0)
        return cluster

    return made


def test_a_submitted_command_is_followed_and_not_begun_twice(fake_cluster):
    cluster, seen = fake_cluster(), []
    job = submit(["scan", "a genome.fa"], "http://head:8265")
    assert job.command == "python -m genolm scan 'a genome.fa'" and job.state == "waiting"
    assert submit(["scan", "a genome.fa"], "http://head:8265").id == job.id and len(cluster.jobs) == 1
    cluster.jobs[job.id].status = "PENDING"
    assert follow(job, progress=seen.append).state == "done"
    assert [(report.stage, report.done) for report in seen] == [("scanning a, plus strand", 400)] * 2
    assert submit(["scan", "a genome.fa"], "http://head:8265").id == f"{job.id}-2"


def test_the_time_left_of_a_command_is_measured_from_the_first_look_on(fake_cluster, monkeypatch):
    # Looked at first when it is nearly done: nothing is known of how long that took.
    text = [f"scanning a, plus strand: {share}%\n" for share in (90, 92)]
    cluster, seen, now = fake_cluster(), [], [0.0]
    monkeypatch.setattr("genolm.progress.time.monotonic", lambda: now[0])

    def told(job_id):
        now[0] += 10.0
        return text[min(len(seen), 1)]

    monkeypatch.setattr(cluster, "get_job_logs", told)
    job = submit(["scan", "x.fa"], "http://head:8265")
    cluster.jobs[job.id].status = "PENDING"
    assert follow(job, progress=seen.append).state == "done"
    assert [report.eta for report in seen] == [None, pytest.approx(40.0)]


def test_a_stop_stops_the_command_on_the_cluster_and_a_failure_says_why(fake_cluster):
    cluster = fake_cluster()

    def stop(report):
        raise Cancelled("stop")

    job = submit(["scan", "x.fa"], "http://head:8265")
    with pytest.raises(Cancelled):
        follow(job, progress=stop)
    assert cluster.stopped == [job.id]
    with pytest.raises(Cancelled, match="on the cluster was stopped"):
        follow(job)
    fake_cluster(end="FAILED", text="scanning: 3%\nError: There is no file x.fa.\nsome shell noise\n")
    with pytest.raises(SettingsError, match=r"failed: There is no file x\.fa\."):
        follow(submit(["scan", "x.fa"], "http://head:8265"))


def test_the_command_line_submits_whole_paths_and_refuses_an_address_without_a_cluster(
    fake_cluster, tmp_path, monkeypatch
):
    cluster = fake_cluster()
    monkeypatch.chdir(tmp_path)
    words = ["scan", "g.fa", "--model", "ecoli-promoter", "--out", "found", "--stride", "5", "--contig", "b"]
    done = CliRunner().invoke(commands, [*words, "--submit", "--address", "http://head:8265", "--worker-cpus", "4"])
    assert done.exit_code == 0, done.output
    (job,) = cluster.jobs.values()
    given = f"scan {tmp_path}/g.fa --model ecoli-promoter --out {tmp_path}/found --stride 5 --contig b"
    assert job.entrypoint == f"python -m genolm {given} --engine ray --worker-cpus 4"
    assert f"Job {job.submission_id} is done" in done.output
    refused = CliRunner().invoke(commands, [*words, "--address", "10.0.0.1:6379"])
    assert refused.exit_code == 2 and "add --engine ray" in refused.output
    assert "Say which cluster" in CliRunner().invoke(commands, [*words, "--submit"]).output


CLUSTER = """
import json, os, secrets, sys, time
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0")
os.environ.update(RAY_worker_niceness="0", RAY_agent_register_timeout_ms="200000", GENOLM_THREADS="1")
os.environ.update(RAY_gcs_server_port_wait_time_s="200")
from dataclasses import replace
from ray.cluster_utils import Cluster
node = {"num_cpus": 1, "object_store_memory": 80_000_000}

def patient(start):
    # Ray waits for a node for half a minute; on a busy machine that may not do.
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            print(error, file=sys.stderr)
    sys.exit("no node could be started")

cluster = Cluster()
patient(lambda: cluster.add_node(**{**node, "num_cpus": 0, "include_dashboard": False}))
second = patient(lambda: cluster.add_node(**node))

import numpy as np
from genolm import scan_work
from genolm.engines import LocalEngine
from genolm.errors import Cancelled, SequenceError
from genolm.genome_files import open_genome
from genolm.predict import Predictor
from genolm.ray_access import connected
from genolm.ray_engine import RayEngine, ScanSource
from genolm.registry import load_bundle
from genolm.scan import scan_genome

scan_work.tokens_per_part = lambda *_: 500
predictor = Predictor(load_bundle(sys.argv[2]), device="cpu", threads=1)
genome = open_genome(sys.argv[1])
local = scan_genome(genome, predictor, stride=5, engine=LocalEngine(1))
said, reports = {}, []

def lose(report):
    reports.append(report.done)
    if "killed" not in said and report.done > 0.2 * report.total:
        said["killed"] = report.done
        patient(lambda: cluster.add_node(**node))
        cluster.remove_node(second, allow_graceful=False)

with connected(cluster.address) as ray:
    far = scan_genome(genome, predictor, stride=5, engine=RayEngine(cluster.address), progress=lose)
    said["same"] = all(
        np.array_equal(a.values, b.values, equal_nan=True)
        for a, b in zip(local.tracks, far.tracks, strict=True)
    )
    said["counts"] = [far.windows, local.windows, reports[-1], sorted(reports) == reports]

    def stop(report):
        if report.done:
            said["stopped"] = time.monotonic()
            raise Cancelled("stop")

    try:
        scan_genome(genome, predictor, stride=5, engine=RayEngine(cluster.address), progress=stop)
    except Cancelled:
        said["stop_seconds"] = time.monotonic() - said["stopped"]
    of = ScanSource.of
    ScanSource.of = lambda work: replace(of(work), genome=replace(of(work).genome, sha256="0" * 64))
    try:
        scan_genome(genome, predictor, stride=5, engine=RayEngine(cluster.address))
    except SequenceError as error:
        said["other_file"] = str(error)
cluster.shutdown()
print("SAID " + json.dumps(said))
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (extra ray)")
@pytest.mark.skipif(
    os.environ.get("GENOLM_TEST_RAY") != "1", reason="starts three Ray nodes here; set GENOLM_TEST_RAY=1 to run it"
)
def test_a_cluster_that_loses_a_node_gives_the_scores_of_one_machine_bit_for_bit(tmp_path, toy_bundle_path, make_dna):
    path = tmp_path / "genome.fa"
    path.write_text(f">a\n{make_dna(12_000)}\n>b circular=true\n{make_dna(4_000)}\n")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CLUSTER, str(path), str(toy_bundle_path)],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("SAID ")), None)
    assert line, done.stdout[-2000:] + done.stderr[-4000:]
    said = json.loads(line.removeprefix("SAID "))
    assert said["killed"] and said["same"]
    assert said["counts"][0] == said["counts"][1] == said["counts"][2] and said["counts"][3]
    assert said["stop_seconds"] < 5
    assert "cannot take part: Its" in said["other_file"] and "is another file" in said["other_file"]


def test_the_local_engine_is_what_a_cluster_is_measured_by(work, genome_path):
    with open_genome(genome_path) as genome:
        one, two = (scan_genome(genome, work.predictor, stride=5, engine=LocalEngine(n)) for n in (1, 2))
    for a, b in zip(one.tracks, two.tracks, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
