"""Downloads against a real HTTP server on loopback: cut, changed, wrong, full, slow, absent; mirrors;
the four kinds of sources."""
import errno
import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from folders import names
from cancer_dl.core import InputError
from cancer_dl.data import sources
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.sources import (GTEX, SOURCES, TCGA, download, fetch, fetch_cohort, fetch_files, file_hash,
                                    find_source, gdc_download,
                                    gdc_files, list_sources, load, recorded_checksums, resuming_downloader)


class Site:
    "What a test server serves, how it misbehaves, and what it was asked."
    def __init__(self):
        self.files, self.log, self.cut, self.status = {}, [], {}, {}
        self.ranges, self.etags, self.if_range, self.length, self.delay, self.weak = True, True, True, True, 0., False

    def bytes_sent(self, name): return [sent for path, _, sent in self.log if path.endswith(name)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass

    def do_GET(self):
        site, path = self.server.site, urllib.parse.unquote(self.path).lstrip("/")
        if site.status.get(path): return self.reply(path, site.status[path].pop(0), b"busy", {})
        if path not in site.files: return self.reply(path, 404, b"<html>no such file</html>", {})
        body = site.files[path]
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        extra = {"ETag": ("W/" if site.weak else "") + etag} if site.etags else {}
        wanted, same = self.headers.get("Range"), self.headers.get("If-Range") == etag or not site.if_range
        if not (wanted and site.ranges and same): return self.reply(path, 200, body, extra)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body): return self.reply(path, 416, b"", extra | {"Content-Range": f"bytes */{len(body)}"})
        self.reply(path, 206, body[start:], extra | {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})

    def reply(self, path, code, body, extra):
        site = self.server.site
        sent = body[:site.cut.pop(path, len(body))]
        site.log.append((path, code, len(sent)))
        self.send_response(code)
        for name, value in extra.items(): self.send_header(name, value)
        if site.length: self.send_header("Content-Length", str(len(body)))
        else: self.send_header("Connection", "close")
        self.end_headers()
        if site.delay: time.sleep(site.delay)
        try: self.wfile.write(sent)
        except OSError: pass
        self.close_connection = True


