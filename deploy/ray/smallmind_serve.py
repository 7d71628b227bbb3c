"""SmallMind on a Ray cluster: a service for each of Ray Serve's replicas, requests passed through.

serve run smallmind_serve:app model=/models/m.gguf cpus=4 max_replicas=8   (docs/SCALING.md, "Ray")
"""
import asyncio
import subprocess
import tempfile

import aiohttp
from ray import serve
from starlette.responses import Response, StreamingResponse

BATCH, QUEUE = 8, 32
OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "upgrade"}
RAYS = OF_A_CONNECTION | {"date", "x-request-id"}  # it adds its own, with the same id


@serve.deployment(max_ongoing_requests=BATCH + QUEUE, health_check_period_s=2)
class SmallMind:
    async def __init__(self, binary, flags):
        self.folder, self.lock = tempfile.TemporaryDirectory(prefix="smallmind-"), asyncio.Lock()
        path = self.folder.name + "/socket"
        # It ends with its replica, however that ends.
        self.command = ["setpriv", "--pdeathsig", "TERM", binary, "serve", "--unix", path, *flags,
                        "--max-batch", str(BATCH), "--max-queue", str(QUEUE)]
        self.http = aiohttp.ClientSession("http://localhost", auto_decompress=False,
                                          connector=aiohttp.UnixConnector(path, limit=0),
                                          timeout=aiohttp.ClientTimeout(total=None))
        self.process = None
        await self.start()

    async def start(self):
        async with self.lock:  # one restart, however many requests find that it has ended
            if self.process is None or self.process.poll() is not None:
                self.process = subprocess.Popen(self.command)
            while not await self.is_ready():
                if self.process.poll() is not None:
                    raise RuntimeError(f"ended with {self.process.returncode}: {self.command}")
                await asyncio.sleep(0.05)

    async def is_ready(self):
        try:
            async with self.http.get("/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def check_health(self):
        await self.start()

    async def __call__(self, request):
        url = f"{request.url.path}?{request.url.query}".removesuffix("?")
        headers = [(k, v) for k, v in request.headers.items() if k not in OF_A_CONNECTION]
        body = await request.body()
        for attempt in range(3):  # generating has no effect but its answer: it may be sent again
            try:
                answer = await self.http.request(request.method, url, headers=headers, data=body)
                whole = await answer.read() if "Content-Length" in answer.headers else None
                if answer.status != 503 or attempt == 2:  # another request may have restarted it
                    break
            except aiohttp.ClientError:
                if attempt == 2:
                    raise
            await self.start()
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in RAYS}
        if whole is not None:
            return Response(whole, answer.status, headers)
        return StreamingResponse(self.pieces(answer), answer.status, headers)

    async def pieces(self, answer):
        async with answer:  # a client that leaves closes it, which ends its work
            async for piece in answer.content.iter_any():
                yield piece


def app(args):
    """Ray adds replicas while requests, running and queued, are more than a batch for each."""
    cpus = int(args.get("cpus", 1))
    flags = ["--model", args.get("model", "builtin"), "--threads", str(cpus)]
    scale = {"min_replicas": int(args.get("min_replicas", 1)), "target_ongoing_requests": BATCH,
             "max_replicas": int(args.get("max_replicas", 1)), "upscale_delay_s": 5}
    return SmallMind.options(autoscaling_config=scale, ray_actor_options={"num_cpus": cpus}).bind(
        args.get("binary", "smallmind"), flags + args.get("flags", "").split())
