"""Show or set the thresholds that a detector is shipped with.

    thresholds.py HEAD.safetensors                       print them
    thresholds.py HEAD.safetensors confident_score=0.4 ...   write them into the file's metadata; the tensors stay as they are

docs/formats.md has the names. The file is replaced in one step."""

import json
import os
import sys


def main():
    path, changes = sys.argv[1], [word.split("=", 1) for word in sys.argv[2:]]
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header, rest = json.loads(file.read(length)), file.read()
    detector = json.loads(header["__metadata__"]["maskmill.detector"])
    thresholds = detector.setdefault("thresholds", {})
    for name, value in changes:
        if thresholds and name not in thresholds:
            sys.exit(f"{name} is no threshold; there are {', '.join(thresholds)}")
        thresholds[name] = int(value) if isinstance(thresholds.get(name), int) else float(value)
    if changes:
        header["__metadata__"]["maskmill.detector"] = json.dumps(detector, separators=(",", ":"))
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(path + ".tmp", "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text + rest)
        os.replace(path + ".tmp", path)
    for name, value in thresholds.items():
        print(f"{name} = {value}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()