def serve(site, handler=Handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.site, server.daemon_threads = site, True
    threading.Thread(target=server.serve_forever, args=(.02,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("CANCER_DL_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CANCER_DL_CACHE", str(tmp_path/"default_cache"))


@pytest.fixture
def site():
    site = Site()
    server, site.url = serve(site)
    yield site
    server.shutdown(); server.server_close()


BODY = np.random.default_rng(0).bytes(700_000)
def sha(body): return hashlib.sha256(body).hexdigest()
def quick(url, path, *args, **kwargs): return download(url, path, *args, **{"verbose": False, "wait": 0} | kwargs)


# --- one file -------------------------------------------------------------------------------------------------------

def test_whole_file(site, tmp_path):
    site.files["a b+.bin"] = BODY
    path = quick(f"{site.url}/a%20b%2B.bin", tmp_path/"deep"/"a.bin", "sha256:" + sha(BODY))
    assert path.read_bytes() == BODY and names(tmp_path/"deep") == ["a.bin"]
    assert len(site.log) == 1


def test_md5_and_upper_case_hash(site, tmp_path):
    site.files["a"] = BODY
    quick(f"{site.url}/a", tmp_path/"a", "md5:" + hashlib.md5(BODY).hexdigest().upper())
    assert (tmp_path/"a").exists()


@pytest.mark.parametrize("cut", [0, 1, 65_536, 699_999])
def test_cut_connection_resumes_with_the_rest_only(site, tmp_path, cut):
    site.files["a"], site.cut["a"] = BODY, cut
    assert quick(f"{site.url}/a", tmp_path/"a", "sha256:" + sha(BODY)).read_bytes() == BODY
    if cut: assert site.log == [("a", 200, cut), ("a", 206, len(BODY) - cut)]
    else: assert site.bytes_sent("a")[-1] == len(BODY)


def test_resume_in_a_later_call(site, tmp_path):
    site.files["a"], site.cut["a"] = BODY, 300_000
    with pytest.raises(InputError, match="cut after 300 kB of 700 kB"): quick(f"{site.url}/a", tmp_path/"a", attempts=1)
    assert not (tmp_path/"a").exists() and (tmp_path/"a.part").stat().st_size == 300_000
    quick(f"{site.url}/a", tmp_path/"a")
    assert ((tmp_path/"a").read_bytes() == BODY and site.bytes_sent("a") == [300_000, 400_000]
            and names(tmp_path) == ["a"])


def test_process_killed_in_the_middle_resumes(site, tmp_path):
    site.files["a"], site.delay, site.cut["a"] = BODY, 0, 500_000
    code = ("from cancer_dl.data.sources import download; "
            f"download({site.url + '/a'!r}, {str(tmp_path/'a')!r}, wait=60, verbose=False)")
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.time() + 60
    while (not ((tmp_path/"a.part").exists() and (tmp_path/"a.part").stat().st_size == 500_000)
           and time.time() < deadline):
        time.sleep(.05)
    process.kill(); process.wait()
    assert (tmp_path/"a.part").stat().st_size == 500_000 and not (tmp_path/"a").exists()
    quick(f"{site.url}/a", tmp_path/"a", "sha256:" + sha(BODY))
    assert site.bytes_sent("a") == [500_000, 200_000]


def test_killed_between_the_last_byte_and_the_rename(site, tmp_path):
    site.files["a"], site.cut["a"] = BODY, 100
    with pytest.raises(InputError): quick(f"{site.url}/a", tmp_path/"a", attempts=1)
    (tmp_path/"a.part").write_bytes(BODY)
    quick(f"{site.url}/a", tmp_path/"a", "sha256:" + sha(BODY))
    assert (tmp_path/"a").read_bytes() == BODY and len(site.log) == 1


def test_server_without_ranges_starts_over(site, tmp_path):
    site.ranges, site.files["a"], site.cut["a"] = False, BODY, 300_000
    assert quick(f"{site.url}/a", tmp_path/"a").read_bytes() == BODY
    assert site.log == [("a", 200, 300_000), ("a", 200, len(BODY))]


@pytest.mark.parametrize("validator", ["none", "weak"])
def test_without_a_validator_nothing_is_appended(site, tmp_path, validator):
    site.etags, site.weak = validator != "none", validator == "weak"
    site.files["a"], site.cut["a"] = BODY, 300_000
    assert quick(f"{site.url}/a", tmp_path/"a").read_bytes() == BODY
    assert site.log == [("a", 200, 300_000), ("a", 200, len(BODY))]


def test_file_changed_between_attempts(site, tmp_path):
    site.files["a"], site.cut["a"] = BODY, 300_000
    with pytest.raises(InputError): quick(f"{site.url}/a", tmp_path/"a", attempts=1)
    site.files["a"] = changed = BODY[::-1]
    assert quick(f"{site.url}/a", tmp_path/"a").read_bytes() == changed
    assert site.log[-1] == ("a", 200, len(changed))


def test_file_changed_and_the_server_ignores_if_range(site, tmp_path):
    site.if_range, site.files["a"], site.cut["a"] = False, BODY, 300_000
    with pytest.raises(InputError): quick(f"{site.url}/a", tmp_path/"a", attempts=1)
    site.files["a"] = changed = BODY[::-1]
    assert quick(f"{site.url}/a", tmp_path/"a").read_bytes() == changed


def test_file_became_shorter(site, tmp_path):
    site.if_range, site.files["a"], site.cut["a"] = False, BODY, 300_000
    with pytest.raises(InputError): quick(f"{site.url}/a", tmp_path/"a", attempts=1)
    site.files["a"] = BODY[:1000]
    assert quick(f"{site.url}/a", tmp_path/"a").read_bytes() == BODY[:1000]


def test_part_of_another_address_is_not_used(site, tmp_path):
    site.files |= {"a": BODY, "b": BODY[::-1]}
    site.cut["a"] = 300_000
    with pytest.raises(InputError): quick(f"{site.url}/a", tmp_path/"x", attempts=1)
    assert quick(f"{site.url}/b", tmp_path/"x").read_bytes() == BODY[::-1]


def test_length_unknown(site, tmp_path):
    site.length, site.files["a"] = False, BODY
    assert quick(f"{site.url}/a", tmp_path/"a").read_bytes() == BODY


def test_wrong_checksum_leaves_neither_file_nor_part(site, tmp_path):
    site.files["a"] = BODY
    (tmp_path/"b").write_text("the old one")
    for target in ("a", "b"):
        with pytest.raises(InputError) as caught: quick(f"{site.url}/a", tmp_path/target, "sha256:" + "1"*64)
        assert sha(BODY) in str(caught.value) and "1"*64 in str(caught.value)
    assert names(tmp_path) == ["b"] and (tmp_path/"b").read_text() == "the old one"


def test_damaged_beginning_is_noticed_and_the_next_try_starts_over(site, tmp_path):
    site.files["a"], site.cut["a"] = BODY, 300_000
    with pytest.raises(InputError): quick(f"{site.url}/a", tmp_path/"a", attempts=1)
    (tmp_path/"a.part").write_bytes(bytes(300_000))
    with pytest.raises(InputError, match="expected was"): quick(f"{site.url}/a", tmp_path/"a", "sha256:" + sha(BODY))
    assert quick(f"{site.url}/a", tmp_path/"a", "sha256:" + sha(BODY)).read_bytes() == BODY


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_refusals_are_not_repeated(site, tmp_path, code):
    site.files["a"], site.status["a"] = BODY, [code]*9
    with pytest.raises(InputError, match=f"the server answered {code}"): quick(f"{site.url}/a", tmp_path/"a")
    assert len(site.log) == 1 and names(tmp_path) == []


def test_busy_server_is_asked_again(site, tmp_path):
    site.files["a"], site.status["a"] = BODY, [503, 429, 500]
    assert quick(f"{site.url}/a", tmp_path/"a").read_bytes() == BODY
    assert [code for _, code, _ in site.log] == [503, 429, 500, 200]


def test_patience_ends(site, tmp_path):
    site.files["a"], site.status["a"] = BODY, [503]*99
    with pytest.raises(InputError, match="503"): quick(f"{site.url}/a", tmp_path/"a", attempts=3)
    assert len(site.log) == 3


def test_progress_renews_patience(site, tmp_path):
    site.files["a"] = BODY
    class Flaky(Handler):
        def reply(self, path, code, body, extra):
            site.cut[path] = 100_000
            super().reply(path, code, body, extra)
    server, url = serve(site, Flaky)
    assert quick(f"{url}/a", tmp_path/"a", attempts=2).read_bytes() == BODY
    assert site.bytes_sent("a") == [100_000]*7
    server.shutdown(); server.server_close()


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Sign in</title>", b"\n  <HTML><body>proxy</body></HTML>"])
def test_web_page_instead_of_the_file(site, tmp_path, page):
    site.files["a.tsv"] = page
    with pytest.raises(InputError, match="a web page came instead"): quick(f"{site.url}/a.tsv", tmp_path/"a.tsv")
    assert names(tmp_path) == []


def test_web_page_does_not_cost_what_has_arrived(site, tmp_path):
    site.files["a"], site.cut["a"] = BODY, 300_000
    with pytest.raises(InputError): quick(f"{site.url}/a", tmp_path/"a", attempts=1)
    site.files["a"] = b"<html>please log in</html>"
    with pytest.raises(InputError, match="web page"): quick(f"{site.url}/a", tmp_path/"a")
    site.files["a"] = BODY
    quick(f"{site.url}/a", tmp_path/"a")
    assert site.bytes_sent("a")[-1] == 400_000


def test_not_gzip_and_empty(site, tmp_path):
    site.files |= {"a.gz": b"plain", "b": b""}
    with pytest.raises(InputError, match="not gzip"): quick(f"{site.url}/a.gz", tmp_path/"a.gz")
    with pytest.raises(InputError, match="empty"): quick(f"{site.url}/b", tmp_path/"b")
    assert names(tmp_path) == []


def test_slow_server_times_out_and_the_message_says_so(site, tmp_path):
    site.files["a"], site.delay = BODY, 1.
    with pytest.raises(InputError, match=r"no answer within 0\.1 s"):
        quick(f"{site.url}/a", tmp_path/"a", timeout=.1, attempts=2)
    assert not (tmp_path/"a").exists()


def test_silence_in_the_middle_is_resumed(site, tmp_path):
    site.files["a"] = BODY
    class Stalls(Handler):
        first = [True]
        def reply(self, path, code, body, extra):
            if not self.first: return super().reply(path, code, body, extra)
            self.first.pop()
            self.send_response(200)
            for name, value in extra.items(): self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:250_000]); self.wfile.flush()
            time.sleep(4)
    server, url = serve(site, Stalls)
    assert quick(f"{url}/a", tmp_path/"a", timeout=1.5).read_bytes() == BODY
    assert site.log == [("a", 206, 450_000)]
    server.shutdown(); server.server_close()


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_offline_message(tmp_path):
    url = f"http://127.0.0.1:{closed_port()}/tcga/a.tsv"
    with pytest.raises(InputError) as caught: quick(url, tmp_path/"tcga"/"a.tsv", attempts=2)
    for part in (url, "refused", str(tmp_path/"tcga"/"a.tsv"), "CANCER_DL_MIRROR", "tcga/a.tsv"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_host_and_no_address(tmp_path):
    with pytest.raises(InputError, match="cannot be resolved"):
        quick("http://no-such-host.invalid/a", tmp_path/"a", attempts=1)
    with pytest.raises(InputError, match="not a web address"): quick("no address", tmp_path/"a")


# --- disks ----------------------------------------------------------------------------------------------------------

def test_disk_fills_up_and_the_download_goes_on_later(site, tmp_path, monkeypatch):
    site.files["a"] = BODY
    real, room = sources._write_all, [250_000]
    def write(out, chunk):
        fits = chunk[:room[0]]
        real(out, fits)
        room[0] -= len(fits)
        if len(fits) < len(chunk): raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(sources, "_write_all", write)
    with pytest.raises(InputError, match="No space is left") as caught: quick(f"{site.url}/a", tmp_path/"a")
    assert "250 kB of 700 kB" in str(caught.value) and not (tmp_path/"a").exists() and len(site.log) == 1
    monkeypatch.undo()
    quick(f"{site.url}/a", tmp_path/"a", "sha256:" + sha(BODY))
    assert site.log[-1] == ("a", 206, 450_000)


def test_too_large_for_the_disk_is_said_before_it_is_tried(site, tmp_path, monkeypatch):
    site.files["a"] = BODY
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    with pytest.raises(InputError, match="0 B of 700 kB"): quick(f"{site.url}/a", tmp_path/"a")
    assert not (tmp_path/"a").exists()


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path/"tiny"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
                      capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)])


