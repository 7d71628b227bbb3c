"""What the image adds to its base, in one folder, and the list of everything in the image.

Runs in the image's build stage with what Debian's python3-minimal has, for an image of this or
another architecture: it reads ELF files and dpkg's data, and runs nothing of what it collects.

- the program, and the libraries that it is linked with as far as the base lacks them;
- the certificate authorities that `smallmind pull` checks servers against;
- each package's copyright file, and its entry in /var/lib/dpkg/status.d, where scanners for
  vulnerabilities look in images that were not made by dpkg;
- /usr/share/doc/smallmind/sbom.spdx.json: SPDX 2.3, the base's packages included.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
SOURCE = pathlib.Path(__file__).resolve().parents[1]


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()


def stanzas(text):
    """dpkg's paragraphs, as dictionaries of their one-line fields."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))


class Libraries:
    """The libraries of one architecture in this stage, and which of them the base has."""

    def __init__(self, triplet, base):
        folders = [f"usr/lib/{triplet}", f"lib/{triplet}", "usr/lib", "lib", "usr/lib64", "lib64"]
        self.here = [pathlib.Path("/") / folder for folder in folders]
        self.there = [base / folder for folder in folders]

    def find(self, name):
        for folder in self.here:
            if (folder / name).exists():
                return folder / name
        raise SystemExit(f"image_root.py: there is no {name} for this architecture")

    def in_base(self, name):
        # A link of the base's is not followed: it would lead into this stage.
        return any(os.path.lexists(folder / name) for folder in self.there)

    def missing(self, program):
        """What the program needs, directly or not: (names that the base has, files to add)."""
        known, added, waiting = set(), {}, [program]
        while waiting:
            table = output_of("readelf", "-d", "-W", str(waiting.pop()))
            for name in re.findall(r"\(NEEDED\).*\[(.+)\]", table):
                if self.in_base(name):
                    known.add(name)
                elif name not in added:
                    added[name] = self.find(name)
                    waiting.append(added[name])
        return known, added


def packages_of(files):
    """The packages that files of this stage belong to, as NAME:ARCH."""
    wanted = {os.path.realpath(file) for file in files}
    # dpkg knows a file by the path in its package, before /lib became a link to /usr/lib.
    asked = wanted | {re.sub(r"^/usr/", "/", path) for path in wanted}
    found = subprocess.run(["dpkg", "-S", *sorted(asked)], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL).stdout.decode()
    owners = {os.path.realpath(path): names.split(",")[0]
              for names, path in re.findall(r"^(\S.*): (/.*)$", found, re.MULTILINE)}
    for path in sorted(wanted - set(owners)):
        raise SystemExit(f"image_root.py: {path} belongs to no package")
    return {owners[path] for path in wanted}


def add_file(source, out, path):
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(os.stat(source).st_mode & 0o755)


def add_package(name, out):
    """Its copyright and its entry in status.d. Returns the entry's fields."""
    entry = output_of("dpkg-query", "--status", name)
    fields = next(stanzas(entry))
    short = fields["Package"]
    add_file(f"/usr/share/doc/{short}/copyright", out, f"usr/share/doc/{short}/copyright")
    status = out / "var/lib/dpkg/status.d" / short
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text(entry, encoding="utf-8")
    return fields


def base_packages(base):
    folder = base / "var/lib/dpkg"
    files = [folder / "status", *sorted((folder / "status.d").glob("*"))]
    for file in files:
        if file.is_file() and not file.name.endswith(".md5sums"):
            for fields in stanzas(file.read_text(encoding="utf-8", errors="replace")):
                if "Version" in fields and not fields.get("Status", "").endswith("not-installed"):
                    yield fields


def release_of(base):
    for name in ("etc/os-release", "usr/lib/os-release"):
        file = base / name
        if file.is_file() and not file.is_symlink():
            found = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', file.read_text(), re.MULTILINE))
            return found.get("ID", "debian"), found.get("VERSION_ID", "")
    return "debian", ""


def sha256_of(file):
    return hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()


