"""Folders by URL: planned as those of a disk, fetched from and delivered to, whole or not at all."""

import sys
from pathlib import Path

import pytest
from fsrcnn_rt import cli, cluster
from fsrcnn_rt.cluster.pictures import planned
from fsrcnn_rt.cluster.stores import AtHand, Stores
from fsrcnn_rt.errors import UsageError
from fsrcnn_rt.plan import PICTURES, Naming, make_plan

fsspec = pytest.importorskip("fsspec", reason="URLs need fsspec")

NAMES = ["b.png", "a.jpg", "deep/er/c.png", "deep/d.png", "deep/d_x2.png", ".hidden/e.png", "notes.txt"]


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def plan_of(source, target, *, stores=None, recursive=True, **naming):
    stores = stores or Stores()
    inside, outside = stores.add(str(source)), stores.add(str(target))
    asked = Naming(output=f"{outside}/", **naming)
    return make_plan([str(inside)], [2], asked, recursive=recursive, disk=stores), stores


def named(plan, stores):
    jobs = [
        (stores.name(job.source), *(stores.name(path) for path in job.outputs.values())) for job in plan.jobs
    ]
    return jobs, [stores.name(path) for path in plan.outputs]


@pytest.mark.parametrize("recursive", [True, False])
def test_a_store_is_planned_as_a_disk(memory, folder, recursive):
    for name in NAMES:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        memory.pipe(f"/bucket/in/{name}", b"")
    jobs, outputs = named(*plan_of("in", "out", recursive=recursive))
    by_url = named(*plan_of("memory://bucket/in", "memory://bucket/out", recursive=recursive))
    assert by_url == (
        [tuple(f"memory://bucket/{name}" for name in job) for job in jobs],
        [f"memory://bucket/{name}" for name in outputs],
    )
    assert len(jobs) == (4 if recursive else 2)
    assert by_url == named(*plan_of("memory://bucket/in/", "memory://bucket/out/", recursive=recursive))
    mixed, _ = named(*plan_of("in", "memory://bucket/out", recursive=recursive))
    assert mixed == [(name, f"memory://bucket/{output}") for name, output in jobs]
    assert named(*plan_of((folder / "in").as_uri(), "out", recursive=recursive))[0][0][0] == str(
        folder / "in" / "a.jpg"
    )


def test_a_target_in_the_source_is_left_out(memory):
    for name in ("in/a.png", "in/out/a_x2.png", "in/out/b.png"):
        memory.pipe(f"/bucket/{name}", b"")
    jobs, _ = named(*plan_of("memory://bucket/in", "memory://bucket/in/out", existing="overwrite"))
    assert jobs == [("memory://bucket/in/a.png", "memory://bucket/in/out/a_x2.png")]


def test_what_exists_is_found_by_one_listing(memory, monkeypatch):
    for i in range(5):
        memory.pipe(f"/bucket/in/{i}.png", b"")
    memory.pipe("/bucket/out/3_x2.png", b"")
    listed = []
    find = type(memory).find
    monkeypatch.setattr(
        type(memory), "find", lambda self, path, **options: listed.append(path) or find(self, path, **options)
    )
    monkeypatch.setattr(type(memory), "exists", lambda *_: pytest.fail("asked for one file"))
    plan, _ = plan_of("memory://bucket/in", "memory://bucket/out", existing="skip")
    assert [job.source.name for job in plan.jobs if not job.outputs] == ["3.png"]
    assert listed == ["/bucket/in", "/bucket/out"]
    with pytest.raises(UsageError, match=r"^memory://bucket/out/3_x2\.png: exists already"):
        planned("memory://bucket/in", "memory://bucket/out", [2], None, recursive=True, kind=PICTURES)


@pytest.mark.parametrize("name", ["a//b.png", "a/../b.png", "./b.png"])
def test_names_that_no_folder_can_mirror_are_refused(memory, monkeypatch, name):
    monkeypatch.setattr(type(memory), "find", lambda self, path: [f"{path}/{name}"])
    with pytest.raises(UsageError, match="has an empty part or dots in it"):
        plan_of("memory://bucket/in", "out")


def test_a_url_that_nothing_takes():
    with pytest.raises(UsageError, match="what://bucket: Protocol not known: what"):
        Stores().add("what://bucket")


def test_without_ray_the_command_says_what_is_missing(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "fsrcnn_rt.cluster.nodes", raising=False)
    monkeypatch.delattr(cluster, "nodes", raising=False)
    assert cli.main(["cluster", "in", "out"]) == 1
    needed = "fsrcnn-rt: cluster: needs ray, which is not installed: pip install 'fsrcnn-rt[cluster]'\n"
    assert capsys.readouterr().err == needed


def test_a_source_that_is_not_there(memory, folder):
    for name in ("memory://bucket/in", "in"):
        stores = Stores()
        path = stores.add(name)
        if "://" in name:
            stores.check(path)  # a folder of nothing, which the plan says
            with pytest.raises(UsageError, match="has no pictures in it"):
                make_plan([str(path)], [2], Naming(output="out/"), recursive=True, disk=stores, kind=PICTURES)
        else:
            with pytest.raises(UsageError, match="in: does not exist"):
                stores.check(path)


def test_a_file_is_delivered_whole_or_not_at_all(memory, monkeypatch):
    memory.pipe("/bucket/a.png", b"before")
    with AtHand("memory://bucket/a.png") as file:
        assert file.fetch().path.read_bytes() == b"before"
        place = file.path
    assert not place.exists()
    with AtHand("memory://bucket/a.png") as file:
        file.deliver()  # nothing was made
        assert memory.cat("/bucket/a.png") == b"before"
        file.path.write_bytes(b"after")
        seen = []
        put = type(memory).put_file

        def put_half(self, path, key, **options):
            seen.append((key, memory.cat("/bucket/a.png")))
            put(self, path, key, **options)
            if len(seen) == 1:
                raise OSError("the line is cut")

        monkeypatch.setattr(type(memory), "put_file", put_half)
        with pytest.raises(OSError, match=r"^memory://bucket/a\.png cannot be written: the line is cut$"):
            file.deliver()
        assert memory.cat("/bucket/a.png") == b"before" and len(memory.find("/bucket")) == 1
        file.deliver()
    assert memory.cat("/bucket/a.png") == b"after" and len(memory.find("/bucket")) == 1
    assert all(key.startswith("/bucket/.a.png.") for key, _ in seen)


def test_a_file_that_cannot_be_fetched(memory):
    with (
        AtHand("memory://bucket/none.png") as file,
        pytest.raises(OSError, match=r"^memory://bucket/none\.png cannot be read: "),
    ):
        file.fetch()


def test_what_is_no_url_stays_where_it_is(folder):
    Path("a.png").write_bytes(b"here")
    with AtHand("a.png") as file:
        assert file.fetch().path == Path("a.png")
        file.deliver()
    assert Path("a.png").read_bytes() == b"here"