@pytest.mark.parametrize("length", [True, False])
def test_real_full_disk(site, tiny_disk, length):
    site.files["a"], site.length = BODY, length
    with pytest.raises(InputError, match="No space is left"): quick(f"{site.url}/a", tiny_disk/"a")
    assert not (tiny_disk/"a").exists()


def test_full_disk_when_copying_from_a_mirror(tiny_disk, tmp_path):
    (tmp_path/"mirror"/"cumida").mkdir(parents=True)
    (tmp_path/"mirror"/"cumida"/"Brain_GSE50161.csv").write_bytes(b"samples,type\n" + BODY)
    with pytest.raises(InputError, match="No space is left"):
        fetch("cumida:GSE50161", cache=tiny_disk, mirror=tmp_path/"mirror", verbose=False)
    assert not (tiny_disk/"cumida"/"Brain_GSE50161.csv").exists()


def test_cache_that_is_a_file(site, tmp_path):
    (tmp_path/"cache").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        fetch("cumida:GSE50161", cache=tmp_path/"cache", mirror=site.url, verbose=False)


# --- cache, checksums, mirrors --------------------------------------------------------------------------------------

STUDY = pd.DataFrame({"samples": range(834, 840), "type": ["ependymoma", "glioblastoma", "normal"]*2,
                      **{p: np.round(np.random.default_rng(i).normal(8, 2, 6), 4)
                         for i, p in enumerate(["1007_s_at", "1053_at", "117_at"])}})
CSV, NAME = STUDY.to_csv(index=False).encode(), "cumida/Brain_GSE50161.csv"


def get(site, tmp_path, **kwargs):
    return fetch("cumida:GSE50161", cache=tmp_path/"cache", mirror=site.url, verbose=False, wait=0, **kwargs)


def test_second_fetch_asks_nobody(site, tmp_path):
    site.files[NAME] = CSV
    assert get(site, tmp_path) == get(site, tmp_path) == [tmp_path/"cache"/NAME]
    assert len(site.log) == 1
    entry = recorded_checksums(tmp_path/"cache")[NAME]
    assert (entry["sha256"] == sha(CSV) and entry["bytes"] == len(CSV)
            and entry["url"].startswith("https://sbcb.inf.ufrgs.br/"))


def test_second_fetch_does_not_read_the_file_again(site, tmp_path, monkeypatch):
    site.files[NAME] = CSV
    get(site, tmp_path)
    monkeypatch.setattr(sources, "file_hash", lambda *a: pytest.fail("hashed again"))
    get(site, tmp_path)


def test_trust_on_first_use(site, tmp_path):
    site.files[NAME] = CSV
    path, = get(site, tmp_path)
    path.unlink()
    site.files[NAME] = CSV + b"x"
    with pytest.raises(InputError, match="checksums.json") as caught: get(site, tmp_path)
    assert sha(CSV) in str(caught.value) and sha(CSV + b"x") in str(caught.value) and not path.exists()
    lock = json.loads((tmp_path/"cache"/"checksums.json").read_text())
    del lock[NAME]
    (tmp_path/"cache"/"checksums.json").write_text(json.dumps(lock))
    get(site, tmp_path)
    assert path.read_bytes() == CSV + b"x"


def test_touched_file_is_accepted_changed_file_is_not(site, tmp_path):
    site.files[NAME] = CSV
    path, = get(site, tmp_path)
    os.utime(path, (1, 1))
    get(site, tmp_path)
    path.write_bytes(CSV.replace(b"normal", b"Normal"))
    with pytest.raises(InputError, match="is not the file it was"): get(site, tmp_path)


def test_file_put_there_by_hand(tmp_path):
    (tmp_path/"cache"/"cumida").mkdir(parents=True)
    (tmp_path/"cache"/NAME).write_bytes(CSV)
    assert fetch("cumida:GSE50161", cache=tmp_path/"cache", verbose=False) == [tmp_path/"cache"/NAME]
    assert recorded_checksums(tmp_path/"cache")[NAME]["sha256"] == sha(CSV)


def test_web_page_put_there_by_hand(tmp_path):
    (tmp_path/"cache"/"cumida").mkdir(parents=True)
    (tmp_path/"cache"/NAME).write_bytes(b"<html>404</html>")
    with pytest.raises(InputError, match="a web page"): fetch("cumida:GSE50161", cache=tmp_path/"cache", verbose=False)


def test_pinned_checksum_wins_over_the_recorded_one(site, tmp_path, monkeypatch):
    file = GTEX.files[1]
    source = replace(GTEX, files=(file,))
    monkeypatch.setitem(SOURCES, "gtex", source)
    (tmp_path/"cache"/"gtex").mkdir(parents=True)
    path = tmp_path/"cache"/"gtex"/file.name
    path.write_bytes(gzip.compress(b"other"))
    (tmp_path/"cache"/"checksums.json").write_text(json.dumps({f"gtex/{file.name}": dict(
        sha256=file_hash(path), bytes=path.stat().st_size, mtime_ns=path.stat().st_mtime_ns, url="",
        date="2026-01-01")}))
    with pytest.raises(InputError, match="pinned in this package"): fetch("gtex", cache=tmp_path/"cache", verbose=False)


def test_broken_checksums_file(site, tmp_path):
    site.files[NAME] = CSV
    get(site, tmp_path)
    (tmp_path/"cache"/"checksums.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"): get(site, tmp_path)


