"""Files that are other people's, folders that change in one step, processes that are killed in the middle,
Keras from several threads."""
import contextlib
import errno
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import pytest

from cancer_dl import core
from cancer_dl.core import (InputError, check_apart, check_folder, check_place, clear_leftovers, files_together,
                            is_running, read_json, read_text, recover, take_lock, write_json)

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


def tree(folder):
    "Everything below a folder: text of files, targets of links."
    return {str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_text() if p.is_file()
            else "folder" for p in sorted(Path(folder).rglob("*"))}


def hidden(folder): return [p.name for p in Path(folder).rglob(".*")]


def put(folder, files, **options):
    with files_together(folder, **options) as made:
        for name, text in files.items():
            (made/name).parent.mkdir(parents=True, exist_ok=True)
            (made/name).write_text(text)


def texts(folder): return {k: v for k, v in tree(folder).items() if v != "folder" and k != "files.json"}


# ---------------------------------------------------------------- places

@POSIX
def test_links_devices_pipes_and_sockets_are_no_place(tmp_path):
    (tmp_path/"folder").mkdir()
    (tmp_path/"to_folder").symlink_to("folder")
    (tmp_path/"dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path/"fifo")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path/"s"))
    before = os.lstat("/dev/null")
    for place in (tmp_path/"to_folder", tmp_path/"dangling", tmp_path/"fifo", tmp_path/"s", Path("/dev/null"),
                  Path("/dev/stdout"), Path(f"{tmp_path}/to_folder/")):
        for write in (lambda: write_json(place, {}), lambda: put(place, {"a": "1"}), lambda: check_place(place)):
            with pytest.raises(InputError, match="Cannot write"): write()
    server.close()
    assert ((tmp_path/"to_folder").is_symlink() and (tmp_path/"dangling").is_symlink()
            and not list((tmp_path/"folder").iterdir()))
    assert os.lstat("/dev/null").st_rdev == before.st_rdev and not hidden(tmp_path)


def test_home_and_root_are_no_place_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (tmp_path, Path("/"), tmp_path/"x"/".."):
        with pytest.raises(InputError, match="home folder"):
            put(place, {"a": "1"}) if place != tmp_path/"x"/".." else ((tmp_path/"x").mkdir(), put(place, {"a": "1"}))
    put(tmp_path/"results", {"a": "1"})


@POSIX
def test_one_file_under_many_names(tmp_path, monkeypatch):
    (tmp_path/"m"/"cohort").mkdir(parents=True)
    (tmp_path/"m"/"cohort"/"x.csv").write_text("1")
    os.link(tmp_path/"m"/"cohort"/"x.csv", tmp_path/"hard.csv")
    (tmp_path/"soft").symlink_to("m")
    monkeypatch.chdir(tmp_path)
    cohort, matrix = tmp_path/"m"/"cohort", tmp_path/"m"/"cohort"/"x.csv"
    for output, given in [("m", cohort), ("m/", "m/cohort"), ("./m/../m", cohort), ("soft/../m", cohort),
                          ("m", "soft/cohort/x.csv"), (".", cohort), ("..", cohort), ("hard.csv", matrix),
                          ("m/cohort", "soft/cohort")]:
        with pytest.raises(InputError, match="read by this very command"): check_apart(Path(output), given)
    for output in ("m2", "m/cohort2", "m/cohort/model", "new/deep"): check_apart(Path(output), cohort, matrix, None)


def test_another_case_on_a_disk_that_ignores_it(tmp_path):
    (tmp_path/"Model").mkdir()
    (tmp_path/"Model"/"cohort").mkdir()
    if not (tmp_path/"model").exists(): pytest.skip("this disk tells upper case from lower case")
    with pytest.raises(InputError, match="read by this very command"):
        check_apart(tmp_path/"model", tmp_path/"Model"/"cohort")


@POSIX
@pytest.mark.parametrize("number, words", [(errno.ENAMETOOLONG, "too long"), (errno.ELOOP, "in a circle")])
def test_paths_that_are_impossible(tmp_path, number, words):
    if number == errno.ELOOP: (tmp_path/"a").symlink_to("b"); (tmp_path/"b").symlink_to("a")
    place = tmp_path/"a"/"x" if number == errno.ELOOP else tmp_path/("x"*300)
    for write in (lambda: write_json(place, {}), lambda: put(place, {"a": "1"})):
        with pytest.raises(InputError): write()
    assert not hidden(tmp_path)


# ---------------------------------------------------------------- whose files

def test_only_what_was_written_is_replaced(tmp_path):
    folder = tmp_path/"r"
    put(folder, {"a": "1", "sub/b": "1"})
    (folder/"notes.txt").write_text("mine")
    (folder/"sub"/"mine").write_text("mine")
    (folder/"empty").mkdir()
    (folder/"deep"/"er").mkdir(parents=True)
    (folder/"deep"/"er"/"x").write_text("mine")
    if os.name == "posix": (folder/"link").symlink_to("notes.txt")
    before = tree(tmp_path)
    with pytest.raises(InputError, match="holds an earlier result already .a, sub/b.*overwrite=True"):
        put(folder, {"a": "2"})
    assert tree(tmp_path) == before
    put(folder, {"a": "2", "c": "2"}, overwrite=True)
    after = tree(folder)
    assert ((after["a"], after["c"], after["notes.txt"], after["sub/mine"], after["empty"], after["deep/er/x"])
            == ("2", "2", "mine", "mine", "folder", "mine"))
    assert "sub/b" not in after and after.get("link") == before.get("r/link") and not hidden(tmp_path)


def test_a_foreign_file_is_never_lost(tmp_path):
    folder = tmp_path/"r"
    folder.mkdir()
    (folder/"a").write_text("mine")
    (folder/"sub").write_text("mine, and no folder")
    (folder/"x").mkdir()
    (folder/"x"/"thesis").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match="a in it was not written by cancer_dl"):
        check_folder(folder, overwrite=True, known=["a"])
    for files in ({"a": "1"}, {"sub/b": "1"}, {"x": "1"}):
        with pytest.raises(InputError, match="not written by cancer_dl"): put(folder, files, overwrite=True)
        assert tree(tmp_path) == before
    put(folder, {"x/b": "1"})
    assert tree(folder)["x/thesis"] == "mine"


