"""The picture in the README: the first page of a run's report, rendered by headless Chromium.

    python -m benchmarks.report_picture                # runs the digits recipe unless runs/digits has a verdict
    python -m benchmarks.report_picture runs/NAME

Needs Chromium (`apt-get install chromium`). The picture shows the head of the report, and the first rows of its table beside
the plot of size against accuracy; all other sections are left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

from benchmarks.recipes import ROOT

PICTURE = ROOT / "docs" / "assets" / "report.png"
WIDTH, HEIGHT, SCALE = 1180, 1000, 1  # CSS pixels, and device pixels in each: one, since the checkout has a limit
MARGIN, FRAME = 28, (217, 221, 226)  # CSS pixels below the last line; the colour of the line around the picture
COLOURS = 24
LAYOUT = """<style>
:root { color-scheme: light; }
body { max-width: none; padding: 2rem 2.5rem; }
nav, .skip, footer, details, figcaption, section > p, caption, #size > h2, #arms > h2 { display: none; }
main > section:not(#arms, #size), #size figure:not(#size-parameters) { display: none; }
#arms tbody tr:nth-child(6), #arms tbody tr:nth-child(n + 8) { display: none; }
main { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 3.5rem; align-items: start; margin-top: 2.25rem; }
section { margin: 0; }
#size .grid { display: block; }
</style></head>"""


def layout(report: str) -> str:
    """The report's HTML with only the sections of the picture."""
    return report.replace("</head>", LAYOUT, 1)


def screenshot(page: Path, target: Path) -> None:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        options = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync", "hide-scrollbars"]
        options += ["disable-background-networking", "disable-component-update", f"user-data-dir={profile}"]
        options += [f"force-device-scale-factor={SCALE}", f"window-size={WIDTH},{HEIGHT}", f"screenshot={target}"]
        command = [program, *(f"--{option}" for option in options), page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)


def crop(picture: Image.Image) -> Image.Image:
    """Cut the empty page below the last line, frame the rest, and reduce its colours to a palette."""
    page = picture.convert("RGB")
    drawn = ImageChops.difference(page, Image.new("RGB", page.size, page.getpixel((0, 0)))).getbbox()
    assert drawn is not None, "the page is empty"
    bottom = min(page.height, drawn[3] + MARGIN * SCALE)
    framed = ImageOps.expand(page.crop((0, 0, page.width, bottom)), border=SCALE, fill=FRAME)
    return framed.quantize(COLOURS, dither=Image.Dither.NONE)


def draw(run: Path) -> None:
    subprocess.run([sys.executable, "-m", "limbeck.cli", "report", str(run)], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "page.png"
        page.write_text(layout((run / "report.html").read_text(encoding="utf-8")), encoding="utf-8")
        screenshot(page, shot)
        crop(Image.open(shot)).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=ROOT / "runs" / "digits")
    run = parser.parse_args().run
    if not (run / "verdict.json").exists():
        command = [sys.executable, "-m", "limbeck.cli", "distill", "digits", "--out", str(run), "--resume"]
        subprocess.run(command, check=True)
    draw(run)


if __name__ == "__main__":
    main()