def test_mirror_folder_and_environment(tmp_path, monkeypatch):
    (tmp_path/"mirror"/"cumida").mkdir(parents=True)
    (tmp_path/"mirror"/NAME).write_bytes(CSV)
    for mirror, variable in ((tmp_path/"mirror", None), (f"file://{tmp_path}/mirror", None),
                             (None, str(tmp_path/"mirror"))):
        if variable: monkeypatch.setenv("CANCER_DL_MIRROR", variable)
        cache = tmp_path/f"cache{hash((str(mirror), variable))}"
        assert fetch("cumida:GSE50161", cache=cache, mirror=mirror, verbose=False)[0].read_bytes() == CSV
        assert names(cache/"cumida") == ["Brain_GSE50161.csv"]


def test_a_cache_is_a_mirror(site, tmp_path):
    site.files[NAME] = CSV
    get(site, tmp_path)
    assert fetch("cumida:GSE50161", cache=tmp_path/"second", mirror=tmp_path/"cache",
                 verbose=False)[0].read_bytes() == CSV


def test_mirror_troubles(site, tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        fetch("cumida:GSE50161", cache=tmp_path/"c", mirror=tmp_path/"none")
    (tmp_path/"mirror").mkdir()
    with pytest.raises(InputError, match="has no cumida/Brain_GSE50161.csv.*sbcb.inf.ufrgs.br"):
        fetch("cumida:GSE50161", cache=tmp_path/"c", mirror=tmp_path/"mirror")
    with pytest.raises(InputError, match="404"):
        fetch("cumida:GSE50161", cache=tmp_path/"c", mirror=site.url, verbose=False)
    (tmp_path/"mirror"/"cumida").mkdir()
    (tmp_path/"mirror"/NAME).write_bytes(b"<html>")
    with pytest.raises(InputError, match="a web page"):
        fetch("cumida:GSE50161", cache=tmp_path/"c", mirror=tmp_path/"mirror")
    assert not (tmp_path/"c"/NAME).exists()


def test_mirror_quotes_names(site, tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "tcga", replace(TCGA, files=TCGA.files[:1]))
    site.files["tcga/" + TCGA.files[0].name] = gzip.compress(b"sample\n")
    assert fetch("tcga", cache=tmp_path, mirror=site.url + "/", verbose=False)[0].name.startswith("EB++Adjust")


def test_threads_and_processes_share_one_download(site, tmp_path):
    site.files[NAME], site.delay = CSV, .3
    with ThreadPoolExecutor(6) as pool: paths = list(pool.map(lambda _: get(site, tmp_path)[0], range(6)))
    assert len(set(paths)) == 1 and len(site.log) == 1
    code = ("import sys; from cancer_dl.data.sources import fetch; "
            f"fetch('cumida:GSE50161', cache={str(tmp_path/'other')!r}, mirror={site.url!r}, verbose=False)")
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert len(site.log) == 2 and (tmp_path/"other"/NAME).read_bytes() == CSV


def test_many_files_at_once_are_all_recorded(site, tmp_path):
    accessions = sorted(sources.CUMIDA)[:12]
    for a in accessions: site.files[f"cumida/{sources.CUMIDA[a]}_{a}.csv"] = CSV + a.encode()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda a: fetch(f"cumida:{a}", cache=tmp_path, mirror=site.url, verbose=False), accessions))
    assert len(recorded_checksums(tmp_path)) == 12


def test_pooch_downloader_resumes(site, tmp_path, monkeypatch):
    import pooch
    monkeypatch.setenv("TQDM_DISABLE", "1")
    site.files["a"], site.cut["a"], site.status["a"] = BODY, 300_000, []
    kitchen = pooch.create(tmp_path/"pooch", f"{site.url}/", registry={"a": sha(BODY)})
    path = kitchen.fetch("a", downloader=resuming_downloader)
    assert (open(path, "rb").read() == BODY and site.bytes_sent("a") == [300_000, 400_000]
            and names(tmp_path/"pooch") == ["a"])


# --- names ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["", "tgca", "cumida", "cumida:", "gdc:", "gdc:../../etc", "cumida:/etc/passwd",
                                  "cumida:a/b/c", "gdc:a b", "tcga:x", "gdc:TCGA-CHOL\n"])
def test_names_that_are_refused(name):
    with pytest.raises(InputError): find_source(name)


def test_unknown_accession_names_the_way_out():
    with pytest.raises(InputError, match="cumida:CANCER/GSE99999"): find_source("cumida:GSE99999")
    assert find_source("cumida:Gastric/GSE54129").files[0].url.endswith("Genes/Gastric/GSE54129/Gastric_GSE54129.csv")


def test_registry_is_complete():
    table = list_sources()
    assert set(table.index) == {"tcga", "gtex", "cumida:ACCESSION", "gdc:PROJECT"} and not table.isna().any().any()
    for source in (TCGA, GTEX, find_source("cumida:GSE50161")):
        assert source.units and source.licence and "doi:" in source.citation
        for file in source.files:
            assert (file.url.startswith("https://")
                    and urllib.parse.unquote(file.url.rpartition("/")[2]).endswith(file.name))
            assert file.sha256 is None or len(file.sha256) == 64


# --- cohorts --------------------------------------------------------------------------------------------------------

def tsv(*rows): return "\n".join("\t".join(map(str, row)) for row in rows).encode() + b"\n"
TUMOUR, NORMAL, UNKNOWN = "TCGA-OR-A5J1-01", "TCGA-W5-AA2I-11", "TCGA-ZZ-0000-01"


def put_tcga(site, expression=None):
    expression = expression or [["TP53", 9.5, 8.25, 10], ["SLC35E2", 1, 2, 9], ["HOLE", 1, "NA", 2],
                                ["SLC35E2", 3, 2, 1], ["NEG", -.5, 0, 1]]
    site.files |= (
        {"tcga/" + TCGA.files[0].name: gzip.compress(tsv(["sample", TUMOUR, NORMAL, UNKNOWN], *expression)),
"tcga/" + TCGA.files[1].name: gzip.compress(tsv(["sample", "sample_type_id", "sample_type", "_primary_disease"],
  [TUMOUR, 1, "Primary Tumor", "adrenocortical cancer"], [NORMAL, 11, "Solid Tissue Normal", "cholangiocarcinoma"],
                                              ["TCGA-XX-0001-01", 1, "Primary Tumor", "sarcoma"])),
         "tcga/" + TCGA.files[2].name: tsv(["sample", "_PATIENT", "cancer type abbreviation",
                                            "ajcc_pathologic_tumor_stage"], [TUMOUR, "TCGA-OR-A5J1", "ACC", "Stage II"],
                                           [NORMAL, "TCGA-W5-AA2I", "", "Stage I"])})