def test_a_list_of_somebody_elses_proves_nothing(tmp_path):
    (tmp_path/"r").mkdir()
    for listed in ('{"files": {"result": ["thesis"]}}', '["thesis"]',
                   '{"written_by": "cancer_dl", "files": {"result": ["../victim", "/etc/passwd", 7]}}'):
        (tmp_path/"victim").write_text("mine")
        (tmp_path/"r"/"thesis").write_text("mine")
        (tmp_path/"r"/"files.json").write_text(listed)
        with contextlib.suppress(InputError): put(tmp_path/"r", {"a": "1"}, overwrite=True)
        assert (tmp_path/"r"/"thesis").read_text() == (tmp_path/"victim").read_text() == "mine"


def test_kinds_live_side_by_side(tmp_path):
    folder = tmp_path/"r"
    put(folder, {"a": "1"}, kind="evaluation", known=["a"])
    put(folder, {"b": "1"}, kind="explanation", known=["b"])
    with pytest.raises(InputError, match="earlier evaluation"): put(folder, {"a": "2"}, kind="evaluation", known=["a"])
    put(folder, {"a": "2"}, kind="evaluation", known=["a"], overwrite=True)
    assert texts(folder) == {"a": "2", "b": "1"}
    assert json.loads((folder/"files.json").read_text())["files"] == {"evaluation": ["a"], "explanation": ["b"]}


