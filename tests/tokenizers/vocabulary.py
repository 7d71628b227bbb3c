"""Vocabularies as GGUF files: the keys of one read into Python, and written out again."""
import struct

U8, I32, F32, BOOL, STRING, ARRAY, U32 = 0, 5, 6, 7, 8, 9, 4
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
           12: "d"}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt):
        values = struct.unpack_from("<" + fmt, self.data, self.at)
        self.at += struct.calcsize("<" + fmt)
        return values

    def string(self):
        n = self.take("Q")[0]
        self.at += n
        return bytes(self.data[self.at - n:self.at])

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.take(FORMATS[kind])[0]
        element, n = self.take("IQ")
        if element == STRING:
            return [self.string() for _ in range(n)]
        return list(self.take(f"{n}{FORMATS[element]}"))


def read(path):
    """The tokenizer's keys, without their prefix; texts are bytes."""
    reader = Reader(path.read_bytes())
    _, _, _, n_keys = reader.take("IIQQ")
    keys = {}
    for _ in range(n_keys):
        name = reader.string().decode()
        kind = reader.take("I")[0]
        keys[name] = reader.value(kind)
    prefix = "tokenizer.ggml."
    return {name[len(prefix):]: value for name, value in keys.items() if name.startswith(prefix)}


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def string(text):
    return struct.pack("<Q", len(as_bytes(text))) + as_bytes(text)


def encode(name, value):
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, (str, bytes)):
        return struct.pack("<I", STRING) + string(value)
    if name == "precompiled_charsmap":
        return struct.pack("<IIQ", ARRAY, U8, len(value)) + bytes(value)
    if name == "scores":
        return struct.pack(f"<IIQ{len(value)}f", ARRAY, F32, len(value), *value)
    if name == "token_type":
        return struct.pack(f"<IIQ{len(value)}i", ARRAY, I32, len(value), *value)
    return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(string, value))


def write(path, keys):
    """A file that holds a vocabulary and nothing else."""
    body = string("general.architecture") + struct.pack("<I", STRING) + string("llama")
    for name, value in keys.items():
        body += string("tokenizer.ggml." + name) + encode(name, value)
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(keys) + 1) + body)
