"""A federation on real machines: keys, the commands of Flower, and the app that it carries. TLS and node keys always."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from limbeck.recipe.errors import in_field
from limbeck.recipe.federation import Federation
from limbeck.utils.registry import UnknownNameError

CA, CERTIFICATE, KEY = "ca.pem", "server.pem", "server.key"
DAYS = 365
THIS_MACHINE = ("localhost", "127.0.0.1")
CONNECTION = "limbeck"  # of the server, in Flower's configuration
PORT = 9092  # of the link

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "limbeck-federation"
version = "1.0.0"
description = "Federated distillation"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "limbeck"

[tool.flwr.app.components]
serverapp = "federation:server_app"
clientapp = "federation:clients_app"

[tool.flwr.app.config]
{settings}
"""
MODULE = '''"""What Flower starts: the apps of the installed Limbeck."""

from limbeck.integrations.flower import app

server_app = app.server_app
clients_app = app.clients_app
'''


def make_keys(folder: Path, clients: int, hosts: Sequence[str] = ()) -> list[Path]:
    """Makes a certificate authority, the server's certificate, and a key pair for each client; existing files stay.

    Args:
        folder: private keys in it are readable by their owner only.
        hosts: names and addresses by which clients reach the server; none: this machine alone, or those of the certificate
            that is there.

    Returns:
        the private keys of the clients, `client-1`, `client-2`, …; the public ones end in `.pub`.

    Raises:
        ValueError: the certificate that is there does not hold for one of the hosts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_hosts(folder / CERTIFICATE, hosts)
    hosts = hosts or THIS_MACHINE
    if not (folder / CERTIFICATE).exists():
        authority, authority_name = _new_key(), _named("Limbeck federation")
        root = _certificate(authority_name, authority_name, authority.public_key(), authority, authority=True)
        key = _new_key()
        own = _certificate(_named(hosts[0]), authority_name, key.public_key(), authority, hosts=hosts)
        _write(folder / CA, root.public_bytes(serialization.Encoding.PEM))
        _write(folder / CERTIFICATE, own.public_bytes(serialization.Encoding.PEM))
        _write(folder / KEY, _private(key, serialization.PrivateFormat.TraditionalOpenSSL), private=True)
    found = []
    for number in range(1, clients + 1):
        path = folder / f"client-{number}"
        found.append(path)
        if not path.exists():
            key = _new_key()
            public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
            _write(path.with_suffix(".pub"), public + b"\n")
            _write(path, _private(key, serialization.PrivateFormat.OpenSSH), private=True)
    return found


def _check_hosts(certificate: Path, hosts: Sequence[str]) -> None:
    """Raises `ValueError` if a certificate that is there was made for other hosts; a new one would end the old federation."""
    if not certificate.exists():
        return
    names = _read_certificate("keys", certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    if missing := [host for host in hosts if host not in known]:
        raise ValueError(
            f"--host: {certificate} was made for {', '.join(known)}, and not for {missing[0]}; make keys with all hosts in a "
            "new folder, and give clients its ca.pem"
        )


def _read_certificate(field: str, path: Path) -> x509.Certificate:
    """Reads a certificate; raises `ValueError` for a file that is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (ValueError, IsADirectoryError) as error:
        raise ValueError(f"{field}: {path} is no certificate in PEM form; take ca.pem of limbeck federate keys") from error


def check_connection(superlink: str, ca: Path, key: Path | None = None) -> None:
    """Checks what a connection to a link needs, before anything is started.

    Raises:
        FileNotFoundError: a file is missing; a certificate is always needed, and of clients a key.
        ValueError: an address without a port; a file that is no certificate or no private key.
    """
    found = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/]+):(\d{1,5})", superlink)
    if found is None or not 0 < int(found[2]) < 2**16:
        raise ValueError(f"--superlink is {superlink!r}; expected HOST:PORT, such as localhost:9092")
    require_file("--ca", ca, "the server's operator has it; without it the connection would not be encrypted")
    _read_certificate("--ca", ca)
    if key is None:
        return
    require_file("--key", key, "limbeck federate keys makes it; its public half must be registered at the server")
    try:
        serialization.load_ssh_private_key(key.read_bytes(), None)
    except (ValueError, TypeError, IsADirectoryError) as error:
        raise ValueError(f"--key: {key} is no private key of limbeck federate keys (client-1, without .pub)") from error


