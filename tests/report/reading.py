"""Reads a page as a browser would: its numbers, its text, and what it loads."""

import base64
import json
import math
from html.parser import HTMLParser

import numpy as np


class Page(HTMLParser):
    """The elements of a page, the text of each script, and all text that is shown."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.shown, self.script = [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.script = {"id": dict(attrs).get("id"), "text": ""} if tag in ("script", "style") else None
        if tag == "script":
            self.scripts.append(self.script)

    def handle_endtag(self, tag):
        self.script = None

    def handle_data(self, data):
        if self.script is None:
            self.shown += data
        else:
            self.script["text"] += data

    def json(self, id_):
        return json.loads(next(script["text"] for script in self.scripts if script["id"] == id_))


def values(matrix, log, part="value"):
    """The numbers of a matrix as the scripts understand them; `log` says that they are logarithms. Missing is None."""
    flat = np.frombuffer(base64.b64decode(matrix[part]), f"<f{matrix['bits'] // 8}").astype(float)
    read = [
        None if math.isnan(value)
        else math.nan if math.isfinite(value) and value >= matrix["nan"]
        else 10**value if log else value
        for value in flat
    ]  # fmt: skip
    width = len(read) // len(matrix["modules"])
    return [read[row * width : (row + 1) * width] for row in range(len(matrix["modules"]))]