def test_results_do_not_go_into_bundles_and_cohorts(tmp_path):
    for name, what in (("bundle.json", "a bundle"), ("expression.csv", "a cohort")):
        (tmp_path/what).mkdir()
        (tmp_path/what/name).write_text("{}")
        with pytest.raises(InputError, match=f"it is {what}"): put(tmp_path/what, {"a": "1"}, overwrite=True)


def test_an_earlier_version_left_no_list(tmp_path):
    folder = tmp_path/"r"
    folder.mkdir()
    for name in ("metrics.json", "old.csv", "notes.txt"): (folder/name).write_text("old")
    known, marks = ["metrics.json", "old.csv"], ["metrics.json", "old.csv"]
    with pytest.raises(InputError, match="earlier result"):
        put(folder, {"metrics.json": "new"}, known=known, marks=marks)
    put(folder, {"metrics.json": "new"}, known=known, marks=marks, overwrite=True)
    assert texts(folder) == {"metrics.json": "new", "notes.txt": "old"}


def test_the_folders_rights_stay(tmp_path):
    put(tmp_path/"r", {"a": "1"})
    (tmp_path/"r"/"notes").write_text("mine")
    os.chmod(tmp_path/"r", 0o750)
    put(tmp_path/"r", {"a": "2"}, overwrite=True)
    assert (tmp_path/"r").stat().st_mode & 0o777 == 0o750


# ---------------------------------------------------------------- kill -9 at every step

NEW, OLD = {"a": "new", "c": "new", "sub/d": "new"}, {"a": "old", "b": "old", "sub/d": "old"}
MINE = {"notes.txt": "mine", "sub/mine": "mine"}


def killed_at(step, work):
    """Run `work` in a process that kills itself, as `kill -9` would, just before its `step`-th operation on the disk.
    False if it ended before."""
    child = os.fork()
    if child: return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = [step]
    def deadly(function):
        def wrapped(*args, **kwargs):
            left[0] -= 1
            if not left[0]: os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return wrapped
    for name in ("rename", "replace", "link", "unlink", "rmdir", "mkdir"): setattr(os, name, deadly(getattr(os, name)))
    core._exchange = deadly(core._exchange)
    try: work()
    finally: os._exit(0)


def modes(monkeypatch, mode):
    "The three ways of putting a folder in its place."
    if mode == "two renames": monkeypatch.setattr(core, "_exchange", lambda one, other: False)
    if mode == "one by one": monkeypatch.setattr(core, "must_stay", lambda folder: True)
    if mode == "no hard links": monkeypatch.setattr(core, "_carry", lambda *a: False)


@POSIX
@pytest.mark.parametrize("foreign", [pytest.param({}, marks=pytest.mark.slow), MINE],
                         ids=["alone", "with foreign files"])
@pytest.mark.parametrize("mode", ["exchange", pytest.param("two renames", marks=pytest.mark.slow), "one by one",
                                  pytest.param("no hard links", marks=pytest.mark.slow)])
def test_killed_at_every_step(tmp_path, monkeypatch, mode, foreign):
    modes(monkeypatch, mode)
    if mode == "exchange" and sys.platform not in ("linux", "darwin"): pytest.skip("no exchange here")
    ends = set()
    for step in range(1, 60):
        folder = tmp_path/str(step)/"r"
        put(folder, OLD)
        for name, text in foreign.items(): (folder/name).write_text(text)
        died = killed_at(step, lambda: put(folder, NEW, overwrite=True))
        seen = texts(folder) if folder.is_dir() else None
        if mode == "exchange" and seen is not None: seen = {k: v for k, v in seen.items() if ".new-" not in k}
        if mode == "exchange":
            assert seen in ({**OLD, **foreign}, {**NEW, **foreign}), (step, seen)  # whole at any moment
        recover(folder)
        found = texts(folder)
        assert found in ({**OLD, **foreign}, {**NEW, **foreign}), (step, found)
        assert not hidden(folder.parent), (step, hidden(folder.parent))
        assert (json.loads((folder/"files.json").read_text())["files"]["result"]
                == sorted(OLD if found["a"] == "old" else NEW))
        ends.add(found["a"])
        put(folder, {**NEW, "a": "third"}, overwrite=True)
        assert texts(folder)["a"] == "third" and {k: v for k, v in texts(folder).items() if k in foreign} == foreign
        if not died: break
    assert not died and ends == {"old", "new"} and step > 5


