"""What HAProxy's file names besides: brought in one piece, swapped with it, kept whole."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from balancer_bench import FENCE, App, Running, wait_for
from test_haproxy_apply import SPEC, apply, await_up, instance

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import files
from fleetctl.haproxy.render import render
from fleetctl.haproxy.section import admit
from fleetctl.haproxy.sync import differences, in_sync
from fleetctl.model.balancing import Section
from fleetctl.model.routing import Route


def with_route(section: Section, host: str) -> Section:
    return replace(section, routes=(*section.routes, Route("http", host, "/")))


def with_page(section: Section, page: str) -> Section:
    return replace(section, balancing=replace(section.balancing, maintenance_page=page))


@pytest.fixture
def serving(running: Running, app: Callable[[str], App]) -> tuple[Running, Section]:
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, section)
    await_up(running, "slot1")
    return running, section


def folder_of(running: Running) -> Path:
    return Path(running.paths.files)


def trees(running: Running) -> list[str]:
    return sorted(p.name for p in folder_of(running).glob("tree-*"))


def left_over(running: Running) -> list[str]:
    """What only a change under way may have there."""
    names = [p.name for p in folder_of(running).iterdir()] if folder_of(running).is_dir() else []
    names += [p.name for p in running.folder.glob("haproxy.cfg.fleetctl-*")]
    return sorted(n for n in names if not n.startswith("tree-") and n not in ("live", "pems"))


def test_a_new_route_is_a_command_and_a_new_tree(serving: tuple[Running, Section]) -> None:
    running, section = serving
    (before,) = trees(running)
    pid = running.haproxy.observe().pid
    assert running.get(host="new.example")[0] == 404
    assert apply(running, with_route(section, "new.example")).how == "runtime"
    assert running.get(host="new.example") == (200, "aaaa")
    seen = running.haproxy.observe()
    assert seen.pid == pid
    assert ("new.example/", "web.http") in seen.routes
    (after,) = trees(running)
    assert before != after == f"tree-{seen.files_id}"
    assert left_over(running) == []
    assert apply(running, section).how == "runtime"
    assert running.get(host="new.example")[0] == 404
    assert trees(running) == [before]


def test_only_root_reads_what_is_there(serving: tuple[Running, Section]) -> None:
    running, _ = serving
    assert running.config.stat().st_mode & 0o777 == 0o600
    for path in folder_of(running).rglob("*"):
        mode = path.lstat().st_mode & 0o777
        assert path.is_symlink() or mode == (0o700 if path.is_dir() else 0o600), path


def test_side_files_alone_serve_the_same_after_a_restart(
    serving: tuple[Running, Section],
) -> None:
    running, section = serving
    apply(running, with_route(section, "new.example"))
    running.stop()
    running.start()
    await_up(running, "slot1")
    assert running.get(host="new.example") == (200, "aaaa")


def test_prepare_changes_nothing_and_what_it_brought_is_not_sent_again(
    serving: tuple[Running, Section],
) -> None:
    running, section = serving
    rendered = render(running.balancer, [with_page(section, f"<p>{'x' * 10_000}</p>")])
    link, text = (folder_of(running) / "live").readlink(), running.config.read_text()
    assert running.haproxy.prepare(rendered, FENCE) == "reload"
    assert (folder_of(running) / "live").readlink() == link
    assert running.config.read_text() == text
    assert left_over(running) == []
    shell = running.connections.local
    before = len(shell.sent)
    assert running.haproxy.apply(rendered, FENCE).how == "reload"
    assert max(shell.sent[before:]) < 10_000 + len(rendered.text)


def test_a_change_of_servers_is_a_few_round_trips(serving: tuple[Running, Section]) -> None:
    running, section = serving
    rendered = render(running.balancer, [with_route(section, "new.example")])
    shell = running.connections.local
    before = shell.count
    running.haproxy.apply(rendered, FENCE)
    assert shell.count == before + 6, "look, file, its new tree, commands, look, forget"


@pytest.mark.parametrize("gone", [False, True])
def test_a_side_file_that_was_changed_by_hand_is_drift_and_mended(
    serving: tuple[Running, Section], gone: bool
) -> None:
    running, section = serving
    rendered = render(running.balancer, [section])
    for name in ("routes.map", "MANIFEST"):
        file = folder_of(running) / "live" / name
        if gone:
            file.unlink()
        else:
            file.write_text(f"{file.read_text()}evil.example/ web.http\n")
        seen = running.haproxy.observe()
        assert seen.files_id == "edited"
        assert not in_sync(rendered, seen)
        assert [d.kind for d in differences(rendered, seen)] == ["files"]
        assert apply(running, section).how == "reload"
        await_up(running, "slot1")
        assert running.get(host="evil.example")[0] == 404


@pytest.mark.parametrize("lost", ["live", "tree", "folder", "foreign"])
def test_side_files_that_are_gone_are_drift_and_brought_again(
    serving: tuple[Running, Section], lost: str
) -> None:
    running, section = serving
    rendered = render(running.balancer, [section])
    link = folder_of(running) / "live"
    tree = folder_of(running) / link.readlink()
    moved = running.folder / "moved"
    if lost in ("live", "foreign"):
        link.unlink()
        if lost == "foreign":
            link.mkdir()
            (link / "routes.map").write_text("evil.example/ web.http\n")
    else:
        (tree if lost == "tree" else folder_of(running)).rename(moved)
    seen = running.haproxy.observe()
    assert seen.servers, "the worker runs as before"
    assert [d.kind for d in differences(rendered, seen)] == ["files"]
    assert running.get() == (200, "aaaa")
    apply(running, section)
    assert running.get() == (200, "aaaa")
    assert (link / "routes.map").read_text() == "shop.example/ web.http\n"
    assert left_over(running) == []


def test_a_failed_reload_puts_both_back(serving: tuple[Running, Section]) -> None:
    running, section = serving
    text, link = running.config.read_text(), (folder_of(running) / "live").readlink()
    taken = App("stranger")
    try:
        listen = (*running.balancer.listen, ("127.0.0.1", taken.port))
        rendered = render(replace(running.balancer, listen=listen), [with_page(section, "x")])
        with pytest.raises(BalancerFailed, match="could not load the new file"):
            running.haproxy.apply(rendered, FENCE)
    finally:
        taken.close()
    assert running.config.read_text() == text
    assert (folder_of(running) / "live").readlink() == link
    wait_for("the old worker serves", lambda: running.serves("aaaa"))
    assert apply(running, with_page(section, "x")).how == "reload"
    assert left_over(running) == []


def test_a_change_cut_off_between_tree_and_file_is_finished(
    serving: tuple[Running, Section],
) -> None:
    running, section = serving
    changed = render(running.balancer, [with_route(section, "new.example")])
    assert running.haproxy.prepare(changed, FENCE) == "runtime"
    link = folder_of(running) / "live"
    link.unlink()
    link.symlink_to(f"tree-{changed.files_id}")
    (folder_of(running) / "incoming").mkdir()
    rendered = render(running.balancer, [section])
    assert [d.kind for d in differences(rendered, running.haproxy.observe())] == ["files"]
    assert running.haproxy.apply(changed, FENCE).how == "runtime"
    assert in_sync(changed, running.haproxy.observe())
    assert running.haproxy.prepare(changed, FENCE) == "nothing"
    assert running.get(host="new.example") == (200, "aaaa")
    assert left_over(running) == []


def test_a_machine_that_goes_down_between_tree_and_file_starts_again(
    running: Running, app: Callable[[str], App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file of before, which names a page that the new tree is to have no more."""
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, with_page(section, "<h1>Soon</h1>"))
    plain = render(running.balancer, [section])
    with monkeypatch.context() as patch:
        whole = files._INSTALL
        patch.setattr(files, "_INSTALL", whole[: whole.index('sync "$new" && mv')] + "exit 1\n")
        with pytest.raises(BalancerFailed):
            running.haproxy.apply(plain, FENCE)
    assert (folder_of(running) / "live").readlink().name == f"tree-{plain.files_id}"
    running.stop()
    running.start()
    wait_for("it serves again", lambda: running.serves("aaaa"))
    assert running.haproxy.apply(plain, FENCE).how == "reload"
    assert in_sync(plain, running.haproxy.observe())
    assert [p.name for p in (folder_of(running) / "live").rglob("*.html")] == []
    assert left_over(running) == []