def put_gtex(site, monkeypatch):
    monkeypatch.setitem(SOURCES, "gtex", replace(GTEX, files=tuple(replace(f, sha256=None) for f in GTEX.files)))
    log = lambda *tpm: [round(float(v), 4) for v in np.log2(np.array(tpm) + .001)]
    g, t = "GTEX-13S7M-0011-R10b-SM-5PNZB", TUMOUR
    site.files |= {"gtex/" + GTEX.files[0].name: gzip.compress(
        tsv(["sample", g, t, "TARGET-10-PANZZZ-09"], ["ENSG00000141510.16", *log(3, 7, 1)],
            ["ENSG00000000003.14", *log(0, 4, 1)], ["ENSG00000999999.1", *log(0, 8, 1)],
            ["ENSG00000777777.1", *log(2, 2, 2)])), "gtex/" + GTEX.files[1].name: gzip.compress("\n".join(
                ["sample\tdetailed_category\tprimary disease or tissue\t_primary_site\t_sample_type\t_gender\t_study",
                 f"{g}\tBrain - Cortex\tx\tBrain\tNormal Tissue\tmale\tGTEX",
                 f"{t}\tAdrenocortical Cancer\tx\tAdrenal gland\tPrimary Tumor\tfemale\tTCGA",
                 "TARGET-10-PANZZZ-09\tLeuk\xe9mia\tx\tWhite blood cell\tPrimary Tumor\tmale\tTARGET",
                 "GTEX-ABSENT-1\tLung\tx\tLung\tNormal Tissue\tmale\tGTEX"]).encode("latin-1")),
                   "gtex/" + GTEX.files[2].name: tsv(["id", "gene", "chrom"], ["ENSG00000141510.16", "TP53", "chr17"],
                                                     ["ENSG00000000003.14", "TSPAN6", "chrX"],
                                                     ["ENSG00000999999.1", "TP53", "chr1"])}


def test_tcga_cohort(site, tmp_path):
    put_tcga(site)
    cohort = load("tcga", cache=tmp_path, mirror=site.url, verbose=False)
    assert list(cohort.var_names) == ["TP53", "SLC35E2", "NEG"] and cohort.X.dtype == np.float32
    assert np.array_equal(cohort.X, np.float32([[9.5, 1, 0], [8.25, 2, 0], [10, 9, 1]]))
    assert (list(cohort.obs.cancer_type) == ["ACC", "CHOL", ""]
            and list(cohort.obs.sample_type) == ["primary", "normal", "primary"])
    assert (list(cohort.obs.patient) == ["TCGA-OR-A5J1", "TCGA-W5-AA2I", "TCGA-ZZ-0000"]
            and cohort.obs.tissue.iloc[1] == "liver")
    assert cohort.uns["units"] == "log2(normalized count+1)" and cohort.uns["negative_values_set_to_0"] == 1


def test_tcga_missing_rules_and_genes(site, tmp_path):
    put_tcga(site)
    zero = load("tcga", cache=tmp_path, mirror=site.url, missing="zero", verbose=False)
    assert zero[:, "HOLE"].X[:, 0].tolist() == [1, 0, 2]
    some = load("tcga", cache=tmp_path, mirror=site.url, genes=["SLC35E2", "TP53", "MYC"], verbose=False)
    assert list(some.var_names) == ["TP53", "SLC35E2"]
    with pytest.raises(InputError, match="none of the 1 genes"):
        load("tcga", cache=tmp_path, mirror=site.url, genes=["MYC"], verbose=False)
    with pytest.raises(InputError, match="missing"):
        load("tcga", cache=tmp_path, mirror=site.url, missing="mean", verbose=False)


def test_tcga_bad_files(site, tmp_path):
    put_tcga(site, [["TP53", 1, 2, "high"]])
    with pytest.raises(InputError, match="high"): load("tcga", cache=tmp_path/"a", mirror=site.url, verbose=False)
    put_tcga(site)
    whole = site.files["tcga/" + TCGA.files[0].name]
    site.files["tcga/" + TCGA.files[0].name] = whole[:-12]
    with pytest.raises(InputError, match="[Tt]runcated|cut off|end"):
        load("tcga", cache=tmp_path/"b", mirror=site.url, verbose=False)
    with pytest.raises(InputError, match="truncated"):
        load("tcga", cache=tmp_path/"b", mirror=site.url, genes=["TP53"], verbose=False)
    put_tcga(site)
    site.files["tcga/" + TCGA.files[2].name] = tsv(["sample", "patient"], [TUMOUR, "x"])
    with pytest.raises(InputError, match="_PATIENT"): load("tcga", cache=tmp_path/"c", mirror=site.url, verbose=False)


def test_gtex_cohort(site, tmp_path, monkeypatch):
    put_gtex(site, monkeypatch)
    cohort = load("gtex", cache=tmp_path, mirror=site.url, verbose=False)
    assert (list(cohort.var_names) == ["TP53", "TSPAN6", "ENSG00000777777"]
            or list(cohort.var_names) == ["TP53", "TSPAN6", "ENSG00000777777.1"])
    assert np.allclose(2**cohort.X - 1, [[3, 0, 2], [15, 4, 2]], atol=5e-3) and cohort.X.dtype == np.float32
    assert list(cohort.obs.cancer_type) == ["", "ACC"] and list(cohort.obs.batch) == ["GTEX", "TCGA"]
    assert (list(cohort.obs.sample_type) == ["normal", "primary"]
            and list(cohort.obs.patient) == ["GTEX-13S7M", "TCGA-OR-A5J1"])
    only = load("gtex", cache=tmp_path, mirror=site.url, genes=["TP53"], verbose=False)
    assert np.allclose(only.X, cohort[:, ["TP53"]].X) and only.uns["units"] == "log2(TPM+1)"


def test_cumida_cohort_and_bad_csv(site, tmp_path):
    site.files[NAME] = CSV
    cohort = load("cumida:GSE50161", cache=tmp_path, mirror=site.url, verbose=False)
    assert (cohort.shape == (6, 3) and np.allclose(cohort.X, STUDY.iloc[:, 2:])
            and list(cohort.obs_names) == [str(i) for i in range(834, 840)])
    assert list(cohort.obs.cancer_type) == list(STUDY.type) and (cohort.obs.sample_type == "normal").sum() == 2
    assert load("cumida:GSE50161", cache=tmp_path, mirror=site.url, genes=["117_at"], verbose=False).shape == (6, 1)
    for i, (bad, match) in enumerate([(CSV.replace(b",type,", b",kind,"), "type|kind"),
                                      (b"samples,type,p1,p2\n1,normal,x,2\n", "'x'")]):
        site.files[NAME] = bad
        with pytest.raises(InputError, match=match):
            load("cumida:GSE50161", cache=tmp_path/str(i), mirror=site.url, verbose=False)


