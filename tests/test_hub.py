"""`rffd publish` against a loopback server: what it plans, what it does, and what it does when things go wrong."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rffd.errors import RffdError
from rffd.manifest import content_hash, read_checksums
from rffd.revision import registered_version, source_revision
from tests.hub_server import Fault, HubServer, Repository
from tests.packages import packaged

ROOT = Path(__file__).resolve().parents[1]
WRITE, READ = "hf_write_secret", "hf_read_secret"
# the command itself, with less patience than people have
RUN = (
    "import sys; import rffd.hub as hub; hub.WAIT, hub.TIMEOUT = 0.01, float(sys.argv.pop(1));"
    "from rffd.cli import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


def run(
    hub: HubServer,
    folder: Path,
    *arguments: object,
    token: str | None = WRITE,
    timeout: float = 20,
    command: str = "publish",
    **more: str,
):
    """Run `rffd` in `folder` against `hub`; neither what it prints nor what it writes ever holds the token."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= hub.environment(folder / "hf-home", token) | {"PYTHONPATH": str(ROOT)}
    environment |= {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    words = [sys.executable, "-c", RUN, str(timeout), command, *map(str, arguments)]
    environment |= more
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert "_secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr or "HF_DEBUG" in more  # the library's debug log shows some of its own
    written = [path for path in folder.rglob("*") if path.is_file() and b"_secret" in path.read_bytes()]
    assert [path.name for path in written] in ([], ["token"])  # nothing but what `hf auth login` wrote itself
    return done


def publish(hub: HubServer, folder: Path, *arguments: object, **options):
    return run(hub, folder, "--model", packaged().package, "--repository", "someone/faces", *arguments, **options)


def errors(done) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def files(hub: HubServer) -> dict[str, bytes]:
    content = dict(hub.repositories["someone/faces"].at("main")[1])
    content.pop(".gitattributes", None)
    return content


def local_files() -> dict[str, bytes]:
    folder = packaged().package
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_without_yes_it_shows_the_plan_and_changes_nothing(hub, tmp_path):
    done = publish(hub, tmp_path, "--tag", "v0.1.0")
    assert done.returncode == 0
    assert "someone/faces: to be created, private" in done.stdout
    assert "+ new" in done.stdout
    assert "onnx/model.onnx" in done.stdout
    assert "tag: v0.1.0" in done.stdout
    assert "Nothing was done" in done.stdout
    assert hub.repositories == {}
    assert {request.split()[0] for request in hub.requests} <= {"GET", "HEAD"}


def test_with_yes_it_is_one_commit_one_tag_checked_and_usable_by_its_id(hub, tmp_path):
    done = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["someone/faces"]
    assert files(hub) == local_files()
    assert repository.private
    assert len(repository.commits) == 2  # the Hub's own first one, and ours
    assert repository.tags == {"v0.1.0": repository.head}
    message = repository.commits[-1][2]
    assert content_hash(read_checksums(packaged().package))[:16] in message
    assert "source" in message
    assert f"{hub.url}/someone/faces" in done.stdout
    assert any(request.startswith("GET /someone/faces/resolve/") for request in hub.requests)

    again = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes")
    assert again.returncode == 0
    assert "Nothing to do" in again.stdout
    assert len(repository.commits) == 2

    image = next(packaged().raw.rglob("*.jpg"))
    answer = run(hub, tmp_path, image, "--model", "someone/faces@v0.1.0", command="predict")
    assert answer.returncode == 0, answer.stderr
    hub.repositories.clear()
    offline = run(hub, tmp_path, image, "--model", "someone/gone", command="predict")
    assert offline.returncode == 2
    assert "no such repository" in offline.stderr


def test_the_plan_tells_what_differs_and_the_commit_makes_it_equal(hub, tmp_path):
    publish(hub, tmp_path, "--yes")
    repository = hub.repositories["someone/faces"]
    changed = {**repository.at("main")[1], "README.md": b"edited there", "old.bin": b"x"}
    del changed["config.json"]
    repository.commit(changed, "by hand")
    plan = publish(hub, tmp_path).stdout
    assert [line.split()[:2] for line in plan.splitlines() if line.endswith("README.md")] == [["~", "changed"]]
    assert [line.split()[:2] for line in plan.splitlines() if line.endswith("old.bin")] == [["-", "deleted"]]
    assert [line.split()[:2] for line in plan.splitlines() if line.endswith(" config.json")] == [["+", "new"]]
    assert plan.count("= same") == len(local_files()) - 2
    assert publish(hub, tmp_path, "--yes").returncode == 0
    assert files(hub) == local_files()
    assert ".gitattributes" in repository.at("main")[1]
    assert len(repository.commits) == 4


def test_a_tag_is_never_moved(hub, tmp_path):
    publish(hub, tmp_path, "--tag", "v0.1.0", "--yes")
    repository = hub.repositories["someone/faces"]
    before = dict(repository.tags)
    repository.commit({**repository.at("main")[1], "README.md": b"edited there"}, "by hand")
    done = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes")
    assert done.returncode == 1
    assert "tag v0.1.0 is there already" in done.stderr
    assert repository.tags == before
    assert len(repository.commits) == 3


def test_a_space_is_published_likewise_for_one_version_of_the_model(hub, tmp_path):
    pytest.importorskip("gradio", reason="needs Gradio: pip install 'rffd[app]'")
    options = ["--repository", "someone/faces", "--space", "someone/page"]
    assert "name it with --tag" in run(hub, tmp_path, *options).stderr
    early = run(hub, tmp_path, *options, "--tag", "v0.1.0", "--yes")
    assert early.returncode == 1
    assert "someone/faces: not on the Hub" in errors(early)[0] and "publish the model first" in errors(early)[0]
    assert hub.repositories == {}
    model = hub.repositories["someone/faces"] = Repository(private=True)
    model.tags["v0.1.0"] = model.commit({"config.json": b"{}"}, "published")
    assert "no version v9 is on the Hub" in run(hub, tmp_path, *options, "--tag", "v9").stderr
    done = run(hub, tmp_path, *options, "--tag", "v0.1.0", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/spaces/someone/page" in done.stdout
    assert "someone/faces is private: give the page a secret HF_TOKEN" in done.stdout
    content = hub.repositories["someone/page"].at("main")[1]
    assert b'MODEL, REVISION = "someone/faces", "v0.1.0"' in content["app.py"]
    assert {"README.md", "requirements.txt", "rffd/app.py", "rffd/templates/limits.md"} <= set(content)
    assert "Nothing to do" in run(hub, tmp_path, *options, "--tag", "v0.1.0", "--yes").stdout


def test_a_public_repository_must_be_asked_for(hub, tmp_path):
    assert "visible to everybody" in publish(hub, tmp_path, "--public").stdout
    publish(hub, tmp_path, "--public", "--yes")
    assert not hub.repositories["someone/faces"].private


REFUSALS = {
    "no token": (None, [], "HF_TOKEN"),
    "a wrong token": ("hf_wrong_secret", [], "(401)"),
    "a token that may only read": (READ, [], "(403)"),
    "a conflict": (WRITE, [Fault("POST", "/commit/", status=412)], "(412)"),
    "another conflict": (WRITE, [Fault("POST", "/commit/", status=409)], "(409)"),
    "patience asked for": (WRITE, [Fault("POST", "/repos/create", status=429, times=99)], "(429)"),
    "an overloaded server": (WRITE, [Fault("POST", "/commit/", status=503, times=99)], "(503)"),
    "an unknown refusal": (WRITE, [Fault("POST", "/validate-yaml", status=418)], "418"),
    "an answer of another shape": (WRITE, [Fault("GET", "/refs", status=200)], "answer can't be read"),
    "a broken upload": (WRITE, [Fault("PUT", "/lfs/", status=403, times=99)], "(403)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_one_clear_line_and_publishes_nothing(hub, tmp_path, name):
    token, faults, message = REFUSALS[name]
    hub.faults.extend(faults)
    done = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes", token=token)
    assert done.returncode == 1
    assert len(errors(done)) == 1, done.stderr
    assert message in errors(done)[0]
    repository = hub.repositories.get("someone/faces")
    assert repository is None or (len(repository.commits) == 1 and not repository.tags)


PASSING = {
    "a hiccup at every step": [
        Fault(method, path, status=status)
        for method, path, status in (
            ("GET", "/api/models/someone/faces$", 500),
            ("POST", "/repos/create", 503),
            ("GET", "/refs", 429),
            ("POST", "/commit/", 502),
            ("POST", "/tag/", 504),
        )
    ],
    "an answer to the commit that got lost": [Fault("POST", "/commit/", drop=True, late=True)],
    "an answer to the tag that got lost": [Fault("POST", "/tag/", drop=True, late=True)],
    "a commit that never arrived": [Fault("POST", "/commit/", drop=True)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_for_and_done_once(hub, tmp_path, name):
    hub.faults.extend(PASSING[name])
    done = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["someone/faces"]
    assert files(hub) == local_files()
    assert len(repository.commits) == 2
    assert repository.tags == {"v0.1.0": repository.head}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/commit/", "/tag/"])
def test_a_server_that_does_not_answer_is_not_waited_for_forever(hub, tmp_path, path):
    hub.faults.append(Fault("POST", path, hang=5, times=99))
    done = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes", timeout=0.3)
    assert done.returncode == 1
    assert len(errors(done)) == 1
    assert "no answer within" in errors(done)[0]


@pytest.mark.slow
@pytest.mark.parametrize("request_", ["POST /api/repos/create", "PUT /lfs/", "POST .*/commit/", "POST .*/tag/"])
def test_interrupted_anywhere_the_next_run_finishes_it(hub, tmp_path, request_):
    method, path = request_.split()
    hub.faults.append(Fault(method, path, hang=30))
    environment = {**os.environ, **hub.environment(tmp_path / "hf-home", WRITE), "PYTHONPATH": str(ROOT)}
    arguments = ["--model", str(packaged().package), "--repository", "someone/faces", "--tag", "v0.1.0", "--yes"]
    process = subprocess.Popen([sys.executable, "-c", RUN, "60", "publish", *arguments], env=environment, cwd=tmp_path)
    while not any(re.match(request_, request) for request in hub.requests):
        time.sleep(0.01)
        assert process.poll() is None
    process.kill()
    process.wait()
    done = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["someone/faces"]
    assert files(hub) == local_files()
    assert len(repository.commits) == 2
    assert repository.tags == {"v0.1.0": repository.head}


@pytest.mark.slow
def test_the_token_stays_secret_where_everything_is_told(hub, tmp_path):
    """With the library's own debug log, with the token that `hf auth login` stored, and with one that is no token."""
    (tmp_path / "hf-home").mkdir()
    (tmp_path / "hf-home" / "token").write_text(f"{WRITE}\n")
    loud = {"HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug", "RFFD_TRACEBACK": "1"}
    hub.faults.append(Fault("POST", "/tag/", status=418))
    assert "418" in publish(hub, tmp_path, "--tag", "v0.1.0", "--yes", token=None, **loud).stderr
    assert publish(hub, tmp_path, "--tag", "v0.1.0", "--yes", token=None, **loud).returncode == 0
    assert hub.repositories["someone/faces"].tags
    done = publish(hub, tmp_path, token="hf_two\nlines_secret")
    assert done.returncode == 1
    assert len(errors(done)) == 1


@pytest.mark.slow
def test_a_hub_that_is_switched_off_is_one_clear_line(hub, tmp_path):
    done = publish(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "offline" in errors(done)[0].lower()
    assert hub.requests == []


def test_content_that_comes_back_altered_is_noticed_and_not_tagged(hub, tmp_path):
    publish(hub, tmp_path, "--yes")
    repository = hub.repositories["someone/faces"]
    oid, content, message = repository.commits[-1]
    listed = hub.repositories["someone/faces"].commits
    altered = {**content, "heads.json": content["heads.json"].replace(b"nose", b"ears")}

    class Lying(dict):  # the tree tells of the right file, the download gives another
        def __getitem__(self, path):
            return altered[path]

    listed[-1] = (oid, Lying(content), message)
    done = publish(hub, tmp_path, "--tag", "v0.1.0", "--yes")
    assert done.returncode == 1
    assert "heads.json came back with other content" in errors(done)[0]
    assert repository.tags == {}


def test_no_network_still_shows_what_would_be_sent(hub, tmp_path):
    hub.__exit__()
    done = publish(hub, tmp_path)
    assert done.returncode == 1
    assert "onnx/model.onnx" in done.stdout
    assert "can't be reached" in errors(done)[0]


def test_without_a_repository_it_says_where_to_name_one(hub, tmp_path):
    done = run(hub, tmp_path, "--model", packaged().package)
    assert done.returncode == 0
    assert "onnx/model.onnx" in done.stdout
    assert "package.repository" in done.stdout
    assert run(hub, tmp_path, "--model", packaged().package, "--yes").returncode == 1
    assert hub.requests == []


def test_an_altered_package_is_refused(tmp_path):
    made = packaged()
    copy = tmp_path / "package"
    for path, content in local_files().items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(content)
    assert read_checksums(copy) == read_checksums(made.package)
    (copy / "stray.txt").write_text("x")
    with pytest.raises(RffdError, match=r"stray\.txt: not in SHA256SUMS"):
        read_checksums(copy)
    (copy / "stray.txt").unlink()
    (copy / "README.md").write_text("edited")
    with pytest.raises(RffdError, match=r"README\.md: changed since"):
        read_checksums(copy)
    (copy / "README.md").unlink()
    with pytest.raises(RffdError, match=r"README\.md: missing"):
        read_checksums(copy)


def test_the_version_is_the_one_that_gto_has_at_head(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (registered_version(), source_revision()) == (None, "unknown")

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    assert registered_version() is None
    assert source_revision() == git("rev-parse", "--short=12", "HEAD").strip()
    for tag in ("detector@v0.9.0", "detector@v0.10.0", "other@v3.0.0", "detector#prod#1", "v5.0.0"):
        git("tag", "-a", tag, "-m", tag)
    assert registered_version() == "v0.10.0"
    (tmp_path / "file").write_text("2")
    assert source_revision().endswith(" with changes")
    git("commit", "-qam", "two")
    assert registered_version() is None