class Sbom:
    """An SPDX 2.3 document."""

    def __init__(self, version, arch, release, unique):
        moment = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
        self.release = release
        self.packages, self.relationships = {}, []
        self.head = {
            "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"smallmind-{version}-{arch}",
            "documentNamespace": f"https://smallmind.invalid/sbom/{version}-{arch}-{unique}",
            "creationInfo": {
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
                "creators": [f"Tool: smallmind-image_root-{version}"]}}

    def add(self, kind, name, version, license_name="NOASSERTION", **more):
        key = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{kind}-{name}")
        self.packages[key] = {
            "SPDXID": key, "name": name, "versionInfo": version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "licenseConcluded": license_name, "licenseDeclared": license_name,
            "copyrightText": "NOASSERTION", **more}
        return key

    def add_debian(self, fields):
        system, number = self.release
        name, version = fields["Package"], fields["Version"]
        source = re.match(r"(\S+)(?: \((.+)\))?", fields.get("Source", name))
        locator = (f"pkg:deb/{system}/{name.replace('+', '%2B')}"
                   f"@{version.replace('+', '%2B').replace(':', '%3A')}"
                   f"?arch={fields.get('Architecture', 'all')}"
                   + (f"&distro={system}-{number}" if number else ""))
        return self.add(
            "deb", name, version,
            supplier=f"Organization: {system.capitalize()}",
            sourceInfo=f"built from {source[1]} {source[2] or version}",
            externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                           "referenceLocator": locator}])

    def relate(self, one, kind, other):
        relation = {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
        if relation not in self.relationships:
            self.relationships.append(relation)

    def text(self):
        return json.dumps({**self.head, "packages": list(self.packages.values()),
                           "relationships": self.relationships}, indent=1) + "\n"


def write_sbom(args, version, program, packages, added, needed):
    """packages: fields of the base's; added: of those that came; needed: names to depend on."""
    sbom = Sbom(version, args.arch, release_of(args.base), sha256_of(program)[:16])
    image = sbom.add("image", "smallmind-image", version, primaryPackagePurpose="CONTAINER")
    sbom.relate("SPDXRef-DOCUMENT", "DESCRIBES", image)
    own = sbom.add("program", "smallmind", version, "MIT", primaryPackagePurpose="APPLICATION",
                   checksums=[{"algorithm": "SHA256", "checksumValue": sha256_of(program)}])
    file = SOURCE / "models" / "smallmind-tiny.gguf"
    model = sbom.add("model", "smallmind-tiny", version, "MIT",
                     checksums=[{"algorithm": "SHA256", "checksumValue": sha256_of(file)}])
    sbom.relate(image, "CONTAINS", own)
    sbom.relate(own, "CONTAINS", model)
    for fields in [*packages, *added]:
        key = sbom.add_debian(fields)
        sbom.relate(image, "CONTAINS", key)
        if fields["Package"] in needed:
            sbom.relate(own, "DEPENDS_ON", key)
    target = args.out / "usr/share/doc/smallmind/sbom.spdx.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(sbom.text(), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", default="")
    for name in ("install", "base", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.arch = args.arch or output_of("dpkg", "--print-architecture").strip()
    triplet = TRIPLETS[args.arch]

    program = args.install / "usr/local/bin/smallmind"
    add_file(program, args.out, "usr/local/bin/smallmind")
    add_file(SOURCE / "LICENSE", args.out, "usr/share/doc/smallmind/copyright")
    libraries = Libraries(triplet, args.base)
    known, files = libraries.missing(program)
    for name, file in files.items():
        real = pathlib.Path(os.path.realpath(file))
        add_file(real, args.out, f"usr/lib/{triplet}/{real.name}")
        if real.name != name:
            (args.out / f"usr/lib/{triplet}" / name).symlink_to(real.name)
    there = list(base_packages(args.base))
    came = packages_of(files.values())
    if not (args.base / CERTIFICATES).exists():
        add_file(f"/{CERTIFICATES}", args.out, CERTIFICATES)
        came.add("ca-certificates")
    added = [add_package(name, args.out) for name in sorted(came)]
    needed = packages_of([*files.values(), *map(libraries.find, known)])
    needed = {name.split(":")[0] for name in needed}
    version = re.search(r"^project\(smallmind VERSION (\S+)",
                        (SOURCE / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
    write_sbom(args, version, args.out / "usr/local/bin/smallmind", there, added, needed)
    print(f"image_root.py: {len(files)} libraries of {len(added)} packages added, "
          f"{len(known)} are the base's")


if __name__ == "__main__":
    main()
