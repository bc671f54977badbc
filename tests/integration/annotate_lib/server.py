"""maskmill annotate as a process, and one person's requests to it."""

import ctypes
import http.client
import json
import os
import random
import signal
import subprocess
import time

TGKILL = 234  # of x86-64; Python has no call for it


def random_hex(rng=random):
    return f"{rng.getrandbits(128):032x}"


class Server:
    """Started again at the same port, it is the same server for pages that are open."""

    def __init__(self, program, source, answers, *options):
        self.command = [program, "annotate", source, "--answers", answers, "-q", *options]
        self.port, self.process = 0, None
        self.start()

    def start(self):
        self.process = subprocess.Popen([*self.command, "--port", str(self.port)], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        assert "/?token=" in self.url, f"no URL but {self.url!r}"
        self.port = int(self.url.split("/?")[0].rsplit(":", 1)[1])
        self.token = self.url.rsplit("=", 1)[1]

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self._end()

    def kill_by_threads(self, number):
        """The kernel may give a signal to any thread that does not hold it back: here each such thread gets it."""
        tasks, takers = f"/proc/{self.process.pid}/task", []
        for thread in os.listdir(tasks):
            with open(f"{tasks}/{thread}/status", encoding="ascii") as file:
                held = int(next(line.split()[1] for line in file if line.startswith("SigBlk:")), 16)
            if not held >> (number - 1) & 1:
                takers.append(int(thread))
        for thread in takers:
            ctypes.CDLL(None).syscall(TGKILL, self.process.pid, thread, number)
        return self._end()

    def _end(self):
        status = self.process.wait(60)
        self.process.stdout.close()
        return status

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class Person:
    def __init__(self, server, name, rng=random):
        self.server, self.name, self.rng = server, name, rng
        self.session = random_hex(rng)

    def ask(self, path, body=None):
        """Bytes of the reply; Refused for other statuses than 200, OSError or HTTPException for a lost connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        headers = {"X-Maskmill-Token": self.server.token, "X-Maskmill-Session": self.session}
        try:
            if body is None:
                connection.request("GET", path, headers=headers)
            else:
                headers["Content-Type"] = "application/json"
                connection.request("POST", path, json.dumps(body), headers)
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise Refused(reply.status, data[:200])
        return data

    def json(self, path, body=None):
        return json.loads(self.ask(path, body))

    def insist(self, path, body=None):
        """As the page does: again until there is a reply."""
        while True:
            try:
                return self.json(path, body)
            except Refused as refused:
                if refused.status not in (429, 503):
                    raise
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.01)

    def answer(self, what, image, **more):
        return {"do": what, "id": random_hex(self.rng), "image": image, "annotator": self.name, "seconds": 1.5, **more}


def counts_of(runs):
    """COCO's compressed text of run lengths."""
    out = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            digit = value & 31
            value >>= 5
            more = value != (-1 if digit & 16 else 0)
            out.append(chr((digit | 32 if more else digit) + 48))
    return "".join(out)


def crc32c(data, table=[]):
    if not table:
        for byte in range(256):
            value = byte
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
            table.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def read_journal(path):
    """Its answers; every line must be whole and have its CRC."""
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    assert lines.pop() == b"", "the last line is torn"
    for number, line in enumerate(lines, 1):
        assert line[8:9] == b" " and int(line[:8], 16) == crc32c(line[9:]), f"line {number} is damaged"
    head = json.loads(lines[0][9:])
    assert head["maskmill"] == "answers" and head["format"] == 1, head
    return [json.loads(line[9:]) for line in lines[1:]]
