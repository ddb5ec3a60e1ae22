"""The command `rffd`: answers for pictures, and what one does with a trained model.

Exit status: 0 all went well; 1 some pictures could not be read, or a step failed; 2 wrong usage.
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rffd.errors import RffdError


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except RffdError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130
    except BrokenPipeError:  # the reader, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(str(error))


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rffd", description="Tell real portraits from photoshopped ones.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="verdict, probability and replaced regions for pictures")
    predict.add_argument("paths", nargs="+", metavar="PATH", help="file, folder, quoted glob; - reads names from stdin")
    which = "packaged model: a folder, or OWNER/NAME[@REVISION] on the Hub (default: dvc.yaml's)"
    predict.add_argument("--model", metavar="MODEL", help=which)
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", help="one list of objects")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="one line a picture")
    predict.add_argument("--explain", type=Path, metavar="DIR", help="write a heat map for each picture there")
    predict.set_defaults(run=_predict, form="table")

    publish = commands.add_parser("publish", help="show what would be put on the Hub; with --yes, do it")
    where = "where to (default: package.repository)"
    publish.add_argument("--repository", type=_hub_id, metavar="OWNER/NAME", help=where)
    publish.add_argument("--model", metavar="DIR", help="packaged model (default: dvc.yaml's)")
    publish.add_argument("--tag", type=_version, help="version to tag it with (default: the one that gto has at HEAD)")
    seen = publish.add_mutually_exclusive_group()
    seen.add_argument("--private", action="store_true", default=None, help="a new repository is its owners' alone")
    seen.add_argument("--public", action="store_false", dest="private", help="a new repository is for everybody to see")
    page = "instead, put the page there, for the model as published"
    publish.add_argument("--space", type=_hub_id, metavar="OWNER/NAME", help=page)
    publish.add_argument("--yes", action="store_true", help="carry the plan out")
    publish.set_defaults(run=_publish)

    serve = commands.add_parser("serve", help="open a page to drop pictures on")
    serve.add_argument("--model", metavar="MODEL", help=which)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    serve.add_argument("--port", type=_port, default=7860, help="default: 7860")
    serve.set_defaults(run=_serve)

    summary = commands.add_parser("summary", help="the last run's figures, against targets and the committed ones")
    summary.set_defaults(run=_summary)
    return parser


def _hub_id(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not OWNER/NAME")
    return text


def _version(text: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no version such as v0.1.0")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, from 1 to 65535")
    return int(text)


def _predict(arguments: argparse.Namespace) -> int:
    from rffd.answers import FORMATS
    from rffd.finding import find_model
    from rffd.images import UnreadableImage
    from rffd.prediction import open_package, predict

    try:
        package = open_package(find_model(arguments.model))
    except RffdError as error:
        _fail(str(error))
        return 2
    if arguments.explain:
        from rffd.heat import PICTURE, write_heat

        try:
            arguments.explain.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RffdError(f"--explain {arguments.explain}: no folder can be made there ({error.strerror})") from error
    output = FORMATS[arguments.form](sys.stdout)
    failed = 0
    paths = _watched(arguments.paths)
    try:
        for answer in predict(package, paths, picture_size=PICTURE if arguments.explain else None):
            if isinstance(answer, UnreadableImage):
                failed += 1
                _fail(str(answer))
                continue
            if answer.warning:
                print(f"warning: {answer.path}: {answer.warning}", file=sys.stderr)
            if arguments.explain:
                write_heat(answer, arguments.explain, package.contract.face_margin)
            output.write(answer)
    except RffdError as error:
        failed += 1
        _fail(str(error))
    output.close()
    return 1 if failed else 0


def _publish(arguments: argparse.Namespace) -> int:
    from rffd.finding import find_model
    from rffd.params import PARAMS_FILE, read_value
    from rffd.publishing import listing
    from rffd.revision import registered_version

    inside = PARAMS_FILE.is_file()
    repository = arguments.repository or (inside and read_value("package.repository", str | None)) or None
    private = arguments.private
    if private is None:
        private = read_value("package.private", bool) if inside else True
    tag = arguments.tag or registered_version()
    if repository is None:
        if not arguments.space:
            print("\n".join(listing(find_model(arguments.model))))
        print("No repository is named: set package.repository in params.yaml, or use --repository OWNER/NAME.")
        return 1 if arguments.yes else 0
    if not arguments.space:
        return _carry_out(find_model(arguments.model), repository, "model", private, tag, arguments.yes)
    from rffd.space import check_model, write_space

    if tag is None:
        raise RffdError("a page answers from one version of the model: name it with --tag v0.1.0")
    with tempfile.TemporaryDirectory(prefix="rffd-space-") as folder:
        write_space(Path(folder), model=repository, tag=tag)
        needs = partial(check_model, repository, tag)
        return _carry_out(Path(folder), arguments.space, "space", private, None, arguments.yes, needs)


def _carry_out(
    folder: Path,
    repository: str,
    kind: str,
    private: bool,
    tag: str | None,
    yes: bool,
    needs: Callable[[], list[str]] = list,
) -> int:
    from rffd.hub import HubError
    from rffd.publishing import describe, listing, make_plan, publish

    try:
        plan = make_plan(folder, repository, private=private, tag=tag, kind=kind)
    except HubError:
        print("\n".join(listing(folder)))
        print(f"Not compared with {repository}: see the error.")
        raise
    print("\n".join(describe(plan)))
    for line in needs():
        print(line)
    if not yes:
        print("Nothing was done; add --yes to carry this out.")
    elif plan.commit_needed or plan.tag_needed:
        print(f"published and checked: {publish(plan)}")
    else:
        print("Nothing to do: it is all there already.")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from rffd.app import import_gradio, serve
    from rffd.finding import find_model
    from rffd.prediction import open_package

    import_gradio()
    serve(open_package(find_model(arguments.model)), host=arguments.host, port=arguments.port)
    return 0


def _summary(_: argparse.Namespace) -> int:
    from rffd.params import read_value
    from rffd.summary import summarise

    summarise(Path("dvc.yaml"), read_value("evaluate.targets", dict[str, float]))
    return 0


def _watched(names: list[str]) -> Iterator[str]:
    """The pictures that `names` mean; on a terminal, a bar on stderr shows how many were taken up so far."""
    from rffd.finding import find_images

    # a table on the same terminal shows progress enough; names from stdin can't be counted beforehand
    if not sys.stderr.isatty() or sys.stdout.isatty() or "-" in names:
        yield from find_images(names)
        return
    from rffd.progress import progress

    total = 0
    with contextlib.suppress(RffdError):  # walked twice rather than kept: memory doesn't grow with the folder
        for _ in find_images(names):
            total += 1
    with progress("pictures", total) as advance:
        for path in find_images(names):
            yield path
            advance(1)


if __name__ == "__main__":
    sys.exit(main())
