"""Sources: files arrive byte for byte, Kaggle's second copy once, and whatever can't be is one line."""

import contextlib
import dataclasses
import http.server
import io
import stat
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from rffd.errors import RffdError
from rffd.files import sha256
from rffd.params import ParamError, build, read_params
from rffd.sources import DataParams, ExpectParams, KaggleParams, acquire
from tests.shared import ciplab

ANY = ExpectParams(real=None, fake=None)
OUTER, NESTED = "real_and_fake_face", "real_and_fake_face_detection/real_and_fake_face"


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (20 * number, 80, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


def params(source: str, path: Path | str = "data/inbox", expect: ExpectParams = ANY, **changes) -> DataParams:
    return dataclasses.replace(read_params("data", DataParams), source=source, path=str(path), expect=expect, **changes)


def layout(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "source"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def kaggle_files() -> dict[str, bytes]:
    """Three reals and two fakes as Kaggle lays them out: everything twice."""
    names = [f"training_real/real_{i:05d}.jpg" for i in range(3)]
    names += [f"training_fake/mid_{i}_0110.jpg" for i in range(2)]
    return {f"{top}/{name}": jpeg(i) for top in (NESTED, OUTER) for i, name in enumerate(names)}


def listing(raw: Path) -> dict[str, bytes]:
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in sorted(raw.rglob("*")) if path.is_file()}


def line(caught: pytest.ExceptionInfo, raw: Path) -> str:
    """The error's one line, after checking that nothing was left behind."""
    assert not raw.exists() and not list(raw.parent.glob(".*part"))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("source", ["folder", "archive"])
def test_kaggles_layout_arrives_once_and_byte_for_byte(tmp_path, source):
    files = kaggle_files()
    origin = layout(tmp_path, files) if source == "folder" else zipped(tmp_path / "a.zip", files)
    raw = tmp_path / "raw"
    assert acquire(params(source, origin, ExpectParams(real=3, fake=2)), raw) == {"real": 3, "fake": 2}
    expected = {name.split("training_")[1]: data for name, data in files.items()}
    assert listing(raw) == expected


def test_folders_are_found_at_any_depth_and_only_images_are_taken(tmp_path, capsys):
    origin = layout(
        tmp_path,
        {
            "a/b/Real/one.JPG": jpeg(1),
            "training_fake/studio/two.png": b"not really a picture",  # the catalogue says so later
            "training_fake/empty.jpg": b"",
            "real/readme.txt": b"x",
            "real/.hidden.jpg": jpeg(2),
            "__MACOSX/real/three.jpg": b"x",
            "loose.jpg": jpeg(3),
        },
    )
    raw = tmp_path / "raw"
    acquire(params("folder", origin), raw)
    assert sorted(listing(raw)) == ["fake/empty.jpg", "fake/two.png", "real/one.JPG"]
    told = capsys.readouterr().err
    assert "1 files left out, they have no image suffix (such as real/readme.txt)" in told
    assert "1 files left out, they lie in no folder real/ or fake/ (such as loose.jpg)" in told


def test_links_are_followed_and_a_loop_ends(tmp_path):
    origin = layout(tmp_path, {"store/one.jpg": jpeg(1), "fake/two.jpg": jpeg(2)})
    (origin / "real").symlink_to(origin / "store")
    (origin / "fake" / "again").symlink_to(origin)
    raw = tmp_path / "raw"
    acquire(params("folder", origin), raw)
    assert sorted(listing(raw)) == ["fake/two.jpg", "real/one.jpg"]
    assert not (raw / "real/one.jpg").is_symlink()


def test_the_old_images_stay_if_the_new_ones_cant_be_had(tmp_path):
    raw = layout(tmp_path, {"real/old.jpg": b"old"})
    with pytest.raises(RffdError):
        acquire(params("folder", tmp_path / "none"), raw)
    assert listing(raw) == {"real/old.jpg": b"old"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no images; put them in folders real/ and fake/"),
        ({"readme.txt": b"x"}, "no images; put them"),
        ({"real/a.jpg": jpeg(1)}, "no fake images; they belong in a folder fake/ or training_fake/"),
        ({"training_fake/a.jpg": jpeg(1)}, "no real images"),
        (
            {"real/x/a.jpg": jpeg(1), "real/y/a.jpg": jpeg(2), "fake/b.jpg": jpeg(3)},
            "two different files would both be real/a.jpg (real/x/a.jpg, real/y/a.jpg); rename one",
        ),
    ],
    ids=["empty", "no image", "one class", "other class", "clash"],
)
def test_a_source_that_cant_be_used_is_one_line(tmp_path, files, message):
    origin, raw = layout(tmp_path, files), tmp_path / "raw"
    origin.mkdir(exist_ok=True)
    with pytest.raises(RffdError) as caught:
        acquire(params("folder", origin), raw)
    assert message in (text := line(caught, raw)) and str(origin) in text


