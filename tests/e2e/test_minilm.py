"""A real embedding model (make real-model MODEL=minilm): its tokens, its vectors against a pass in
float64 with the exact GELU that it was trained with, and that like texts lie near each other."""
import math
import struct

import pytest

import models

np = pytest.importorskip("numpy")
NAME = "all-MiniLM-L6-v2.F32.gguf"
HEADS, LAYERS, EPS = 12, 6, 1e-12
TEXTS = ["Hello world", "A man is eating food.", "A man is eating a piece of bread.",
         "The girl is carrying a baby.", "Two men pushed carts through the woods.",
         "Wie spät ist es? Il était une fois, naïve café.", "東京は日本の首都です。", "a",
         "antidisestablishmentarianism! " * 30]
TOKENS = {"Hello world": [101, 7592, 2088, 102],
          "A man is eating food.": [101, 1037, 2158, 2003, 5983, 2833, 1012, 102]}


@pytest.fixture(scope="module")
def path():
    found = models.ROOT / "models" / NAME
    if not found.is_file():
        pytest.skip(f"{found} is not there: make real-model MODEL=minilm puts it there")
    return found


@pytest.fixture(scope="module")
def minilm(all_shared, path):
    return all_shared.get(model=path)


def skip_value(data, at, kind):
    if kind == 8:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind == 9:
        element, n = struct.unpack_from("<IQ", data, at)
        at += 12
        for _ in range(n):
            at = skip_value(data, at, element)
        return at
    return at + {4: 4, 5: 4, 6: 4, 7: 1}[kind]


@pytest.fixture(scope="module")
def weights(path):
    """{name: array} of a file all in F32."""
    data, at, entries = path.read_bytes(), 24, []
    n_tensors, n_values = struct.unpack_from("<QQ", data, 8)
    for _ in range(n_values):
        at += 8 + struct.unpack_from("<Q", data, at)[0]
        at = skip_value(data, at + 4, struct.unpack_from("<I", data, at)[0])
    for _ in range(n_tensors):
        n, = struct.unpack_from("<Q", data, at)
        name = data[at + 8:at + 8 + n].decode()
        at += 8 + n
        n_dims, = struct.unpack_from("<I", data, at)
        shape = struct.unpack_from(f"<{n_dims}Q", data, at + 4)
        offset, = struct.unpack_from("<Q", data, at + 8 + 8 * n_dims)
        at += 16 + 8 * n_dims
        entries.append((name, shape, offset))
    base = at + -at % 32
    return {name: np.frombuffer(data, "<f4", math.prod(shape), base + offset)
            .astype(np.float64).reshape(shape[::-1]) for name, shape, offset in entries}


def norm(w, name, x):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS)
    return x * w[name + ".weight"] + w[name + ".bias"]


def linear(w, name, x):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


gelu = np.vectorize(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))))


def attend(w, layer, x):
    n, width = x.shape
    q, k, v = (linear(w, layer + part, x).reshape(n, HEADS, -1).swapaxes(0, 1)
               for part in ("attn_q", "attn_k", "attn_v"))
    scores = q @ k.swapaxes(1, 2) / math.sqrt(width // HEADS)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    return linear(w, layer + "attn_output", (scores @ v).swapaxes(0, 1).reshape(n, width))


def exact(w, ids):
    """The normalized mean of the last layer's rows."""
    x = w["token_embd.weight"][ids] + w["position_embd.weight"][:len(ids)]
    x = norm(w, "token_embd_norm", x + w["token_types.weight"][0])
    for i in range(LAYERS):
        layer = f"blk.{i}."
        x = norm(w, layer + "attn_output_norm", x + attend(w, layer, x))
        hidden = gelu(linear(w, layer + "ffn_up", x))
        x = norm(w, layer + "layer_output_norm", x + linear(w, layer + "ffn_down", hidden))
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def embed(service, inputs):
    answer = service.post("/v1/embeddings", {"input": inputs}).json()
    return np.array([item["embedding"] for item in answer["data"]])


@pytest.mark.parametrize("text", TOKENS)
def test_texts_become_the_makers_tokens(minilm, text):
    found = minilm.post("/tokenize", {"text": text, "add_special": True}).json()["tokens"]
    assert found == TOKENS[text]


def test_vectors_are_the_exact_ones(minilm, weights):
    for text, vector in zip(TEXTS, embed(minilm, TEXTS)):
        ids = minilm.post("/tokenize", {"text": text, "add_special": True}).json()["tokens"]
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert float(vector @ exact(weights, ids)) >= 0.9999, text


def test_like_texts_lie_near_each_other(minilm):
    _, food, bread, girl, carts, *_ = embed(minilm, TEXTS)
    assert food @ bread > 0.7 > food @ girl and food @ bread > food @ carts


def test_a_long_text_keeps_its_end_where_it_is_cut(minilm):
    text = "word " * 2000
    assert minilm.post("/v1/embeddings", {"input": text}).status == 400
    answer = minilm.post("/api/embed", {"input": text}).json()
    assert answer["prompt_eval_count"] == 512