@POSIX
def test_a_file_is_killed_at_every_step(tmp_path):
    for step in range(1, 20):
        write_json(tmp_path/"x.json", {"n": 1})
        died = killed_at(step, lambda: write_json(tmp_path/"x.json", {"n": 2}))
        assert read_json(tmp_path/"x.json")["n"] in (1, 2)
        write_json(tmp_path/"x.json", {"n": 3})
        assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
        if not died: break
    assert not died and step > 2


@POSIX
def test_random_kills_from_outside(tmp_path):
    """A process of its own that replaces a folder without pause, killed at random moments:
    every time one state or the other."""
    folder = tmp_path/"r"
    code = f"""
import itertools
from cancer_dl.core import files_together
for i in itertools.count():
    with files_together({str(folder)!r}, overwrite=True) as made:
        for name in "abc": (made/name).write_text(str(i))
"""
    put(folder, dict.fromkeys("abc", "start"))
    (folder/"notes").write_text("mine")
    for pause in (0, .003, .011, .017, .029):
        process = subprocess.Popen([sys.executable, "-c", code])
        give_up = time.monotonic() + 60
        first = (folder/"a").read_text()
        while (folder/"a").read_text() == first and time.monotonic() < give_up: time.sleep(.001)
        time.sleep(pause)
        process.kill()
        process.wait()
        recover(folder)
        found = texts(folder)
        assert found.pop("notes") == "mine" and len(set(found.values())) == 1 and set(found) == set("abc"), found
    put(folder, dict.fromkeys("abc", "end"), overwrite=True)
    assert not hidden(tmp_path) and texts(folder)["a"] == "end"


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = f"""
import sys
import threading
from cancer_dl.core import take_lock
lock = take_lock({str(tmp_path/'lock')!r})
print("ready", flush=True)
sys.stdin.readline()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    assert take_lock(tmp_path/"lock") is False
    process.kill()
    process.communicate()
    lock = take_lock(tmp_path/"lock")
    assert lock and take_lock(tmp_path/"lock") is False
    waiting = threading.Thread(target=lambda: take_lock(tmp_path/"lock", wait=True).release())
    waiting.start()
    waiting.join(.2)
    assert waiting.is_alive()
    lock.release()
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_disk_without_locks(tmp_path, monkeypatch):
    "The number of the process decides, and nothing is said."
    import filelock
    def no_locks(self): raise OSError(errno.ENOSYS, "Function not implemented")
    monkeypatch.setattr(filelock.FileLock, "_acquire", no_locks)
    assert take_lock(tmp_path/"lock") is None and take_lock(tmp_path/"lock", wait=True) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_json(tmp_path/"x", {})
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    for number, stays in ((os.getpid(), True), (999999999, False)):
        path = tmp_path/f".y.new-{number}-{core._host()}-abcdefgh"
        path.mkdir()
        clear_leftovers(tmp_path)
        assert path.exists() == stays


# names that change

def test_an_old_function_works_and_warns_once():
    def total(a,  # a number
              b=2):
        "The sum."
        return a + b
    old = core.deprecated("core.summed", total, removed="0.3.0", instead="core.total(a, b)")
    with pytest.warns(FutureWarning, match=re.escape("core.summed is now called core.total(a, b); "
                                                     "the old name goes away in version 0.3.0")) as said:
        assert old(1) == 3 and old(1, b=5) == 6
    assert len(said) == 1 and said[0].filename == __file__
    assert old.__name__ == "summed" and inspect.signature(old) == inspect.signature(total) and "total" in old.__doc__


def test_old_names_of_a_module():
    module = types.ModuleType("cancer_dl.former")
    sys.modules["cancer_dl.former"] = module
    module.__getattr__ = core.deprecated_names("cancer_dl.former", {"Wrong": ("core.InputError", "0.3.0"),
                                                                    "FILES": ("core.MANIFEST", "0.3.0")})
    try:
        with pytest.warns(FutureWarning) as said:
            from cancer_dl.former import FILES, Wrong
            assert module.Wrong is InputError
        assert Wrong is InputError and FILES == "files.json"
        told = [str(w.message) for w in said]
        assert (len(told) == 2 and told[0].startswith("former.FILES is now called core.MANIFEST;")
                and all(w.filename == __file__ for w in said))
        assert not hasattr(module, "other")
        with pytest.raises(AttributeError, match="'cancer_dl.former' has no attribute 'other'"): module.other
    finally: del sys.modules["cancer_dl.former"]


@POSIX
def test_a_process_that_lives_keeps_its_hidden_folder(tmp_path):
    code = f"""