def test_what_a_change_kept_that_was_cut_off_at_its_very_end_is_taken_away(
    serving: tuple[Running, Section],
) -> None:
    """Else the next reload that fails would bring that file back."""
    running, section = serving
    rendered = render(running.balancer, [section])
    old = running.config.with_name("haproxy.cfg.fleetctl-old")
    old.write_text(running.foreign)
    (folder_of(running) / "live.old").symlink_to("tree-gone")
    (folder_of(running) / "tree-gone").mkdir()
    assert in_sync(rendered, running.haproxy.observe())
    assert running.haproxy.apply(rendered, FENCE).how == "nothing"
    assert not old.exists()
    assert left_over(running) == []
    assert trees(running) == [f"tree-{rendered.files_id}"]


def test_a_page_is_served_while_no_server_is_ready(serving: tuple[Running, Section]) -> None:
    running, section = serving
    page = "<h1>back soon</h1>"
    empty = replace(with_page(section, page), backends=admit(None, SPEC, []).backends)
    assert apply(running, empty).how == "reload"
    assert running.get() == (503, page)
    assert apply(running, with_page(empty, "<h1>later</h1>")).how == "reload"
    assert running.get() == (503, "<h1>later</h1>")


@pytest.fixture
def small_disk(running: Running) -> Iterator[Path]:
    """A file system of 64 KiB where side files are to lie."""
    place = folder_of(running)
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_told_and_survived(
    small_disk: Path, serving: tuple[Running, Section]
) -> None:
    running, section = serving
    filler = small_disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=512"], check=False)
    assert filler.stat().st_size > 0
    text = running.config.read_text()
    changed = render(running.balancer, [with_page(section, "x" * 4000)])
    for act in (running.haproxy.prepare, running.haproxy.apply):
        with pytest.raises(BalancerFailed, match="No space left on device") as caught:
            act(changed, FENCE)
        assert "df -h" in caught.value.hint
    assert running.config.read_text() == text
    assert running.get() == (200, "aaaa")
    assert in_sync(render(running.balancer, [section]), running.haproxy.observe())
    filler.unlink()
    assert apply(running, with_page(section, "x" * 4000)).how == "reload"
    assert left_over(running) == []


def test_a_folder_that_can_not_be_written_is_told_and_survived(
    serving: tuple[Running, Section],
) -> None:
    running, section = serving
    place = folder_of(running)
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        changed = with_route(section, "new.example")
        for act in (running.haproxy.prepare, running.haproxy.apply):
            with pytest.raises(BalancerFailed, match="Read-only file system"):
                act(render(running.balancer, [changed]), FENCE)
        assert running.get() == (200, "aaaa")
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    assert apply(running, changed).how == "runtime"
    assert running.get(host="new.example") == (200, "aaaa")


def test_a_file_where_the_folder_is_to_be_is_told(running: Running) -> None:
    folder_of(running).write_text("a file")
    rendered = render(running.balancer, [admit(None, SPEC, [])])
    with pytest.raises(BalancerFailed, match=r"mkdir.*files"):
        running.haproxy.prepare(rendered, FENCE)
    assert running.haproxy.text() == running.foreign


def test_the_file_is_given_as_it_is(serving: tuple[Running, Section]) -> None:
    running, section = serving
    assert running.haproxy.text() == render(running.balancer, [section]).text
    running.config.rename(running.folder / "elsewhere")
    assert running.haproxy.text() == ""