def test_fetch_cohort(site, tmp_path):
    site.files[NAME] = CSV
    path = fetch_cohort("cumida:GSE50161", cache=tmp_path/"c", mirror=site.url, verbose=False)
    assert path == tmp_path/"c"/"cohorts"/"cumida_GSE50161" and read_cohort(path).shape == (6, 3)
    stamp = (path/"expression.parquet").stat().st_mtime_ns
    assert (fetch_cohort("cumida:GSE50161", cache=tmp_path/"c", verbose=False) == path
            and (path/"expression.parquet").stat().st_mtime_ns == stamp)
    fewer = fetch_cohort("cumida:GSE50161", cache=tmp_path/"c", genes=["117_at"], verbose=False)
    assert fewer != path and read_cohort(fewer).shape == (6, 1) and read_cohort(path).shape == (6, 3)
    h5ad = fetch_cohort("cumida:GSE50161", tmp_path/"x.h5ad", cache=tmp_path/"c", verbose=False)
    assert read_cohort(h5ad).uns["units"] == "log2(intensity)"


def test_written_tcga_and_gtex_cohorts_are_read_back(site, tmp_path, monkeypatch):
    put_tcga(site); put_gtex(site, monkeypatch)
    for name in ("tcga", "gtex"):
        cohort = load(name, cache=tmp_path, mirror=site.url, verbose=False)
        again = read_cohort(fetch_cohort(name, cache=tmp_path, mirror=site.url, verbose=False))
        assert np.array_equal(again.X, cohort.X) and again.uns["units"] == cohort.uns["units"]
        assert list(again.obs.patient) == list(cohort.obs.patient)


# --- GDC ------------------------------------------------------------------------------------------------------------

def star(tp53, extra="",
         genes=(("ENSG00000141510.18", "TP53"), ("ENSG00000146648.18", "EGFR"), ("ENSG00000146648.18_PAR_Y", "EGFR"))):
    head = ["gene_id", "gene_name", "gene_type", "unstranded", "stranded_first", "stranded_second", "tpm_unstranded",
            "fpkm_unstranded", "fpkm_uq_unstranded"]
    rows = [[g, s, "protein_coding", c, c, 0, c/2, c/4, c/4] for (g, s), c in zip(genes, (tp53, 4, 2))]
    return tsv(["# gene-model: GENCODE v36" + extra], head, ["N_unmapped", "", "", 5, 5, 5, "", "", ""], *rows)


class Gdc(Handler):
    def do_POST(self):
        site, asked = self.server.site, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        site.asked.append((self.path, asked))
        if site.status.get(self.path): return self.reply(self.path, site.status[self.path].pop(0), b"busy", {})
        if self.path == "/files":
            filters = {c["content"]["field"]: c["content"]["value"] for c in asked["filters"]["content"]}
            hits = [h for h in site.hits
                    if h["cases"][0]["project"]["project_id"] in filters["cases.project.project_id"]]
            page = hits[asked["from"]:asked["from"] + asked["size"]]
            return self.reply("files", 200, json.dumps(
                {"data": {"hits": page, "pagination": {"total": len(hits), "from": asked["from"]}}}).encode(), {})
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=0) as archive:
            for h in site.hits:
                if h["file_id"] not in asked["ids"]: continue
                member = tarfile.TarInfo(f"{h['file_id']}/{h['file_name']}")
                content = site.content[h["file_id"]]
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            evil = tarfile.TarInfo("../../evil.txt"); evil.size = 4
            archive.addfile(evil, io.BytesIO(b"evil"))
            archive.addfile(tarfile.TarInfo("MANIFEST.txt"))
        self.reply("archive", 200, out.getvalue(), {})


@pytest.fixture
def gdc():
    site = Site()
    site.asked, site.content, site.hits = [], {}, []
    for i in range(7):
        file_id, patient, content = f"{i:08d}-1111", f"TCGA-W5-AA2{'GHIJKLM'[i]}", star(10*i, "x"*2000)
        site.content[file_id] = content
        site.hits.append({"id": file_id, "file_id": file_id,
                          "file_name": f"{file_id}.rna_seq.augmented_star_gene_counts.tsv", "file_size": len(content),
                          "md5sum": hashlib.md5(content).hexdigest(),
                          "associated_entities": [{"entity_submitter_id": f"{patient}-01A-31R-A41I-07"}],
                          "cases": [{"submitter_id": patient, "primary_site": "Liver",
                                     "project": {"project_id": "TCGA-CHOL" if i < 6 else "TCGA-LIHC"},
                                     "samples": [{"submitter_id": f"{patient}-01A", "sample_type":
                                                  "Solid Tissue Normal" if i == 5 else "Primary Tumor"}]}]})
        site.files[f"data/{file_id}"] = content
    server, site.url = serve(site, Gdc)
    yield site
    server.shutdown(); server.server_close()


def test_gdc_sheet_is_paged(gdc):
    sheet = gdc_files("TCGA-CHOL+TCGA-LIHC", gdc.url, page=3)
    assert len(sheet) == 7 and [asked["from"] for _, asked in gdc.asked] == [0, 3, 6]
    assert (sheet.sample_id[0] == "TCGA-W5-AA2G-01A-31R-A41I-07" and sheet.sample_type[5] == "Solid Tissue Normal"
            and sheet.project[6] == "TCGA-LIHC")
    values = {c["content"]["field"]: c["content"]["value"] for c in gdc.asked[0][1]["filters"]["content"]}
    assert (values["analysis.workflow_type"] == ["STAR - Counts"] and values["data_format"] == ["TSV"]
            and values["access"] == ["open"])


def test_gdc_download_batches_and_leaves_no_litter(gdc, tmp_path):
    paths = gdc_download(gdc_files("TCGA-CHOL", gdc.url), tmp_path/"g", gdc.url, batch=4, verbose=False)
    assert [p.read_bytes() for p in paths] == [gdc.content[f"{i:08d}-1111"] for i in range(6)]
    assert [len(asked["ids"]) for path, asked in gdc.asked if path == "/data"] == [4, 2]
    assert all(names(folder) == [paths[i].name] for i, folder in enumerate(sorted((tmp_path/"g").iterdir())))
    assert not list(tmp_path.rglob("evil*")) and not (tmp_path.parent/"evil.txt").exists()


def test_gdc_cut_archive_keeps_what_arrived(gdc, tmp_path):
    gdc.cut["archive"] = 9000
    gdc_download(gdc_files("TCGA-CHOL", gdc.url), tmp_path, gdc.url, wait=0, verbose=False)
    asked = [len(asked["ids"]) for path, asked in gdc.asked if path == "/data"]
    assert asked[0] == 6 and 1 < asked[1] < 6 and len(names(tmp_path)) == 6


def test_gdc_single_file_and_cached(gdc, tmp_path):
    sheet = gdc_files("TCGA-LIHC", gdc.url)
    path, = gdc_download(sheet, tmp_path, gdc.url, verbose=False)
    assert path.read_bytes() == gdc.content["00000006-1111"] and gdc.log[-1][0] == "data/00000006-1111"
    before = len(gdc.log)
    gdc_download(sheet, tmp_path, gdc.url, verbose=False)
    assert len(gdc.log) == before


