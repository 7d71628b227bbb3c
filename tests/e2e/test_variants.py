"""Models of every family in many shapes: the program's numbers against a plain forward pass in
double precision (tests/tools/arch_reference.py), and the same bytes in other ways to compute them.
"""
import json
import math
import subprocess
import sys

import models
import pytest
from service import BINARY, ROOT

np = pytest.importorskip("numpy")
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import arch_reference  # noqa: E402
import arch_variants  # noqa: E402

PROGRAM = BINARY.parent / "token_logits"
N_TOKENS = 44
SERVED = 4096  # positions, by default


WAYS = (("1", "2", "0"), ("7", "2", "1"))  # tokens of a step, threads, reference kernels


def ours(path, ids, width, way=()):
    done = subprocess.run(
        [PROGRAM, path, "0", *way], input=" ".join(map(str, ids)).encode(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, "<f4").astype(np.float64).reshape(len(ids), width)


def distance(net, got, ids):
    """At each token, the largest difference: of log-probabilities, or of a vector's components in
    parts of their usual size."""
    if net.arch in arch_reference.ENCODERS:
        wanted = net.hidden(ids)
        size = np.linalg.norm(wanted, axis=1) / math.sqrt(net.d)
        return abs(got - wanted).max(1) / size
    wanted = arch_reference.log_softmax(net.logits(ids))
    return abs(arch_reference.log_softmax(got) - wanted).max(1)


@pytest.mark.parametrize("variant", arch_variants.VARIANTS, ids=lambda v: v[0].replace(" ", "-"))
def test_a_variant_is_right(tmp_path, variant):
    name, arch, options = variant
    keys, tensors = arch_variants.draft(name, arch, **options)
    path = tmp_path / "model.gguf"
    arch_variants.write(path, keys, tensors)
    served = min(SERVED, keys[f"{arch}.context_length"])
    net = arch_reference.Net(arch_variants.plain(keys), tensors, served)
    n_vocab = len(tensors["token_embd.weight"])
    ids = [int(i) for i in np.random.default_rng(7).integers(4, n_vocab, N_TOKENS)]
    width = net.d if arch in arch_reference.ENCODERS else n_vocab
    got = ours(path, ids, width)
    for way in WAYS:
        assert ours(path, ids, width, way).tobytes() == got.tobytes(), f"{name}: {way}"
    away = distance(net, got, ids)
    assert away.max() < 1e-3, f"{name}: {away.max():.4g} at token {int(away.argmax())}"


def shared_models():
    """(name, what another engine gave) of the families that the reference knows, in F32."""
    folder = models.SHARED / "fixtures" / "architectures"
    if not (folder / "reference.json").is_file():
        return [], {}
    answers = json.loads((folder / "reference.json").read_text())
    known = [
        name
        for name in answers["models"]
        if name.endswith(".f32.gguf") and name.split(".")[0] in arch_reference.FAMILIES
    ]
    return known, answers


@pytest.mark.parametrize("name", shared_models()[0] or ["none"])
def test_the_reference_agrees_with_another_engine(name):
    """GELU of the other is rounded to 16 bits; where there is none it is nearer."""
    known, answers = shared_models()
    if not known:
        pytest.skip(f"there are no models in {models.SHARED}/fixtures/architectures")
    net = arch_variants.read_f32(models.fixture(f"architectures/{name}"), 256)
    told, prompt = answers["models"][name], answers["prompt_tokens"]
    if "embedding" in told:
        for n, key in ((len(prompt), "embedding"), (23, "embedding_of_23")):
            hidden, wanted = net.hidden(prompt[:n]), np.array(told[key])
            got = hidden.mean(0) if net.get("pooling_type") == 1 else hidden[0]
            assert abs(got - wanted).max() < 0.02 * np.linalg.norm(wanted) / math.sqrt(net.d)
        return
    ids = prompt + [step["id"] for step in told["steps"]]
    got = arch_reference.log_softmax(net.logits(ids))
    wanted = {int(at): top for at, top in told["prompt_positions"].items()}
    wanted |= {len(prompt) - 1 + i: step["top"] for i, step in enumerate(told["steps"])}
    away = max(abs(got[at, i] - p) for at, top in wanted.items() for i, p in top)
    assert away < (0.02 if "gelu" in net.family.act else 1e-4)
