"""What the example of the C API is tried with: a picture of the conformance list, and what becomes of it.

python tests/example.py picture FILE.ppm    writes the picture
python tests/example.py check FILE.ppm      fails unless this is what the list says
"""

import hashlib
import sys
from pathlib import Path

LIST = Path(__file__).with_name("checksums.txt")
CASE = ["fsrcnn", "lines", "rgb", "x3"]


def lines(x, y, c):
    return 255 if x % 7 == 3 or y % 5 == 2 or (x + 2 * y + c) % 11 == 0 else 0


def main(task, file):
    cases = (line.split() for line in LIST.read_text().splitlines())
    size, checksum = next(
        (words[2], words[5])
        for words in cases
        if len(words) == 6 and [words[0], words[1], words[3], words[4]] == CASE
    )
    width, height = map(int, size.split("x"))
    if task == "picture":
        samples = bytes(lines(x, y, c) for y in range(height) for x in range(width) for c in range(3))
        Path(file).write_bytes(b"P6\n%d %d\n255\n" % (width, height) + samples)
        return
    header = b"P6\n%d %d\n255\n" % (3 * width, 3 * height)
    content = Path(file).read_bytes()
    assert content.startswith(header), content[:20]
    assert hashlib.sha256(content[len(header) :]).hexdigest() == checksum, "the picture is another"


if __name__ == "__main__":
    main(*sys.argv[1:])
