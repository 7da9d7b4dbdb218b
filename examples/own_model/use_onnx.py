"""Runs the exported student on one image with ONNX Runtime, without Limbeck or PyTorch."""

from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("runs/digits/exports/student-fp32.onnx")
classes = sorted(folder.name for folder in Path("photos/train").iterdir())
photo = next(Path("photos/test/digit-7").glob("*.jpg"))
pixels = np.asarray(Image.open(photo).convert("L"), dtype=np.float32) / 255
(logits,) = session.run(None, {session.get_inputs()[0].name: pixels[None, None]})
print(photo, "shows", classes[logits.argmax()])
