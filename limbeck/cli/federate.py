"""`limbeck federate`: clients that keep their data, and a server that makes one model of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from limbeck.cli.shared import (
    INTERRUPTED,
    TARGETS_MISSED,
    JsonOption,
    PluginOption,
    RecipeArgument,
    SetOption,
    console,
    error_console,
    load_plugins,
    print_verdict,
)

RUN = "run"


class RunByDefault(TyperGroup):
    """`limbeck federate RECIPE` is short for `limbeck federate run RECIPE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


federate = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Train with clients that keep their data: limbeck federate RECIPE simulates them, or asks real ones.",
)


@federate.command(RUN)
def run(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/NAME when omitted.")] = None,
    simulate: Annotated[int | None, typer.Option(help="Simulate this many clients; the recipe's number when omitted.")] = None,
    change: SetOption = None,
    superlink: Annotated[str | None, typer.Option(help="Ask real clients by this link of a server, HOST:PORT.")] = None,
    ca: Annotated[Path | None, typer.Option(help="The certificate of the link's authority; needed with --superlink.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the server was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over in a directory that holds a run.")] = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the rounds of a recipe and of its control, FedAvg, and evaluate both.

    Exits with 0 when the recipe's targets are met, and with 3 when they are not.
    """
    from limbeck.recipe import Federation, find_recipe
    from limbeck.utils.folder_names import child_folder

    load_plugins(plugin)
    if simulate is not None and superlink is not None:
        raise ValueError("--simulate and --superlink: clients are simulated here, or asked by a link; give one of the two")
    overrides = [*(change or []), *([] if simulate is None else [f"federated.clients={simulate}"])]
    job = Federation.read(find_recipe(recipe), overrides)
    _require_flower()
    folder = out or child_folder(Path("runs"), job.name, "name")
    listener = None if as_json else console
    try:
        if superlink is None:
            verdict = _run(job, folder, resume=resume, force=force, console=listener)
        else:
            verdict = _run_deployed(job, folder, superlink, ca, resume=resume, force=force)
    except KeyboardInterrupt as stop:
        _print_resume_command(folder)
        raise typer.Exit(INTERRUPTED) from stop
    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        print_verdict(verdict, folder)
    raise typer.Exit(0 if verdict.met else TARGETS_MISSED)


@federate.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="Where the files go; private ones are readable by their owner only.")],
    clients: Annotated[int, typer.Option(min=1, help="How many clients get a key pair.")] = 3,
    host: Annotated[list[str] | None, typer.Option(help="A name or address by which clients reach the server.")] = None,
) -> None:
    """Make a certificate authority, the server's certificate, and a key pair for each client."""
    _require_flower()
    from limbeck.integrations.flower.deployment import CA, make_keys

    made = make_keys(folder, clients, host or ())
    console.print(f"{folder / CA}: for every client, and for who starts a run", markup=False, soft_wrap=True)
    for path in made:
        console.print(f"{path}: for this client alone; {path.name}.pub stays with the server", markup=False, soft_wrap=True)


@federate.command()
def server(
    folder: Annotated[Path, typer.Argument(help="The folder of `limbeck federate keys`.")],
    host: Annotated[str, typer.Option(help="The address that the link listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that it listens on.")] = 9092,
    home: Annotated[Path | None, typer.Option(help="Where Flower keeps its files; FOLDER/flower when omitted.")] = None,
) -> None:
    """Start the server's link, with TLS, and admit the clients whose public keys are in FOLDER. It runs until Ctrl-C."""
    _require_flower()
    from limbeck.integrations.flower.link import serve_link

    raise typer.Exit(serve_link(folder, host, port, home or folder / "flower", console))


@federate.command()
def client(
    recipe: RecipeArgument,
    data: Annotated[Path, typer.Option(help="The file with this client's own items.")],
    superlink: Annotated[str, typer.Option(help="The link of the server, HOST:PORT.")],
    ca: Annotated[Path, typer.Option(help="The certificate of the link's authority.")],
    key: Annotated[Path, typer.Option(help="The private key of this client.")],
    group: Annotated[str | None, typer.Option(help="Which of the recipe's groups; they take turns when omitted.")] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="A free port of this machine, on which the node's processes talk.")
    ] = 9094,
    home: Annotated[Path | None, typer.Option(help="Where Flower keeps its files; beside the key when omitted.")] = None,
) -> None:
    """Take part in a federation with data of this machine. It runs until Ctrl-C."""
    from limbeck.recipe import Federation, find_recipe

    _require_flower()
    from limbeck.integrations.flower.deployment import check_client, supernode_command
    from limbeck.integrations.flower.link import take_part

    path = find_recipe(recipe)
    command = supernode_command(superlink, path, data, ca, key, group=group, port=port)
    check_client(Federation.read(path), data, group)  # tells what is wrong before anything is started
    take_part(command, home or key.with_name(f"{key.name}.flower"), key.with_suffix(".pub"))


def _require_flower() -> None:
    """Raises an error with the command that installs Flower, if it is missing."""
    from importlib.util import find_spec

    from limbeck.utils.optional_packages import MissingPackageError

    if find_spec("flwr") is None:
        raise MissingPackageError('limbeck federate needs the package flwr; install it: pip install "limbeck[federated]"')


def _run(job: Any, folder: Path, **options: Any) -> Any:
    from limbeck.integrations.flower.run import run_federation

    return run_federation(job, folder, **options)


def _run_deployed(job: Any, folder: Path, superlink: str, ca: Path | None, *, resume: bool, force: bool) -> Any:
    """Starts the run at the server's link, shows its log, and reads the verdict that it wrote."""
    import subprocess
    import tempfile

    from limbeck.evaluation import Verdict
    from limbeck.integrations.flower.deployment import flower_environment, run_command, write_app, write_connection
    from limbeck.runs.resume import check_folder

    if ca is None:
        raise ValueError("--ca: give the certificate of the link's authority; a federation runs over TLS outside a simulation")
    check_folder(job, folder, resume=resume, force=force)
    with tempfile.TemporaryDirectory() as place:
        home, app = Path(place) / "home", Path(place) / "app"
        write_connection(home, superlink, ca)
        described = folder.with_name(f"{folder.name}.recipe.yaml").resolve()
        described.parent.mkdir(parents=True, exist_ok=True)
        job.write(described)
        settings = {"recipe": str(described), "out": str(folder.resolve()), "clients": job.federated.clients}
        write_app(app, {**settings, "resume": resume, "force": force})
        code = subprocess.call(run_command(app), env=flower_environment(home))
    if code != 0 or not (folder / "verdict.json").exists():
        raise RuntimeError(f"the run at {superlink} did not finish; its log is above and in that of the server")
    return Verdict.load(folder)


def _print_resume_command(folder: Path) -> None:
    from limbeck.runs import resume_command

    error_console.print("stopped; the last round is kept. Continue with:", style="yellow", markup=False, soft_wrap=True)
    error_console.print(resume_command(folder), markup=False, highlight=False, soft_wrap=True)
