"""The page: drop or paste a portrait, see the verdict, how sure it is, and where the forgery is thought to be.

`rffd serve` opens it on this machine; as a Hugging Face Space the same code answers strangers. A picture is deleted
as soon as it was read, and what is shown travels inside the page, so no file is kept.
"""

import base64
import contextlib
import html
import io
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from rffd.errors import RffdError
from rffd.heat import heat_map
from rffd.images import UnreadableImage
from rffd.look import COLOURS, MUTED, REGION_COLOURS
from rffd.prediction import Package, Prediction, predict

MAX_FILE = 25 * 2**20  # bytes of an upload; a 50-megapixel JPEG fits
SHOWN = 480  # pixels of the longer side in the page
WAITING = 20  # visitors that may queue
FORGOTTEN = 120  # seconds until an upload is deleted for which no answer was asked
TEMPLATES = Path(__file__).parent / "templates"
EXAMPLES = {"A drawn portrait": "example_real.jpg", "A drawn forgery": "example_fake.jpg"}
UNSURE = "#8a6d1a"
WORDS = {
    "real": "Looks untouched",
    "fake": "Looks photoshopped",
    "unsure": "Can't tell",
}
INTRO = (
    "# Was this portrait photoshopped?\n"
    "Drop or paste a portrait. The answer is a hint, not a proof. Pictures are deleted as soon as they were read."
)
EMPTY = '<p class="rffd-note">The answer will appear here.</p>'


def answer(package: Package, path: str | None) -> str:
    """The result panel for a picture's file, as HTML; a file that can't be used gets its reason."""
    if not path:
        return EMPTY
    (found,) = predict(package, [path], picture_size=SHOWN, workers=1)
    if isinstance(found, UnreadableImage):
        reason = html.escape(found.reason)
        return f'<div class="rffd-error" role="alert"><b>This file can\'t be used.</b> It is: {reason}.</div>'
    return result(found, package)


def result(found: Prediction, package: Package) -> str:
    """Verdict, probability bar, picture and heat map, regions and warnings of one answer."""
    assert found.picture is not None
    percent = f"{100 * found.probability:.0f}"
    colour = COLOURS.get(found.verdict, UNSURE)
    rule = package.rule
    unsure = f"; between {100 * rule.low:.0f} and {100 * rule.high:.0f} % (hatched) it can't tell"
    regions = "".join(
        f'<li><span class="rffd-key" style="background:{REGION_COLOURS[name]}"></span>{name.replace("_", " ")}: '
        f"{100 * found.region_probabilities[name]:.0f} %</li>"
        for name in found.regions
    )
    called = f"<p>Regions called replaced:</p><ul>{regions}</ul>" if regions else ""
    warning = f'<p class="rffd-error">Careful: {html.escape(found.warning)}.</p>' if found.warning else ""
    heat = heat_map(found, package.contract.face_margin)
    alt = f"Heat map; regions called replaced: {', '.join(found.regions).replace('_', ' ') or 'none'}"
    return f"""
<div class="rffd-result">
  <p class="rffd-verdict" style="color:{colour}">{WORDS[found.verdict]} <small>({found.verdict})</small></p>
  <div class="rffd-bar" role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"
       aria-label="Probability of a forgery">
    <div class="rffd-band" style="left:{100 * rule.low:.1f}%;width:{100 * (rule.high - rule.low):.1f}%"></div>
    <div class="rffd-mark" style="left:{100 * found.probability:.1f}%;background:{colour}"></div>
  </div>
  <p class="rffd-scale"><span>untouched</span><span>photoshopped</span></p>
  <p><b>{percent} %</b> likely photoshopped{unsure if rule.low < rule.high else ""}.</p>
  {warning}
  <div class="rffd-pictures">
    <figure><img alt="The picture" src="{_inline(found.picture)}"><figcaption>as seen, upright</figcaption></figure>
    <figure><img alt="{alt}" src="{_inline(heat)}"><figcaption>red: replaced, by the model's guess</figcaption></figure>
  </div>
  {called}
</div>"""


def _inline(picture: Image.Image) -> str:
    small = picture.copy()
    small.thumbnail((SHOWN, SHOWN))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def limits(package: Package) -> str:
    """The model's known limits, as its own card states them."""
    with contextlib.suppress(OSError):
        card = (package.folder / "README.md").read_text(encoding="utf-8")
        if "## Limits" in card:
            return "## What it can't do\n" + card.split("## Limits", 1)[1].split("\n## ", 1)[0].strip()
    return "## What it can't do\n" + (TEMPLATES / "limits.md").read_text(encoding="utf-8")


