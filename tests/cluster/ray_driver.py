"""Runs deploy/ray/smallmind_serve.py in a cluster of this machine alone, by the Python with Ray:
ray_driver.py PORT FOLDER KEY=VALUE...; "ready" on standard output, ends with standard input.
"""
import pathlib
import sys

import ray
from ray import serve

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy" / "ray"))

import smallmind_serve  # noqa: E402

port, folder, *pairs = sys.argv[1:]
ray.init(num_cpus=8, include_dashboard=False, _temp_dir=folder, _node_ip_address="127.0.0.1",
         object_store_memory=80 << 20, log_to_driver=True)
serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": int(port)})
serve.run(smallmind_serve.app(dict(pair.split("=", 1) for pair in pairs)), name="smallmind",
          route_prefix="/")
print("ready", flush=True)
sys.stdin.read()
serve.shutdown()
ray.shutdown()
