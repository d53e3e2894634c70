"""The Debian package of `make deb`: installed on this machine, used as its own user, removed again.

Runs where there is a package, root, dpkg, and no martlet installed.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import httpx
import httpx_sse
import pytest

from server import ROOT, clean_environment

PACKAGES = sorted((ROOT / "dist").glob("martlet_*.deb"))
DATA = Path("/var/lib/martlet")
CONFIG = Path("/etc/martlet/martlet.yaml")
SECRET = CONFIG.with_name("secret")

pytestmark = [
    pytest.mark.skipif(not PACKAGES, reason="there is no package: make deb"),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dpkg"), reason="needs root and dpkg"),
    pytest.mark.skipif(Path("/usr/bin/martlet").exists() or DATA.exists() or CONFIG.parent.exists(), reason="martlet is installed here"),
]


def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120, env=clean_environment())
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture
def installed():
    had_user = any(entry.pw_name == "martlet" for entry in pwd.getpwall())
    try:
        run("dpkg", "-i", str(PACKAGES[-1]))
        yield
    finally:
        run("dpkg", "--purge", "martlet", check=False)
        shutil.rmtree(DATA, ignore_errors=True)
        shutil.rmtree(CONFIG.parent, ignore_errors=True)
        if not had_user:
            run("userdel", "martlet", check=False)
            run("groupdel", "martlet", check=False)


def test_install_use_remove(installed):
    account = pwd.getpwnam("martlet")
    assert account.pw_uid < 1000 and account.pw_shell.endswith("nologin")
    assert (DATA.stat().st_uid, DATA.stat().st_mode & 0o777) == (account.pw_uid, 0o750)
    status = run("dpkg-query", "-W", "-f", "${Depends}\n${Conffiles}", "martlet").stdout
    assert "libc6 (>=" in status and "libsqlite3-0" in status and "adduser" in status
    assert "/etc/martlet/martlet.yaml" in status
    libraries = run("ldd", "/usr/bin/martlet").stdout
    assert "libswift" not in libraries and "not found" not in libraries
    if shutil.which("systemd-analyze"):
        assert run("systemd-analyze", "verify", "/lib/systemd/system/martlet.service").stderr == ""

    # Without an option it reads the file of the package.
    checked = run("runuser", "-u", "martlet", "--", "martlet", "config", "check").stdout
    assert "/etc/martlet/martlet.yaml read" in checked and "/var/lib/martlet" in checked

    # Root makes a key; the server's user can use the file that it is in.
    key = run("martlet", "key", "create", "--name", "test").stdout.strip()
    assert key.startswith("mk_")
    assert {file.stat().st_uid for file in DATA.iterdir()} == {account.pw_uid}
    SECRET.write_text("0123456789abcdef" * 4 + "\n")
    SECRET.chmod(0o400)
    os.chown(SECRET, account.pw_uid, account.pw_gid)
    with CONFIG.open("a") as config:
        config.write(f"tokens.secretFile: {SECRET}\nlisten: 127.0.0.1:0\n")
    token = run("martlet", "token", "--user", "alice", "--device", "d", "--secret-file", str(SECRET)).stdout.strip()

    process = subprocess.Popen(
        ["/usr/bin/martlet", "serve"], user="martlet", group="martlet", extra_groups=[],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(), cwd=DATA)
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), process.stderr.read()
        url = line.removeprefix("listening on ").strip()
        with httpx.Client(trust_env=False, timeout=10) as client:
            message = {"to": {"user": "alice"}, "type": "test", "data": "from the package"}
            assert client.post(url + "/v1/messages", json=message).status_code == 401
            answer = client.post(url + "/v1/messages", json=message, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 202, answer.text
            headers = {"Authorization": f"Bearer {token}"}
            with httpx_sse.connect_sse(client, "GET", url + "/v1/sse", headers=headers) as stream:
                assert any("from the package" in event.data for event in stream.iter_sse())
        owners = {file.stat().st_uid for file in DATA.rglob("*")}
        assert owners == {account.pw_uid}
    finally:
        process.terminate()
        assert process.wait(20) == 0

    run("dpkg", "-r", "martlet")
    assert not Path("/usr/bin/martlet").exists()
    assert CONFIG.exists(), "configuration stays until it is purged"
    run("dpkg", "--purge", "martlet")
    assert not CONFIG.exists()
    assert any(DATA.iterdir()), "messages are left to their owner"
