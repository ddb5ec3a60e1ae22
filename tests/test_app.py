"""The page, in a real browser: an answer for a picture, a polite word for anything else, and nothing kept."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from rffd import app
from rffd.prediction import open_package
from tests import browser
from tests.browser import Browser
from tests.hub_server import HubServer, Repository
from tests.packages import packaged

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def needs():
    pytest.importorskip("gradio", reason="needs Gradio: pip install 'rffd[app]'")
    if browser.program() is None:
        pytest.skip("needs a browser: apt-get install chromium")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Address and folder of uploads of a running page."""
    folder, port = tmp_path_factory.mktemp("page"), free_port()
    words = ["-m", "rffd.cli", "serve", "--model", str(packaged().package), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    yield from running([sys.executable, *words], folder, environment, port)


def running(command, folder: Path, environment: dict[str, str], port: int):
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while status(address) != 200:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield address, folder
    finally:
        process.terminate()
        process.wait(120)


def status(address: str) -> int:
    try:
        return urllib.request.urlopen(address, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.fixture(scope="module")
def opened():
    with Browser() as window:
        yield window


@pytest.fixture
def window(opened, page):
    """The page, loaded anew."""
    opened.send("Emulation.setEmulatedMedia", features=[])
    opened.open("about:blank", width=1100, height=900)
    opened.open(page[0], width=1100, height=900)
    opened.wait("document.querySelector('input[type=file]')")
    return opened


def uploads(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("rffd-uploads-*/**/*") if path.is_file()]


def test_a_picture_gets_verdict_bar_and_heat_map_and_is_not_kept(window, page, tmp_path):
    window.upload("input[type=file]", ROOT / "rffd" / "templates" / "example_fake.jpg")
    window.wait("document.querySelector('.rffd-verdict')")
    assert re.search(r"\((real|fake|unsure)\)", window.run("document.querySelector('.rffd-verdict').innerText"))
    value = window.run("document.querySelector('[role=meter]').getAttribute('aria-valuenow')")
    assert 0 <= int(value) <= 100
    window.wait("[...document.querySelectorAll('.rffd-pictures img')].every(i => i.naturalWidth > 100 && i.alt)")
    assert window.run("document.querySelectorAll('.rffd-pictures img').length") == 2
    window.wait("document.querySelector('input[type=file]')")  # the field is free for the next one
    assert uploads(page[1]) == []
    window.screenshot(tmp_path / "answer.png")
    assert Image.open(tmp_path / "answer.png").width == 1100


def test_what_is_no_picture_or_a_bomb_is_refused_politely_and_the_page_goes_on(window, page, tmp_path):
    (tmp_path / "page.jpg").write_text("<script>alert(1)</script>")
    window.upload("input[type=file]", tmp_path / "page.jpg")
    window.wait("document.querySelector('[role=alert].rffd-error')")
    assert "not an image" in window.run("document.querySelector('.rffd-error').innerText")

    Image.new("1", (30000, 30000)).save(tmp_path / "bomb.png")
    window.wait("document.querySelector('input[type=file]')")
    window.upload("input[type=file]", tmp_path / "bomb.png")
    window.wait("document.querySelector('.rffd-error').innerText.includes('over the limit')")

    window.upload("input[type=file]", ROOT / "rffd" / "templates" / "example_real.jpg")
    window.wait("document.querySelector('.rffd-verdict')")
    assert uploads(page[1]) == []


def test_a_file_over_the_limit_is_refused(window, page, tmp_path):
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n" + bytes(26 * 2**20))
    window.upload("input[type=file]", tmp_path / "large.png")
    window.wait("/maximum (allowed )?(file )?size|too large|exceed/i.test(document.body.innerText)")
    assert not window.run("!!document.querySelector('.rffd-verdict')")
    assert uploads(page[1]) == []


def test_the_keyboard_alone_reaches_an_answer(window):
    for _ in range(12):
        window.press("Tab", 9)
        if window.run("document.activeElement.innerText").strip() == "A drawn forgery":
            break
    else:
        pytest.fail("the drawn forgery's button can't be reached by Tab")
    assert window.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    window.press("Enter", 13)
    window.wait("document.querySelector('.rffd-verdict')")


def test_a_narrow_screen_shows_all_without_scrolling_sideways(window):
    window.resize(340, 700)
    window.run("[...document.querySelectorAll('button')].find(b => b.innerText.includes('drawn portrait')).click()")
    window.wait("document.querySelector('.rffd-verdict')")
    assert window.run("document.documentElement.scrollWidth") <= 340
    outside = "[...document.querySelectorAll('.rffd-result *')].filter(e => e.getBoundingClientRect().right > 330)"
    assert window.run(f"{outside}.map(e => e.className + ': ' + e.innerText)") == []


def contrast(window, selector: str) -> float:
    """How a text stands out from the page behind it, as WCAG 2 counts it: 21 at most."""
    script = """(selector => {
        const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
            .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
        const both = [getComputedStyle(document.querySelector(selector)).color,
            getComputedStyle(document.body).backgroundColor].map(light).sort((a, b) => b - a);
        return (both[0] + .05) / (both[1] + .05); })"""
    return window.run(f"{script}({selector!r})")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_on_a_light_and_on_a_dark_page(window, page, scheme):
    window.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    window.open(page[0], width=800, height=800)
    window.wait("[...document.querySelectorAll('button')].some(b => b.innerText.includes('drawn portrait'))")
    window.run("[...document.querySelectorAll('button')].find(b => b.innerText.includes('drawn portrait')).click()")
    window.wait("document.querySelector('.rffd-verdict')")
    assert window.run("document.body.classList.contains('dark')") == (scheme == "dark")
    assert contrast(window, ".rffd-verdict") >= 3  # large print
    for selector in (".rffd-scale", ".rffd-pictures figcaption", ".rffd-verdict small", ".rffd-result b"):
        assert contrast(window, selector) >= 4.5, selector


def test_a_screen_reader_is_told_of_an_answer(window):
    window.wait("document.querySelector('#rffd-panel[aria-live=polite]')")


def test_an_upload_that_nobody_asks_about_is_deleted_too(monkeypatch):
    monkeypatch.setattr(app, "FORGOTTEN", 1)
    running = app.serve(open_package(packaged().package), port=free_port(), wait=False)
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    try:
        part = 'Content-Disposition: form-data; name="files"; filename="x.jpg"'
        body = f"--edge\r\n{part}\r\n\r\nx\r\n--edge--".encode()
        request = urllib.request.Request(f"{running.local_url}gradio_api/upload", body)
        request.add_header("Content-Type", "multipart/form-data; boundary=edge")
        assert urllib.request.urlopen(request).status == 200
        assert [path for path in folder.rglob("*") if path.is_file()]
        deadline = time.monotonic() + 60
        while [path for path in folder.rglob("*") if path.is_file()]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        running.close()


def test_the_limits_are_those_of_the_models_card(window):
    card = (packaged().package / "README.md").read_text()
    limits = card.split("## Limits")[1].split("##")[0].strip().removeprefix("- ").split("\n- ")
    shown = window.run("document.body.innerText")
    assert len(limits) >= 5
    for limit in limits:
        assert limit.strip() in shown


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "params.yaml"])
def test_no_other_file_can_be_had(page, path):
    assert status(f"{page[0]}/gradio_api/file={path}") in (403, 404)


