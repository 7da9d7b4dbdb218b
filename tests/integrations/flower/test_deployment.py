"""A federation on real processes: keys, commands, and (slow) a link and three nodes on this machine."""

from __future__ import annotations

import os
import signal
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("flwr")

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from limbeck.evaluation import Verdict
from limbeck.integrations.flower import deployment as flower
from limbeck.integrations.flower.link import admit, start, stop, take_part
from limbeck.recipe import Federation
from tests.cli.conftest import limbeck  # noqa: F401

LINK, NODES = 21092, 21100
LIMBECK = [sys.executable, "-m", "limbeck.cli", "federate"]


def rows(count: int, seed: int) -> pa.Table:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    columns = {f"x{number}": inputs[:, number].numpy() for number in range(4)}
    return pa.table({**columns, "label": (inputs[:, 0] + inputs[:, 1] > 0).long().numpy()})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a recipe for three clients, their data in folders of their own, and keys."""
    for number in (1, 2, 3):
        (tmp_path / f"client-{number}").mkdir()
        pq.write_table(rows(60, number), tmp_path / f"client-{number}" / "train.parquet")
    for name, seed in (("test", 9), ("validation", 8), ("public", 7)):
        pq.write_table(rows(80, seed), tmp_path / f"{name}.parquet")
    named = {name: {"path": str(tmp_path / f"{name}.parquet"), "label": "label"} for name in ("test", "validation", "public")}
    recipe = {
        "name": "three",
        "data": {"train": named["public"], "test": named["test"], "validation": named["validation"]},
        "student": {"model": "mlp", "args": {"hidden": [8]}},
        "federated": {
            "method": {"feddf": {"steps": 10}}, "public": named["public"], "clients": 3, "rounds": 2, "classes": 2,
            "timeout": 240.0,
        },
        "control": False,
        "training": {"epochs": 2, "batch_size": 16, "device": "cpu", "threads": 1,
            "optimizer": {"name": "sgd", "lr": 0.1, "schedule": 1.0}},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    flower.make_keys(tmp_path / "keys", 3)
    return tmp_path


def running() -> str:
    """The command lines of all processes."""
    return subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout


def node(place: Path, number: int, key: Path | None = None) -> list[str]:
    data = place / f"client-{number}" / "train.parquet"
    keys = place / "keys"
    return flower.supernode_command(
        f"127.0.0.1:{LINK}",
        place / "recipe.yaml",
        data,
        keys / flower.CA,
        key or keys / f"client-{number}",
        port=NODES + number,
    )


def test_keys_are_private_and_the_certificate_is_that_of_the_server(place: Path) -> None:
    keys = place / "keys"
    for name in (flower.KEY, "client-1", "client-3"):
        assert stat.S_IMODE((keys / name).stat().st_mode) == 0o600
    assert (keys / "client-2.pub").read_text().startswith("ecdsa-sha2-nistp384 ")
    assert (keys / "client-1").read_bytes() != (keys / "client-2").read_bytes()
    context = ssl.create_default_context(cafile=str(keys / flower.CA))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(keys / flower.CERTIFICATE, keys / flower.KEY)
    assert len(context.get_ca_certs()) == 1
    before = (keys / flower.CERTIFICATE).read_bytes()
    assert [path.name for path in flower.make_keys(keys, 4)] == ["client-1", "client-2", "client-3", "client-4"]
    assert (keys / flower.CERTIFICATE).read_bytes() == before


def test_no_command_goes_without_tls_and_keys(place: Path) -> None:
    link = flower.superlink_command(place / "keys")
    assert {"--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certfile", "--enable-supernode-auth"} <= set(link)
    assert {"--root-certificates", "--auth-supernode-private-key"} <= set(node(place, 1))
    for command in (link, node(place, 1)):
        assert "--insecure" not in command
    with pytest.raises(FileNotFoundError, match=r"keys: there is no .*ca.pem; limbeck federate keys FOLDER makes it"):
        flower.superlink_command(place)
    with pytest.raises(FileNotFoundError, match=r"key: there is no .*nobody; .* its public half must be registered"):
        node(place, 1, place / "keys" / "nobody")
    with pytest.raises(FileNotFoundError, match=r"ca: there is no .*; without it the connection would not be encrypted"):
        flower.write_connection(place / "home", "127.0.0.1:1", place / "gone.pem")


def test_what_is_no_certificate_no_key_and_no_address_is_named_before_anything_starts(place: Path) -> None:
    keys = place / "keys"
    with pytest.raises(ValueError, match=r"--ca: .*recipe.yaml is no certificate in PEM form; take ca.pem"):
        flower.write_connection(place / "home", "127.0.0.1:1", place / "recipe.yaml")
    for address in ("localhost", "localhost:", "http://localhost:1", "a b:1", ""):
        with pytest.raises(ValueError, match=r"--superlink is .*; expected HOST:PORT"):
            flower.write_connection(place / "home", address, keys / "ca.pem")
    flower.check_connection("[::1]:9092", keys / "ca.pem", keys / "client-1")
    with pytest.raises(ValueError, match=r"--key: .*client-1.pub is no private key .*without .pub"):
        node(place, 1, keys / "client-1.pub")


def test_a_port_that_there_is_not(place: Path) -> None:
    for port in (0, 70_000):
        with pytest.raises(ValueError, match=f"--superlink is 'localhost:{port}'; expected HOST:PORT"):
            flower.check_connection(f"localhost:{port}", place / "keys" / "ca.pem")


def written(place: Path, name: str, table: pa.Table) -> Path:
    pq.write_table(table, place / f"{name}.parquet")
    return place / f"{name}.parquet"


def test_a_client_is_told_what_is_wrong_with_its_group_and_its_items_before_it_takes_part(place: Path) -> None:
    recipe, own = Federation.read(place / "recipe.yaml"), rows(60, 1)
    flower.check_client(recipe, place / "client-1" / "train.parquet", "student")
    with pytest.raises(ValueError, match=r"unknown --group 'smal'.*student"):
        flower.check_client(recipe, place / "client-1" / "train.parquet", "smal")
    for name, table, message in (
        ("columns", own.drop_columns(["x2"]), "has no column 'x2'"),
        (
            "kinds",
            own.set_column(2, "x2", pa.array(["none"] * 60)),
            "'x2'",
        ),
        ("labels", own.drop_columns(["label"]), "set `label` to one of them"),
        ("none", own.slice(0, 0), "empty"),
    ):
        with pytest.raises(ValueError, match=f"--data.*{message}"):
            flower.check_client(recipe, written(place, name, table), None)


def test_messages_say_which_data_lacks_values(place: Path) -> None:
    full = rows(80, 9)
    gaps = full.set_column(1, "x1", pa.array([None, *full["x1"].to_pylist()[1:]]))
    test = written(place, "gaps", gaps)
    recipe = Federation.read(place / "recipe.yaml", [f"data.test.path={test}"])
    with pytest.warns(UserWarning, match=r"^data\.test: column 'x1': 1 values are missing"):
        recipe.server_items()


def test_classes_that_are_names_are_those_of_all_clients_or_refused(place: Path) -> None:
    """A client with one class would call it number 0, which is another class for the server."""
    sick = rows(60, 1).filter(pc.equal(rows(60, 1)["label"], 1))
    named = sick.set_column(sick.column_names.index("label"), "label", pa.array(["sick"] * len(sick)))
    data = written(place, "own", named)
    public = written(place, "unlabelled", rows(80, 7).drop_columns(["label"]))
    recipe = Federation.read(place / "recipe.yaml", [f"federated.public={{path: {public}, label: false}}"])
    with pytest.raises(ValueError, match=r"its classes are names \(sick\), and federated.classes is 2: .* classes.json"):
        recipe.client_items(data)
    (place / "classes.json").write_text('["healthy", "sick"]')
    train, _ = recipe.client_items(data)
    assert isinstance(train.target, torch.Tensor)
    assert (train.classes, set(train.target.tolist())) == (2, {1})


def test_keys_for_another_host_are_refused_and_further_clients_are_not(tmp_path: Path) -> None:
    flower.make_keys(tmp_path, 1, ["one.example", "10.0.0.7"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"--host: .* was made for one.example, 10.0.0.7, and not for two.example"):
        flower.make_keys(tmp_path, 2, ["one.example", "two.example"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(flower.make_keys(tmp_path, 2)) == 2
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_the_app_that_travels_holds_no_path_of_a_client_and_no_code(place: Path) -> None:
    app = flower.write_app(place / "app", {"recipe": "/server/recipe.yaml", "out": "/server/run", "clients": 3})
    written = "".join(path.read_text() for path in app.iterdir())
    assert "client-1" not in written
    assert sorted(path.name for path in app.iterdir()) == ["federation.py", "pyproject.toml"]
    assert (app / "federation.py").read_text().count("import") == 1


def test_clients_and_server_read_their_own_files_alike(place: Path) -> None:
    recipe = Federation.read(place / "recipe.yaml")
    server = recipe.server_items()
    train, public = recipe.client_items(place / "client-2" / "train.parquet")
    assert not server.clients
    assert public is not None
    assert server.public is not None
    assert public.fingerprint() == server.public.fingerprint()
    assert (public.target == -100).all()
    assert len(train) == 60
    assert train.classes == server.test.classes == 2


def test_the_command_line_refuses_what_is_not_encrypted(limbeck, place: Path) -> None:  # noqa: F811
    code, _, error = limbeck("federate", place / "recipe.yaml", "--superlink", "127.0.0.1:1", "--out", place / "run")
    assert code == 2
    assert "--ca: give the certificate of the link's authority; a federation runs over TLS" in error
    arguments = ("--data", place / "client-1/train.parquet", "--superlink", "127.0.0.1:1", "--ca", place / "keys/ca.pem")
    code, _, error = limbeck("federate", "client", place / "recipe.yaml", *arguments, "--key", place / "none")
    assert code == 2
    assert "key: there is no" in error
    code, out, _ = limbeck("federate", "keys", place / "more", "--clients", 2)
    assert code == 0
    assert "client-2: for this client alone" in out.replace("\n", "")


@pytest.mark.slow
@pytest.mark.skipif("LIMBECK_DEPLOYMENT" not in os.environ, reason="takes minutes; set LIMBECK_DEPLOYMENT=1")
def test_three_processes_with_tls_and_keys_learn_together(place: Path) -> None:
    keys, home = place / "keys", place / "home"
    flower.write_connection(home, f"127.0.0.1:{LINK}", keys / flower.CA)
    link = start(flower.superlink_command(keys, port=LINK), home, place / "link.log")
    started = [link]
    try:
        for number in (1, 2, 3):
            assert admit(keys / f"client-{number}.pub", home, link) == "registered"
        stranger = flower.make_keys(place / "others", 1)[0]
        started += [start(node(place, number), place / f"home-{number}", place / f"node-{number}.log") for number in (1, 2, 3)]
        options = {"--data": place / "client-1" / "train.parquet", "--superlink": f"127.0.0.1:{LINK}", "--ca": keys / flower.CA}
        options |= {"--key": stranger, "--port": NODES + 9}
        arguments = [str(part) for option in options.items() for part in option]
        turned_away = [*LIMBECK, "client", str(place / "recipe.yaml"), *arguments]
        refused = subprocess.run(turned_away, capture_output=True, text=True, timeout=120)
        assert refused.returncode == 2
        assert "the link turned it away" in refused.stderr
        assert "Is client-1.pub among the public keys with which the server was started?" in refused.stderr
        command = [*LIMBECK, place / "recipe.yaml", "--superlink", f"127.0.0.1:{LINK}"]
        done = subprocess.run([*map(str, command), "--ca", str(keys / flower.CA), "--out", str(place / "run")],
            capture_output=True, text=True, timeout=400)  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    finally:
        for process in reversed(started):
            stop(process)
    verdict = Verdict.load(place / "run")
    assert verdict.federation is not None
    assert [(each.asked, each.used, each.left_out) for each in verdict.federation.rounds] == [(3, 3, {}), (3, 3, {})]
    assert verdict.student.metric > 0.8
    logs = "".join(path.read_text(errors="replace") for path in place.glob("*.log"))
    assert "train.parquet" not in logs  # no path of data is logged
    until = time.monotonic() + 30  # Flower's own children end when they miss their parent
    while str(place) in running() and time.monotonic() < until:
        time.sleep(1)
    assert str(place) not in running()


def test_what_ends_a_client_ends_all_that_it_has_started(place: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from limbeck.integrations.flower.link import take_part; "
        "take_part(['sh', '-c', 'sleep 321 & echo ready; sleep 321'], Path(sys.argv[1]), Path('client-1.pub'))"
    )
    for sign in (signal.SIGTERM, signal.SIGINT):
        client = subprocess.Popen([sys.executable, "-c", program, str(place / "home")], stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        time.sleep(0.2)
        client.send_signal(sign)
        assert client.wait(20) == 0
    assert "sleep 321" not in running()


def test_a_client_that_the_link_turns_away_is_told_why(place: Path) -> None:
    program = ["sh", "-c", "exit 45"]
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)}
    with pytest.raises(RuntimeError, match=r"exit code 45\): the link turned it away, .* Is client-1.pub among"):
        take_part(program, place / "home", Path("client-1.pub"))
    for sign, handler in before.items():
        signal.signal(sign, handler)
