"""Handwritten digits as a folder of JPEGs: photos/train/CLASS/*.jpg and photos/test/CLASS/*.jpg."""

from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

raw = load_digits()
for row, (pixels, label) in enumerate(zip(raw.images, raw.target, strict=True)):
    folder = Path("photos") / ("test" if row % 3 == 0 else "train") / f"digit-{label}"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels * 255 / 16).astype("uint8")).resize((16, 16)).save(folder / f"{row:04}.jpg", quality=95)