import sys
import threading
from cancer_dl.core import atomic_path
with atomic_path({str(tmp_path/'x')!r}) as path:
    path.write_text("from the other")
    print("ready", flush=True)
    sys.stdin.readline()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    clear_leftovers(tmp_path)
    (tmp_path/"x").write_text("")
    write_json(tmp_path/"x", {})
    assert len(hidden(tmp_path)) == 1
    process.communicate("go on\n")
    assert process.returncode == 0 and (tmp_path/"x").read_text() == "from the other" and not hidden(tmp_path)


@POSIX
def test_a_number_that_was_given_again(tmp_path):
    "The number in the name belongs to a process that lives, but not to the one that made the folder."
    for name, age, stays in (("fresh", 0, True), ("old", 3600, False)):
        path = tmp_path/f".{name}.new-{os.getpid()}-{core._host()}-abcdefgh"
        path.mkdir()
        os.utime(path, (time.time() - age,)*2)
        clear_leftovers(tmp_path)
        assert path.exists() == stays
    foreign = tmp_path/f".x.new-{os.getpid()}-000000-abcdefgh"
    foreign.mkdir()
    os.utime(foreign, (time.time() - 3600,)*2)
    (tmp_path/".x.new-1-notours").mkdir()
    (tmp_path/".config").mkdir()
    clear_leftovers(tmp_path)
    assert foreign.exists() and (tmp_path/".x.new-1-notours").exists() and (tmp_path/".config").exists()


@POSIX
def test_a_note_in_a_strange_folder_moves_nothing_outside(tmp_path):
    "A folder from somebody else may hold a hidden folder that looks like ours."
    (tmp_path/"victim").write_text("mine")
    (tmp_path/"outside").mkdir()
    (tmp_path/"r").mkdir()
    (tmp_path/"r"/"door").symlink_to("../outside")
    fake = tmp_path/"r"/f".r.new-999999999-{core._host()}-abcdefgh"
    (fake/"new"/"r"/"door").mkdir(parents=True)
    (fake/"new"/"r"/"door"/"planted").write_text("x")
    (fake/"commit.json").write_text(json.dumps(
        {"within": True, "name": "r", "gone": ["../victim", str(tmp_path/"victim"), "door/x"], "last": ["../victim"]}))
    recover(tmp_path/"r")
    assert (tmp_path/"victim").read_text() == "mine" and not list((tmp_path/"outside").iterdir()) and not fake.exists()


@POSIX
def test_the_working_folder_is_not_exchanged(tmp_path, monkeypatch):
    "A shell that stands in it would be left in a folder that is no more."
    (tmp_path/"here").mkdir()
    monkeypatch.chdir(tmp_path/"here")
    (tmp_path/"here"/"notes").write_text("mine")
    inode = os.stat(".").st_ino
    for overwrite in (False, True):
        put(Path("."), {"a": str(overwrite)}, overwrite=overwrite)
        assert os.stat(tmp_path/"here").st_ino == inode and texts(Path.cwd()) == {"a": str(overwrite), "notes": "mine"}
    assert not hidden(tmp_path)