def check_client(recipe: Federation, data: Path, group: str | None) -> None:
    """Raises `ValueError` for a group that the recipe does not have, and for items that cannot be read as it says."""
    if group is not None and group not in recipe.architectures:
        raise UnknownNameError("--group", group, list(recipe.architectures))
    with in_field("--data"):
        recipe.client_items(data)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
    hosts: Sequence[str] = (),
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
    return builder.sign(signer, hashes.SHA384())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def _write(path: Path, content: bytes, *, private: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


# --- commands of Flower --------------------------------------------------------------------------------------------------


def flower_command(name: str) -> list[str]:
    """The path of one of Flower's programs beside this Python."""
    return [str(Path(sys.executable).parent / name)]


def flower_environment(home: Path | None = None) -> dict[str, str]:
    """The environment of Flower's programs, which start each other by name.

    Args:
        home: where Flower keeps its configuration and the apps that it was sent; None: where it always does.
    """
    found = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
    return found if home is None else {**found, "FLWR_HOME": str(home.resolve())}


def superlink_command(keys: Path, host: str = "127.0.0.1", port: int = PORT) -> list[str]:
    """The command of the server's link, which clients and whoever starts a run connect to.

    Raises:
        FileNotFoundError: the folder holds no certificate of a server.
    """
    for name in (CA, CERTIFICATE, KEY):
        require_file("keys", keys / name, "limbeck federate keys FOLDER makes it")
    certificates = ["--ssl-ca-certfile", keys / CA, "--ssl-certfile", keys / CERTIFICATE, "--ssl-keyfile", keys / KEY]
    addresses = ["--host", host, "--port", port]
    options = [*certificates, *addresses, "--enable-supernode-auth", "--disable-runtime-dependency-installation"]
    return [*flower_command("flower-superlink"), *map(str, options)]


def supernode_command(
    superlink: str, recipe: Path, data: Path, ca: Path, key: Path, *, group: str | None = None, port: int = 9094
) -> list[str]:
    """The command of a client's node, which connects to the link and starts the client's app for each message.

    Raises:
        FileNotFoundError: one of the files is missing; a certificate and a key are always needed.
        ValueError: see `check_connection`.
    """
    check_connection(superlink, ca, key)
    require_file("recipe", recipe, "give the server's recipe")
    require_file("--data", data, "give the file with this client's own items")
    settings = {"recipe": str(recipe.resolve()), "data": str(data.resolve()), **({} if group is None else {"group": group})}
    shown = " ".join(f"{name}={json.dumps(value)}" for name, value in settings.items())
    options = ["--superlink", superlink, "--root-certificates", ca, "--auth-supernode-private-key", key]
    return [*flower_command("flower-supernode"), *map(str, [*options, "--port", port]), "--node-config", shown]


def require_file(field: str, path: Path, remedy: str) -> None:
    """Raises `FileNotFoundError` with the remedy if a file is missing."""
    if not path.exists():
        raise FileNotFoundError(f"{field}: there is no {path}; {remedy}")


def write_connection(home: Path, superlink: str, ca: Path) -> None:
    """Tells Flower, whose home directory this is, how the server is reached: by TLS, with this authority."""
    check_connection(superlink, ca)
    home.mkdir(parents=True, exist_ok=True)
    address, authority = json.dumps(superlink), json.dumps(str(ca.resolve()))
    lines = ["[superlink]", f'default = "{CONNECTION}"', "", f"[superlink.{CONNECTION}]"]
    text = "\n".join([*lines, f"address = {address}", f"root-certificates = {authority}", ""])
    (home / "config.toml").write_text(text, encoding="utf-8")


def write_app(folder: Path, settings: Mapping[str, str | int | bool]) -> Path:
    """Writes the app that Flower carries to server and clients; it holds no code but an import of Limbeck."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    (folder / "pyproject.toml").write_text(PROJECT.format(settings=lines), encoding="utf-8")
    (folder / "federation.py").write_text(MODULE, encoding="utf-8")
    return folder


def run_command(app: Path) -> list[str]:
    """The command that starts the run on the server and shows its log."""
    return [*flower_command("flwr"), "run", str(app), CONNECTION, "--stream"]


def register_command(public_key: Path) -> list[str]:
    """The command that admits a client by its public key."""
    return [*flower_command("flwr"), "supernode", "register", str(public_key), CONNECTION]