def test_a_broken_link_and_a_name_that_is_not_utf8_are_one_line(tmp_path):
    origin, raw = layout(tmp_path, {"real/a.jpg": jpeg(1), "fake/b.jpg": jpeg(2)}), tmp_path / "raw"
    (origin / "real/gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RffdError, match=r"real/gone\.jpg can't be read"):
        acquire(params("folder", origin), raw)
    (origin / "real/gone.jpg").unlink()
    with contextlib.suppress(OSError):  # some file systems refuse such names themselves
        (origin / "real/\udcff.jpg").write_bytes(jpeg(3))
        with pytest.raises(RffdError, match="is not UTF-8; rename it") as caught:
            acquire(params("folder", origin), raw)
        line(caught, raw).encode()


@pytest.mark.parametrize(
    ("source", "path", "message"),
    [
        ("folder", "none", "does not exist; it must hold the images in real/ and fake/"),
        ("folder", "file", "is no folder (for a zip set data.source=archive)"),
        ("folder", ".", "which is written from it"),
        ("archive", "none", "does not exist; set it to the zip that you downloaded"),
        ("archive", ".", "is a folder; set it to the downloaded zip, or set data.source=folder"),
        ("archive", "file", "not a zip, or only a part of one"),
    ],
)
def test_a_wrong_path_is_one_line(tmp_path, source, path, message):
    (tmp_path / "file").write_bytes(b"no zip")
    with pytest.raises(RffdError) as caught:
        acquire(params(source, tmp_path / path), tmp_path / "raw")
    assert message in line(caught, tmp_path / "raw")


def test_an_output_that_cant_be_written_is_one_line(tmp_path):
    origin = layout(tmp_path, {"real/a.jpg": jpeg(1), "fake/b.jpg": jpeg(2)})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RffdError, match=r"file/raw: can't be written") as caught:
        acquire(params("folder", origin), tmp_path / "file" / "raw")
    assert "\n" not in str(caught.value)


def test_a_count_that_differs_is_one_line(tmp_path):
    archive, raw = zipped(tmp_path / "a.zip", kaggle_files()), tmp_path / "raw"
    with pytest.raises(RffdError) as caught:
        acquire(params("archive", archive, ExpectParams(real=3, fake=960)), raw)
    text = line(caught, raw)
    assert "2 fake images where 960 are expected (data.expect.fake)" in text and "data.expect.real=null" in text


def test_the_committed_counts_are_the_datasets():
    committed = read_params("data", DataParams)
    assert committed.expect == ExpectParams(real=1081, fake=960)
    assert committed.kaggle == KaggleParams(dataset="ciplab/real-and-fake-face-detection", version=1)


def good_zip_with(name: str, data: bytes = b"x", mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for good, content in kaggle_files().items():
            archive.writestr(good, content)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, data)
    return buffer.getvalue()


def damaged_zip() -> bytes:
    data = bytearray(good_zip_with("real/x.jpg", b"\x55" * 5000))
    at = data.index(b"\x55" * 5000)
    data[at + 100] = 0
    return bytes(data)


