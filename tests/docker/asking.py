"""What the tests ask of a service in a container."""
import http.client
import json
import re


def ask(container, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=60)
    try:
        connection.request("POST" if body else "GET", path, body and json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def ready(container):
    assert container.state()["Running"], container.logs()
    return ask(container, "/readyz")[0] == 200


def metric(text, name):
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])
