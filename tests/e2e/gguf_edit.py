"""Small changes to a GGUF file: strings added, tensors left out, cut into a split model."""
import struct

STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32


def skip_string(data, at):
    return at + 8 + struct.unpack_from("<Q", data, at)[0]


def skip_value(data, at, kind):
    if kind == STRING:
        return skip_string(data, at)
    if kind != ARRAY:
        return at + SIZES[kind]
    element, n = struct.unpack_from("<IQ", data, at)
    at += 12
    if element != STRING:
        return at + n * SIZES[element]
    for _ in range(n):
        at = skip_string(data, at)
    return at


def layout(data):
    """Where the keys begin and end, where the tensors' list ends, where their data begins."""
    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    at = 24
    for _ in range(n_keys):
        at = skip_string(data, at)
        at = skip_value(data, at + 4, struct.unpack_from("<I", data, at)[0])
    keys_end = at
    for _ in range(n_tensors):
        at = skip_string(data, at)
        n_dims = struct.unpack_from("<I", data, at)[0]
        at += 4 + 8 * n_dims + 4 + 8
    return keys_end, at, -(-at // ALIGNMENT) * ALIGNMENT


def weights_of(data, kind):
    """The first matrix of that GGML type: where its data begins, its name, columns and rows."""
    at, _, data_begin = layout(data)
    while True:
        end = skip_string(data, at)
        name = bytes(data[at + 8:end]).decode()
        n_dims = struct.unpack_from("<I", data, end)[0]
        shape = struct.unpack_from(f"<{n_dims}Q", data, end + 4)
        at = end + 4 + 8 * n_dims
        found, offset = struct.unpack_from("<IQ", data, at)
        at += 12
        if found == kind and n_dims == 2:
            return data_begin + offset, name, shape[0], shape[1]


def encode(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def with_strings(source, out, **strings):
    """A copy with more keys; a dot in a key is written as two underscores."""
    data = source.read_bytes()
    keys_end, list_end, data_begin = layout(data)
    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    added = b"".join(encode(key.replace("__", ".")) + struct.pack("<I", STRING) + encode(text)
                     for key, text in strings.items())
    counts = struct.pack("<QQ", n_tensors, n_keys + len(strings))
    head = data[:8] + counts + data[24:keys_end] + added + data[keys_end:list_end]
    out.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data[data_begin:])
    return out


def with_floats(source, out, tensors):
    """A copy with more F32 tensors: {name: (shape, values)}."""
    data = source.read_bytes()
    _, list_end, data_begin = layout(data)
    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    body = data[data_begin:]
    infos = b""
    for name, (shape, values) in tensors.items():
        body += bytes(-len(body) % ALIGNMENT)
        infos += encode(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        infos += struct.pack("<IQ", 0, len(body))
        body += struct.pack(f"<{len(values)}f", *values)
    body += bytes(-len(body) % ALIGNMENT)
    head = data[:8] + struct.pack("<QQ", n_tensors + len(tensors), n_keys) + data[24:list_end]
    out.write_bytes(head + infos + bytes(-(len(head) + len(infos)) % ALIGNMENT) + body)
    return out


def with_u32(source, out, key, value):
    """A copy in which a key has another value."""
    data = bytearray(source.read_bytes())
    at = data.index(encode(key)) + 8 + len(key)
    struct.pack_into("<II", data, at, 4, value)
    out.write_bytes(data)
    return out


def with_token(source, out, token, text):
    """A copy in which the vocabulary's entry of that id has another text."""
    data = source.read_bytes()
    list_end, data_begin = layout(data)[1:]
    tokens = data.index(encode("tokenizer.ggml.tokens")) + 8 + len("tokenizer.ggml.tokens")
    at = tokens + 16  # the types of array and elements, their number
    for _ in range(token):
        at = skip_string(data, at)
    head = data[:at] + encode(text) + data[skip_string(data, at):list_end]
    out.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data[data_begin:])
    return out


def vocabulary_of(source, out, architecture=None):
    """A copy without tensors; of another architecture, of a name as long as its own."""
    data = source.read_bytes()
    keys_end = layout(data)[0]
    counts = struct.pack("<QQ", 0, struct.unpack_from("<Q", data, 16)[0])
    head = data[:8] + counts + data[24:keys_end]
    if architecture:
        head = head.replace(encode("llama"), encode(architecture), 1)
    out.write_bytes(head)
    return out


def tensors_of(data):
    """Each tensor's description (name, whole, offset's place in it) and its bytes' beginning."""
    at, list_end, data_begin = layout(data)
    found = []
    while at < list_end:
        end = skip_string(data, at)
        end += 4 + 8 * struct.unpack_from("<I", data, end)[0] + 4
        found.append((bytes(data[at:end]), struct.unpack_from("<Q", data, end)[0] + data_begin))
        at = end + 8
    return found


def split(source, folder, name, n_parts, first_empty=False):
    """The file cut as gguf-split does it; returns the parts' paths, the first one first."""
    data = source.read_bytes()
    keys_end = layout(data)[0]
    version, n_tensors, n_keys = struct.unpack_from("<IQQ", data, 4)
    tensors = tensors_of(data)
    begins = sorted(begin for _, begin in tensors) + [len(data)]
    n_holding = n_parts - 1 if first_empty else n_parts
    shares = [tensors[i * len(tensors) // n_holding:(i + 1) * len(tensors) // n_holding]
              for i in range(n_holding)]
    paths = []
    for part, share in enumerate(([[]] if first_empty else []) + shares):
        keys = b"".join([encode("split.no"), struct.pack("<IH", 2, part),
                         encode("split.count"), struct.pack("<IH", 2, n_parts),
                         encode("split.tensors.count"), struct.pack("<Ii", 5, len(tensors))])
        old_keys = data[24:keys_end] if part == 0 else b""
        head = b"GGUF" + struct.pack("<IQQ", version, len(share), 3 + (n_keys if part == 0 else 0))
        head += old_keys + keys
        body = b""
        for description, begin in share:
            head += description + struct.pack("<Q", len(body))
            body += data[begin:begins[begins.index(begin) + 1]]
            body += bytes(-len(body) % ALIGNMENT)
        path = folder / f"{name}-{part + 1:05}-of-{n_parts:05}.gguf"
        path.write_bytes(head + bytes(-len(head) % ALIGNMENT) + body)
        paths.append(path)
    return paths