def test_nothing_is_fetched_from_elsewhere(window, page):
    addresses = window.run("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [a for a in addresses if not a.startswith((page[0], "data:", "blob:"))] == []


def test_the_space_answers_from_the_published_model_without_torch(tmp_path):
    from rffd.space import write_space

    package, port = packaged().package, free_port()
    space = tmp_path / "space"
    space.mkdir()
    write_space(space, model="someone/faces", tag="v0.1.0")
    front = (space / "README.md").read_text().split("---")[1]
    assert f"sdk_version: {sys.modules['gradio'].__version__}\n" in front
    assert "models:\n- someone/faces\n" in front
    assert 'python_version: "3.11"\n' in front  # what stands in pyproject.toml; a Space's own is older
    assert "torch" not in (space / "requirements.txt").read_text()
    assert all("==" in line for line in (space / "requirements.txt").read_text().splitlines())
    with HubServer() as hub:
        repository = hub.repositories["someone/faces"] = Repository(private=False)
        files = {p.relative_to(package).as_posix(): p.read_bytes() for p in package.rglob("*") if p.is_file()}
        repository.tags["v0.1.0"] = repository.commit(files, "published")
        repository.commit({}, "later, and empty")
        block = "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; sys.path.insert(0, '.');"
        code = f"{block} exec(compile(open('app.py').read(), 'app.py', 'exec'))"
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= hub.environment(tmp_path / "home") | {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(tmp_path)}
        for address, _ in running([sys.executable, "-c", code], space, environment, port):
            with Browser() as window:
                window.open(address, width=800, height=800)
                window.wait("document.querySelector('input[type=file]')")
                window.upload("input[type=file]", ROOT / "rffd" / "templates" / "example_real.jpg")
                window.wait("document.querySelector('.rffd-verdict')")
