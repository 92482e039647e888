"""Sends Messages requests to a gateway and reads the answers as bytes."""

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE = 60


@dataclass
class Answer:
    status: int
    headers: dict
    data: bytes
    # the connection broke before the body ended
    is_cut: bool = False

    def json(self):
        return json.loads(self.data)


class Client:
    def __init__(self, url, key=None):
        self.address, self.key = urlsplit(url).netloc, key

    def post(self, path, body, **headers):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        names = {
            "content-type": "application/json",
            "anthropic-version": "2023-06-01",
            **({"x-api-key": self.key} if self.key else {}),
        }
        names |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        try:
            connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), names)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            try:
                return Answer(answer.status, found, answer.read())
            except (http.client.IncompleteRead, ConnectionError) as error:
                return Answer(answer.status, found, getattr(error, "partial", b""), is_cut=True)
        finally:
            connection.close()

    def get(self, path):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()
