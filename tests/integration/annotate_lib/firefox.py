"""Firefox over WebDriver BiDi, with the standard library alone: as webdriver.py's Browser, but for what only Chromium can."""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time


class FirefoxError(Exception):
    pass


class Socket:
    """A WebSocket's client: whole text messages to and fro."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        self.left = b""
        while b"\r\n\r\n" not in self.left:
            self._more()
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise FirefoxError(f"no WebSocket: {head[:200]!r}")

    def _more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise FirefoxError("Firefox has closed the connection")
        self.left += data

    def _take(self, count):
        while len(self.left) < count:
            self._more()
        data, self.left = self.left[:count], self.left[count:]
        return data

    def _frame(self, kind, data):
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | kind])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def send(self, text):
        self._frame(1, text.encode())

    def receive(self):
        message = b""
        while True:
            first, second = self._take(2)
            size = second & 127
            if size == 126:
                size = struct.unpack(">H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._take(8))[0]
            data, kind = self._take(size), first & 15
            if kind == 9:  # a ping
                self._frame(10, data)
            elif kind == 8:
                raise FirefoxError("Firefox has closed the connection")
            elif kind in (0, 1):
                message += data
                if first & 0x80:
                    return message.decode()

    def close(self):
        self.socket.close()


class Browser:
    def __init__(self, firefox, scratch, width=1280, height=800, dark=False):
        profile = os.path.join(scratch, "profile")
        shutil.rmtree(profile, ignore_errors=True)
        os.makedirs(profile)
        with open(os.path.join(profile, "user.js"), "w", encoding="utf-8") as file:
            for name, value in {"ui.systemUsesDarkTheme": int(dark), "browser.shell.checkDefaultBrowser": False,
                                "browser.startup.page": 0, "app.update.enabled": False,
                                "datareporting.policy.dataSubmissionEnabled": False,
                                "toolkit.telemetry.reportingpolicy.firstRun": False}.items():
                file.write(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n")
        self.log = open(os.path.join(scratch, "firefox.log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [firefox, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0",
             f"--width={width}", f"--height={height}"],
            stdout=subprocess.DEVNULL, stderr=self.log,
            env=dict(os.environ, HOME=scratch, XDG_CACHE_HOME=scratch, XDG_CONFIG_HOME=scratch))
        self.number, self.socket = 0, None
        try:
            self.socket = Socket(self._port(), "/session")
            self.command("session.new", capabilities={})
            self.context = self.command("browsingContext.getTree")["contexts"][0]["context"]
            self.command("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})
            self.entries = []
            self.command("session.subscribe", events=["log.entryAdded"])
        except BaseException:
            self.close()
            raise

    def _port(self):
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            self.log.seek(0)
            for line in self.log:
                if "WebDriver BiDi listening on ws://" in line and line.endswith("\n"):
                    return int(line.rsplit(":", 1)[1])
            time.sleep(0.1)
        raise FirefoxError("Firefox did not start")

    def command(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            reply = json.loads(self.socket.receive())
            if reply.get("type") == "event":
                if reply["method"] == "log.entryAdded":
                    self.entries.append(reply["params"])
            elif reply.get("id") == self.number:
                if reply.get("type") == "error":
                    raise FirefoxError(f"{method}: {reply['error']}: {reply['message'][:500]}")
                return reply["result"]

    def close(self):
        if self.socket:
            try:
                self.command("browser.close")
            except (FirefoxError, OSError):
                pass
            self.socket.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    # --- what one does in a browser ---

    def open(self, url):
        self.command("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def run(self, script):
        """Its value goes through JSON, so that it looks as it does with the other browser."""
        reply = self.command("script.evaluate", target={"context": self.context}, awaitPromise=False,
                             expression=f"JSON.stringify((() => {{ {script} }})() ?? null)")
        if reply["type"] != "success":
            raise FirefoxError(f"{script}: {reply['exceptionDetails']['text']}")
        return json.loads(reply["result"]["value"])

    def until(self, script, what, seconds=60):
        end = time.monotonic() + seconds
        while True:
            value = self.run(f"return ({script});")
            if value:
                return value
            if time.monotonic() > end:
                raise FirefoxError(f"waited in vain: {what}; the page says: "
                                   + str(self.run("return document.getElementById('message').textContent;")))
            time.sleep(0.02)

    def _act(self, source):
        self.command("input.performActions", context=self.context, actions=[source])

    def pointer(self, *steps, button=0):
        """steps: (x, y) of the window; pressed at the first, released at the last."""
        actions = [{"type": "pointerMove", "x": round(steps[0][0]), "y": round(steps[0][1])},
                   {"type": "pointerDown", "button": button}]
        actions += [{"type": "pointerMove", "duration": 20, "x": round(x), "y": round(y)} for x, y in steps[1:]]
        actions.append({"type": "pointerUp", "button": button})
        self._act({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions})

    def keys(self, text):
        actions = []
        for key in text:
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._act({"type": "key", "id": "keyboard", "actions": actions})

    def click(self, selector):
        x, y = self.run(f"const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});"
                        "const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2];")
        self.pointer((x, y))

    def screenshot(self, path):
        data = self.command("browsingContext.captureScreenshot", context=self.context)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def console(self):
        entries, self.entries = self.entries, []
        return [{"level": "SEVERE" if e["level"] == "error" else e["level"], "message": e.get("text") or ""}
                for e in entries]