def build(package: Package) -> Any:
    """The page as Gradio blocks."""
    gradio = import_gradio()

    def on_upload(path: str | None) -> tuple[None, str]:
        try:
            return None, answer(package, path)
        finally:
            if path:
                Path(path).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # the folder that Gradio made for it
                    Path(path).parent.rmdir()

    forget = (FORGOTTEN, FORGOTTEN)  # how often it is looked, and how old a file may be
    with gradio.Blocks(title="Was this portrait photoshopped?", analytics_enabled=False, delete_cache=forget) as page:
        gradio.Markdown(INTRO)
        with gradio.Row():
            with gradio.Column(min_width=280):
                upload = gradio.Image(label="Portrait", sources=["upload", "clipboard"], height=260, buttons=[])
                upload.preprocess = _untouched
                with gradio.Row():
                    buttons = {gradio.Button(text, min_width=120): name for text, name in EXAMPLES.items()}
            with gradio.Column(min_width=280):
                panel = gradio.HTML(EMPTY, elem_id="rffd-panel")
        gradio.Markdown(limits(package))
        upload.input(on_upload, upload, [upload, panel], api_visibility="private", concurrency_limit=2)
        for button, name in buttons.items():
            path = str(TEMPLATES / name)
            button.click(lambda path=path: answer(package, path), None, panel, api_visibility="private")
        page.load(None, js=ANNOUNCED, api_visibility="private")
    return page.queue(max_size=WAITING)


def _untouched(payload: Any) -> str | None:
    """The upload's file as it came: decoding it, and refusing it, is `read_image`'s alone."""
    return payload.path if payload else None


def serve(package: Package, *, host: str | None = None, port: int | None = None, wait: bool = True) -> Any:
    """Open the page; `wait` False returns the running blocks (`close()` ends them)."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    uploads = tempfile.TemporaryDirectory(prefix="rffd-uploads-")
    os.environ["GRADIO_TEMP_DIR"] = uploads.name
    gradio = import_gradio()
    page = build(package)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            max_file_size=MAX_FILE,
            theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),  # nothing is fetched
            css=CSS,
            footer_links=[],
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise RffdError(f"can't open port {port}: {error}; choose another one with --port") from error
    page._rffd_uploads = uploads  # removed with the page
    if wait:
        print(f"The page is open: {page.local_url} (Ctrl-C closes it)", flush=True)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an orderly end, which removes the uploads
        page.block_thread()
    return page


def import_gradio() -> Any:
    """Gradio, or one line on how to get it."""
    try:
        import gradio
    except ImportError as error:
        raise RffdError("the page needs Gradio: pip install 'rffd[app]' (or pip install gradio)") from error
    return gradio


# the panel itself, which stays, tells a screen reader that its content changed
ANNOUNCED = "() => { document.querySelector('#rffd-panel').setAttribute('aria-live', 'polite'); }"
CSS = f"""
.rffd-verdict {{ font-size: 1.7em; font-weight: 700; margin: 0 0 .3em; }}
.rffd-verdict small {{ font-size: .55em; font-weight: 400; color: {MUTED}; }}
.rffd-bar {{ position: relative; height: 16px; border-radius: 8px;
  background: linear-gradient(90deg, {COLOURS["real"]}55, #e4e7eb 50%, {COLOURS["fake"]}55); }}
.rffd-band {{ position: absolute; top: 0; bottom: 0; background: repeating-linear-gradient(45deg,
  #0000, #0000 4px, #0003 4px, #0003 6px); }}
.rffd-mark {{ position: absolute; top: -4px; width: 6px; height: 24px; margin-left: -3px; border-radius: 3px;
  border: 1px solid #fff; }}
.rffd-scale {{ display: flex; justify-content: space-between; margin: .2em 0; font-size: .85em; color: {MUTED}; }}
.dark :is(.rffd-verdict small, .rffd-scale, .rffd-note, .rffd-pictures figcaption) {{ color: #a9b1bb; }}
.rffd-pictures {{ display: flex; flex-wrap: wrap; gap: 10px; margin: .6em 0; }}
.rffd-pictures figure {{ flex: 1 1 150px; margin: 0; }}
.rffd-pictures img {{ width: 100%; border-radius: 6px; display: block; }}
.rffd-pictures figcaption, .rffd-note {{ font-size: .85em; color: {MUTED}; }}
.rffd-result ul {{ list-style: none; padding: 0; margin: .2em 0; display: flex; flex-wrap: wrap; gap: .3em 1.2em; }}
.rffd-key {{ display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; }}
.rffd-error {{ border-left: 4px solid {UNSURE}; padding: .5em .8em; background: {UNSURE}22; border-radius: 4px; }}
@media (max-width: 480px) {{ .rffd-verdict {{ font-size: 1.35em; }} }}
:focus-visible {{ outline: 3px solid {COLOURS["real"]} !important; outline-offset: 2px; }}
"""