def test_gdc_damaged_file_is_never_kept(gdc, tmp_path):
    sheet = gdc_files("TCGA-CHOL", gdc.url)
    good, two = dict(gdc.content), ["00000001-1111", "00000002-1111"]
    for i in two: gdc.content[i] = b"damaged"
    with pytest.raises(InputError, match="00000002.* arrived damaged"):
        gdc_download(sheet, tmp_path, gdc.url, wait=0, attempts=2, verbose=False)
    assert names(tmp_path) == [i for i in good if i not in two and i != "00000006-1111"]
    gdc.content["00000001-1111"], gdc.files["data/00000002-1111"] = good["00000001-1111"], b"damaged"
    with pytest.raises(InputError, match="not the file that was expected"):
        gdc_download(sheet, tmp_path, gdc.url, wait=0, attempts=2, verbose=False)
    assert not list(tmp_path.glob("00000002-1111/*")) and list(tmp_path.glob("00000001-1111/*.tsv"))
    gdc.files["data/00000002-1111"] = good["00000002-1111"]
    assert all(p.exists() for p in gdc_download(sheet, tmp_path, gdc.url, verbose=False))


def test_gdc_busy_empty_offline(gdc, tmp_path):
    gdc.status["/files"] = [503, 503]
    assert len(gdc_files("TCGA-CHOL", gdc.url, wait=0)) == 6
    with pytest.raises(InputError, match="no open STAR - Counts files for 'TCGA-XXXX'"): gdc_files("TCGA-XXXX", gdc.url)
    with pytest.raises(InputError, match="refused"):
        gdc_files("TCGA-CHOL", f"http://127.0.0.1:{closed_port()}", attempts=1)


def test_gdc_cohort(gdc, tmp_path):
    cohort = load("gdc:TCGA-CHOL+TCGA-LIHC", cache=tmp_path, api=gdc.url, verbose=False)
    assert (cohort.shape == (7, 2) and list(cohort.var_names) == ["TP53", "EGFR"]
            and cohort.uns["units"] == "log2(TPM+1)")
    assert np.allclose(cohort.X[:, 0], np.log2(5*np.arange(7) + 1)) and np.allclose(cohort.X[:, 1], np.log2(2 + 1 + 1))
    assert list(cohort.obs.cancer_type) == ["CHOL"]*6 + ["LIHC"] and (cohort.obs.sample_type == "normal").sum() == 1
    assert set(cohort.obs.tissue) == {"liver"} and cohort.obs.patient.iloc[0] == "TCGA-W5-AA2G"
    before = len(gdc.log)
    counts = load("gdc:TCGA-CHOL+TCGA-LIHC", cache=tmp_path, api=gdc.url, values="unstranded", genes=["TP53"],
                  verbose=False)
    assert (counts.X[:, 0].tolist() == [0, 10, 20, 30, 40, 50, 60] and counts.uns["units"] == "counts"
            and len(gdc.log) == before)
    with pytest.raises(InputError, match="tpm_unstranded"):
        load("gdc:TCGA-CHOL+TCGA-LIHC", cache=tmp_path, api=gdc.url, values="tpm", verbose=False)


def test_gdc_cache_serves_as_mirror(gdc, tmp_path):
    first = load("gdc:TCGA-CHOL", cache=tmp_path/"a", api=gdc.url, verbose=False)
    second = load("gdc:TCGA-CHOL", cache=tmp_path/"b", mirror=tmp_path/"a", api="http://127.0.0.1:9", verbose=False)
    assert np.array_equal(first.X, second.X)


def test_gdc_files_of_two_releases(gdc, tmp_path):
    files = fetch_files("gdc:TCGA-CHOL", cache=tmp_path, api=gdc.url, verbose=False)
    files["TCGA-W5-AA2H-01A-31R-A41I-07"].write_bytes(star(1, genes=(("ENSG1", "A"), ("ENSG2", "B"), ("ENSG3", "C"))))
    with pytest.raises(InputError, match="different releases"):
        load("gdc:TCGA-CHOL", cache=tmp_path, api=gdc.url, verbose=False)


# --- names and promises of others ------------------------------------------------------------------------------------

def sheet_of(*rows, columns=None):
    base = dict(sample_id="TCGA-W5-AA2G-01A-31R-A41I-07", file_id="00000000-1111", file_name="a.tsv", file_size="",
                md5sum="", patient="TCGA-W5-AA2G", sample="TCGA-W5-AA2G-01A",
                sample_type="Primary Tumor", project="TCGA-CHOL", primary_site="Liver")
    return pd.DataFrame([{**base, **row} for row in rows], columns=columns)


def mirror_with(folder, sheet, **files):
    "A mirror with a sample sheet; files that its names lead to, so that nothing fails for want of them."
    home = folder/"gdc"/"TCGA-CHOL"
    home.mkdir(parents=True)
    sheet.to_csv(home/"sample_sheet.tsv", sep="\t", index=False)
    for name, content in files.items():
        (home/name.replace("__", "/")).parent.mkdir(parents=True, exist_ok=True)
        (home/name.replace("__", "/")).write_bytes(content)
    return folder


BAD_NAMES = ["../..", "..", ".", "", "../../evil", "/etc", "/abs/olute", "a/b", "a\\b", "..\\..\\x", "C:x", "C:",
             "\\\\server\\share", "nul", "COM1.tsv", ".ssh", "x.", "x ", "a\x01b", "a:b", "x"*300]


@pytest.mark.parametrize("column", ["file_id", "file_name"])
@pytest.mark.parametrize("kind", ["folder", "web"])
def test_a_mirror_writes_only_where_it_may(site, tmp_path, column, kind):
    for i, name in enumerate(BAD_NAMES):
        sheet = sheet_of({column: name})
        place = tmp_path/f"{i}"
        site.files["gdc/TCGA-CHOL/sample_sheet.tsv"] = sheet.to_csv(sep="\t", index=False).encode()
        mirror = site.url if kind == "web" else mirror_with(place/"mirror", sheet)
        with pytest.raises(InputError, match="no plain file name|no readable sample sheet"):
            load("gdc:TCGA-CHOL", cache=place/"deep"/"cache", mirror=mirror, verbose=False, wait=0, attempts=1)
        assert [p.name for p in (place/"deep").rglob("*")
                if p.is_file() and ".locks" not in p.parts] == ["sample_sheet.tsv"], name
        with pytest.raises(InputError, match="no plain file name"):
            gdc_download(sheet, place/"deep"/"d", "http://127.0.0.1:9", verbose=False, attempts=1)


@pytest.mark.parametrize("column", ["file_id", "file_name"])
def test_the_gdc_itself_is_not_believed_either(gdc, tmp_path, column):
    gdc.hits[0][column] = "../../evil"
    with pytest.raises(InputError, match="no plain file name"):
        load("gdc:TCGA-CHOL", cache=tmp_path/"a"/"b", api=gdc.url, verbose=False)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and ".locks" not in p.parts]
    gdc.hits[0] = {"file_id": "x"}
    gdc.hits[0]["cases"] = [{"project": {"project_id": "TCGA-CHOL"}}]
    with pytest.raises(InputError, match="another form than that of the GDC"): gdc_files("TCGA-CHOL", gdc.url)