def encrypted_zip() -> bytes:
    data = bytearray(good_zip_with("real/x.jpg"))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the flag in the last entry of the directory
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (good_zip_with("../../real/escape.jpg"), "'../../real/escape.jpg' would leave the target folder"),
        (good_zip_with("/real/escape.jpg"), "would leave the target folder"),
        (good_zip_with("..\\real\\escape.jpg"), "would leave the target folder"),
        (good_zip_with("C:\\real\\escape.jpg"), "would leave the target folder"),
        (good_zip_with("real/link.jpg", b"/etc/passwd", stat.S_IFLNK | 0o777), "is a link"),
        (good_zip_with("real/x.jpg")[:-200], "not a zip, or only a part of one"),
        (damaged_zip(), "Bad CRC-32 for file 'real/x.jpg'"),
        (encrypted_zip(), "is encrypted"),
    ],
    ids=["parent", "absolute", "windows parent", "drive", "link", "truncated", "damaged", "encrypted"],
)
def test_a_zip_not_to_trust_is_one_line_and_writes_nothing(tmp_path, data, message):
    (tmp_path / "a.zip").write_bytes(data)
    raw = tmp_path / "raw"
    with pytest.raises(RffdError) as caught:
        acquire(params("archive", tmp_path / "a.zip"), raw)
    assert message in line(caught, raw)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("rffd.archive.ALWAYS_FINE", 100_000)
    bomb = zipped(tmp_path / "a.zip", kaggle_files() | {"real/bomb.jpg": bytes(2_000_000)})
    with pytest.raises(RffdError, match="taken for a zip bomb"):
        acquire(params("archive", bomb), tmp_path / "raw")
    monkeypatch.setattr("rffd.archive.MAX_FILE", 1_000_000)
    with pytest.raises(RffdError, match=r"'real/bomb\.jpg' unpacks to 2,000,000 bytes"):
        acquire(params("archive", bomb), tmp_path / "raw")