def test_a_mounted_disk_is_filled_in_place(tmp_path):
    disk = tmp_path/"disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        (disk/"notes").write_text("mine")
        for i, overwrite in enumerate((False, True)):
            put(disk, {"a": str(i)}, overwrite=overwrite)
            assert texts(disk) == {"a": str(i), "notes": "mine"} and not hidden(tmp_path)
    finally: subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_failure_leaves_everything(tmp_path):
    put(tmp_path/"r", OLD)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="no space is left"):
        with files_together(tmp_path/"r", overwrite=True) as made:
            (made/"a").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert tree(tmp_path) == before


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_that_has_ended_but_was_not_asked_for_is_not_running():
    child = subprocess.Popen([sys.executable, "-c", ""])
    give_up = time.monotonic() + 60
    while (Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
           and time.monotonic() < give_up):
        time.sleep(.02)
    assert not is_running(child.pid) and is_running(os.getpid())
    child.wait()


# ---------------------------------------------------------------- JSON and text from outside

@pytest.mark.parametrize("content, words", [
    (b"", "is not JSON"), (b"{", "is not JSON"), (b"[" * 200_000, "nested more than 100"),
    (b'{"a":' * 101 + b"1" + b"}" * 101, "nested more than 100"),
    (b"[]", "must hold an object"), (b"\xff\xfe\x00", "not UTF-8"), ("{}".encode("utf-16"), "not UTF-8"),
    (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is there twice"),
    (b'{"a": ' + b"9" * 10_000 + b"}", "is not JSON"), (b"\x00" * 100, "is not JSON"), (b"NaN", "must hold an object")])
def test_json_that_is_none(tmp_path, content, words):
    (tmp_path/"x.json").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught: read_json(tmp_path/"x.json", remedy="Get it again.")
    assert "x.json" in str(caught.value) and "\n" not in str(caught.value)


def test_json_that_is_one(tmp_path):
    (tmp_path/"x.json").write_bytes(b"\xef\xbb\xbf" + '{"a": [1, "ü"]}'.encode())
    assert read_json(tmp_path/"x.json") == {"a": [1, "ü"]}
    deep = "[" * 100 + "]" * 100
    (tmp_path/"x.json").write_text(deep)
    assert read_json(tmp_path/"x.json", kind=list) == json.loads(deep)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such file"): read_text(tmp_path/"nowhere")
    with pytest.raises(InputError, match="it is a folder"): read_text(tmp_path)
    (tmp_path/"large").write_text("x"*101)
    with pytest.raises(InputError, match="larger than 100 bytes"): read_text(tmp_path/"large", limit=100)
    if os.name != "posix": return
    os.mkfifo(tmp_path/"pipe")
    for place in (tmp_path/"pipe", "/dev/zero"):
        with pytest.raises(InputError, match="not an ordinary file"): read_text(place)
    if os.geteuid() == 0: return
    os.chmod(tmp_path/"large", 0)
    with pytest.raises(InputError, match="permission denied"): read_text(tmp_path/"large")


# ---------------------------------------------------------------- Keras

@pytest.mark.slow
def test_keras_is_first_used_by_eight_threads():
    code = """
import threading
from cancer_dl.core import backend_name, keras_module, set_seed
start, errors, seen = threading.Barrier(8), [], set()
def work(i):
    start.wait()
    try:
        if i % 4 == 3: set_seed(i); backend_name()
        keras = keras_module()
        seen.add(id(keras))
        keras.layers.Dense(2)(keras.Input((3,)))
    except BaseException as error: errors.append(repr(error))
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(errors, len(seen))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[] 1", done.stdout + done.stderr
