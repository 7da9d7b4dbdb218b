"""Write the measured tables into README.md, between their markers, from benchmarks/results/bars.json.

python -m benchmarks.readme
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.bars import table

README = Path(__file__).parents[1] / "README.md"


def main() -> None:
    text = README.read_text()
    for topic in re.findall(r"<!-- bars: ([\w-]+) -->", text):
        block = rf"(<!-- bars: {topic} -->\n).*?(<!-- end -->)"
        text = re.sub(block, lambda found, topic=topic: f"{found[1]}{table(topic).strip()}\n{found[2]}", text, flags=re.S)
    README.write_text(text)


if __name__ == "__main__":
    main()