@pytest.mark.parametrize("change, words", [
    (dict(md5sum="abc"), "no size or MD5"), (dict(file_size="-5"), "no size or MD5"),
    (dict(file_size="1e3"), "no size or MD5"), (dict(sample_id="sample_sheet"), "called sample_sheet")])
def test_sample_sheets_that_contradict_themselves(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        load("gdc:TCGA-CHOL", cache=tmp_path/"c", mirror=mirror_with(tmp_path/"m", sheet_of(change)), verbose=False)


def test_sample_sheets_that_are_none(tmp_path):
    twice = sheet_of({}, {"sample_id": "other"})
    for i, (content, words) in enumerate(
        [(twice.to_csv(sep="\t", index=False).encode(), "twice"), (b"a\tb\n1\t2\n", "no column sample_id"),
         (b"\xff\xfe\x00", "sample sheet|column"), (b'sample_id\t"x', "sample sheet|column")]):
        mirror = mirror_with(tmp_path/str(i), sheet_of({}))
        (mirror/"gdc"/"TCGA-CHOL"/"sample_sheet.tsv").write_bytes(content)
        with pytest.raises(InputError, match=words):
            load("gdc:TCGA-CHOL", cache=tmp_path/f"c{i}", mirror=mirror, verbose=False)


@pytest.mark.parametrize("promise, words", [(dict(file_size="5000"), "promised were 5,000"),
                                            (dict(md5sum="0"*32), "is not the file that was expected")])
def test_a_file_of_a_mirror_that_breaks_its_promise_is_not_kept(site, tmp_path, promise, words):
    content = star(10)
    sheet = sheet_of(promise)
    site.files |= {"gdc/TCGA-CHOL/sample_sheet.tsv": sheet.to_csv(sep="\t", index=False).encode(),
                   "gdc/TCGA-CHOL/00000000-1111/a.tsv": content}
    for kind, mirror in (("web", site.url),
                         ("folder", mirror_with(tmp_path/"m", sheet, **{"00000000-1111__a.tsv": content}))):
        with pytest.raises(InputError, match=words):
            load("gdc:TCGA-CHOL", cache=tmp_path/kind, mirror=mirror, verbose=False)
        assert not list((tmp_path/kind).rglob("a.tsv*"))
    good = sheet_of(dict(file_size=str(len(content)), md5sum=hashlib.md5(content).hexdigest().upper()))
    mirror = mirror_with(tmp_path/"good", good, **{"00000000-1111__a.tsv": content})
    assert load("gdc:TCGA-CHOL", cache=tmp_path/"g", mirror=mirror, verbose=False).shape == (1, 2)


def test_a_member_of_another_size_than_promised_is_damaged(gdc, tmp_path):
    sheet = gdc_files("TCGA-CHOL", gdc.url)
    sheet.loc[2, ["file_size", "md5sum"]] = [10**9, ""]
    with pytest.raises(InputError, match="promised were 1,000,000,000"):
        gdc_download(sheet, tmp_path, gdc.url, wait=0, attempts=2, verbose=False)  # asked for alone at last
    assert len(names(tmp_path)) == 6 and not list(tmp_path.glob("00000002-1111/*"))


def test_a_promised_size_holds_for_a_download(site, tmp_path):
    site.files["a"], site.length = BODY, False
    with pytest.raises(InputError, match="700,000 bytes, promised were 700,001"):
        quick(f"{site.url}/a", tmp_path/"a", size=700_001)
    assert names(tmp_path) == []
    assert quick(f"{site.url}/a", tmp_path/"a", size=700_000).read_bytes() == BODY


def test_the_whole_length_is_what_the_range_says(site, tmp_path):
    "A server that gives the rest in pieces, each with the length of the piece only."
    site.files["a"], site.cut["a"] = BODY, 300_000
    class Pieces(Handler):
        def reply(self, path, code, body, extra):
            super().reply(path, code, body[:100_000] if code == 206 else body, extra)
    server, url = serve(site, Pieces)
    assert quick(f"{url}/a", tmp_path/"a", attempts=2).read_bytes() == BODY
    assert site.bytes_sent("a") == [300_000] + [100_000]*4
    server.shutdown(); server.server_close()


def test_a_length_that_was_promised_once_is_not_forgotten(site, tmp_path):
    "The answer to the second request tells no length, and is cut."
    site.files["a"], site.cut["a"] = BODY, 300_000
    class Forgetful(Handler):
        def reply(self, path, code, body, extra):
            site.length = code != 206
            if code == 206:
                extra = {k: v.rpartition("/")[0] + "/*" if k == "Content-Range" else v for k, v in extra.items()}
                site.cut[path] = 100_000
            super().reply(path, code, body, extra)
    server, url = serve(site, Forgetful)
    assert quick(f"{url}/a", tmp_path/"a", attempts=2).read_bytes() == BODY
    assert site.bytes_sent("a") == [300_000] + [100_000]*4
    server.shutdown(); server.server_close()


def test_a_gzip_of_unknown_length_must_end_well(site, tmp_path):
    whole = gzip.compress(BODY)
    site.files["a.gz"], site.length, site.cut["a.gz"] = whole, False, len(whole)//2
    assert quick(f"{site.url}/a.gz", tmp_path/"a.gz").read_bytes() == whole
    site.files["b.gz"] = whole[:-9]
    with pytest.raises(InputError, match="Cannot download"): quick(f"{site.url}/b.gz", tmp_path/"b.gz", attempts=2)
    assert not (tmp_path/"b.gz").exists()


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"a": {}}', "[" * 10**5, '{"a": {"sha256": 1}}'])
def test_records_of_checksums_that_are_none(tmp_path, content):
    (tmp_path/"checksums.json").write_text(content)
    with pytest.raises(InputError, match="checksums.json"): recorded_checksums(tmp_path)


def test_a_cohort_is_not_fetched_over_something_else(site, tmp_path):
    site.files[NAME] = CSV
    words = dict(cache=tmp_path/"c", mirror=site.url, verbose=False)
    (tmp_path/"mine").mkdir()
    (tmp_path/"mine"/"thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds something else"):
            fetch_cohort("cumida:GSE50161", tmp_path/"mine", overwrite=overwrite, **words)
    assert not site.log  # before anything was fetched
    fetch_cohort("cumida:GSE50161", tmp_path/"out", **words)
    (tmp_path/"out"/"notes.txt").write_text("mine")
    with pytest.raises(InputError, match="overwrite=True"): fetch_cohort("cumida:GSE50161", tmp_path/"out", **words)
    fetch_cohort("cumida:GSE50161", tmp_path/"out", overwrite=True, **words)
    assert (tmp_path/"out"/"notes.txt").read_text() == "mine" and read_cohort(tmp_path/"out").shape == (6, 3)