def test_a_size_that_lies_doesnt_help_a_bomb(tmp_path):
    data = bytearray(zipped(tmp_path / "a.zip", kaggle_files() | {"real/bomb.jpg": bytes(2_000_000)}).read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (100).to_bytes(4, "little")  # the size after unpacking, in the directory
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(RffdError, match="Bad CRC-32"):
        acquire(params("archive", tmp_path / "a.zip"), tmp_path / "raw")


class Kaggle(http.server.BaseHTTPRequestHandler):
    """As much of Kaggle's server as a download needs: the call that redirects, and the place it redirects to."""

    status, body, asked = 200, b"", []

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.asked.append((self.path, self.headers.get("Authorization"), self.rfile.read(length)))
        if self.status != 200:
            self.answer(self.status, b'{"code": %d, "message": "no"}' % self.status, "application/json")
            return
        self.send_response(302)
        self.send_header("Location", "/store/archive.zip")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.answer(200, self.body, "application/zip")

    def answer(self, status: int, body: bytes, kind: str):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """A loopback Kaggle that kagglehub talks to; no credentials, a cache of its own."""
    environment = pytest.importorskip("kagglesdk.kaggle_env", reason="needs kagglehub, of the extra `kaggle`")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(Kaggle, "asked", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(environment._env_to_endpoint, environment.KaggleEnv.PROD, address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_kaggle_downloads_the_pinned_version_once(tmp_path, kaggle, monkeypatch):
    monkeypatch.setattr(Kaggle, "body", zipped(tmp_path / "a.zip", kaggle_files()).read_bytes())
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    raw = tmp_path / "raw"
    for _ in range(2):  # the second time from kagglehub's cache
        assert acquire(params("kaggle", expect=ExpectParams(real=3, fake=2)), raw) == {"real": 3, "fake": 2}
    assert len(listing(raw)) == 5
    ((path, authorization, asked),) = Kaggle.asked
    assert path.endswith("datasets.DatasetApiService/DownloadDataset") and authorization == "Bearer secret"
    assert b'"ciplab"' in asked and b'"real-and-fake-face-detection"' in asked
    assert b'"datasetVersionNumber": 1' in asked


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refuses ciplab/real-and-fake-face-detection/versions/1 (401): set KAGGLE_API_TOKEN, or put kaggle.json"),
        (403, "(403): set KAGGLE_API_TOKEN"),
        (404, "(404): check data.kaggle.dataset and data.kaggle.version"),
        (429, "(429): try again later"),
        (503, "answers 503"),
    ],
)
def test_kaggles_refusal_says_what_to_set(tmp_path, kaggle, monkeypatch, status, message):
    monkeypatch.setattr(Kaggle, "status", status)
    with pytest.raises(RffdError) as caught:
        acquire(params("kaggle"), tmp_path / "raw")
    text = line(caught, tmp_path / "raw")
    assert message in text
    assert status == 404 or "data.source=archive data.path=" in text


def test_kaggle_out_of_reach_says_how_to_do_without(tmp_path, kaggle):
    kaggle.shutdown()
    kaggle.server_close()
    with pytest.raises(RffdError) as caught:
        acquire(params("kaggle"), tmp_path / "raw")
    text = line(caught, tmp_path / "raw")
    assert "can't be reached" in text and "127.0.0.1" in text and "data.source=archive data.path=" in text


def test_what_kaggle_sends_is_checked(tmp_path, kaggle, monkeypatch):
    monkeypatch.setattr(Kaggle, "body", b"<html>sign in</html>")
    with pytest.raises(RffdError, match="Unsupported archive type"):
        acquire(params("kaggle"), tmp_path / "raw")


def test_a_broken_kaggle_json_is_one_line(tmp_path, kaggle, monkeypatch):
    (tmp_path / "home/.kaggle").mkdir(parents=True)
    (tmp_path / "home/.kaggle/kaggle.json").write_text("{")
    monkeypatch.setattr("kagglehub.config.DEFAULT_KAGGLE_CREDENTIALS_FOLDER", str(tmp_path / "home/.kaggle"))
    with pytest.raises(RffdError, match="Invalid Kaggle credentials file") as caught:
        acquire(params("kaggle"), tmp_path / "raw")
    line(caught, tmp_path / "raw")


def test_without_kagglehub_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(RffdError, match=r"needs the package kagglehub: pip install -e '\.\[kaggle\]'"):
        acquire(params("kaggle"), tmp_path / "raw")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "ftp"}, "'data.source' is 'ftp'; use one of: sample, kaggle, archive, folder"),
        ({"path": " "}, "'data.path' is empty"),
        ({"kaggle": {"dataset": "ciplab", "version": 1}}, "'data.kaggle.dataset' is ciplab; it must be owner/name"),
        ({"kaggle": {"dataset": "a/b", "version": 0}}, "'data.kaggle.version' is 0"),
        ({"expect": {"real": 0, "fake": None}}, "'data.expect.real' is 0; it must be null or over 0"),
    ],
)
def test_impossible_settings_are_one_line(change, message):
    values = dataclasses.asdict(read_params("data", DataParams)) | change
    with pytest.raises(ParamError) as caught:
        build(DataParams, values, "data")
    assert str(caught.value).startswith(message)


def test_the_sample_is_drawn_into_place(tmp_path):
    committed = read_params("data", DataParams)
    small = dataclasses.replace(committed.sample, real=4, fake=4, size=64)
    raw = tmp_path / "raw"
    assert acquire(params("sample", sample=small), raw) == {"real": 4, "fake": 4}
    assert {path.split("/")[0] for path in listing(raw)} == {"real", "fake"}


def test_the_real_photographs_arrive(tmp_path):
    origin, raw = ciplab(), tmp_path / "raw"
    assert acquire(params("folder", origin), raw) == {"real": 864, "fake": 768}
    assert sha256(raw / "fake/easy_116_111.jpg") == sha256(origin / "training_fake/easy_116_111.jpg")
