"""`martlet config` and the configuration of a running server, with the built program."""

import json
import os
import re
import subprocess
from pathlib import Path

import httpx

from tls import make_pair, tls_options
from server import ROOT, Server, binary, clean_environment, unique


def martlet(*arguments, **variables):
    return subprocess.run(
        [binary(), *arguments], capture_output=True, text=True, timeout=30, env=clean_environment() | variables)


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "martlet.yaml"
    path.write_text(text)
    return str(path)


def test_check_says_every_mistake_at_once(tmp_path):
    path = config(tmp_path, "limits:\n  mesageBytes: 5\n  nameBytes: 5\ndev: perhaps\n")
    result = martlet("config", "check", path, "--lisen", "x", MARTLET_LIMITS_JSON_DEPHT="3")
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"{path}:2: limits.mesageBytes is not an option: did you mean limits.messageBytes?" in result.stderr
    assert f"{path}:3: limits.nameBytes must be from 16 to 1024 bytes (16 to 1KiB); 5 is not." in result.stderr
    assert f"{path}:4: dev must be true or false" in result.stderr
    assert "--lisen is not an option: did you mean --listen?" in result.stderr
    assert "MARTLET_LIMITS_JSON_DEPHT is not an option: did you mean MARTLET_LIMITS_JSON_DEPTH?" in result.stderr
    assert len(result.stderr.splitlines()) == 5


def test_check_says_what_would_be_listened_on(tmp_path):
    result = martlet("config", "check", config(tmp_path, "listen: 127.0.0.1:9\ndata: /var/x\n"))
    assert result.returncode == 0, result.stderr
    assert "would listen on http://127.0.0.1:9 with the data in /var/x" in result.stdout


def test_check_tries_what_serve_tries(tmp_path):
    """Certificates, public keys and the folder; nothing is left behind."""
    good, other = make_pair(tmp_path, "good"), make_pair(tmp_path, "other")
    empty, file = tmp_path / "empty.pem", tmp_path / "file"
    empty.write_text("nothing\n")
    file.write_text("x")
    here = ["--data", str(tmp_path / "new" / "data")]
    cases = [
        ([*tls_options((good[0], other[1])), *here], "does not belong to"), ([*tls_options((empty, good[1])), *here], "There is no certificate in"),
        ([*tls_options((good[0], empty)), *here], "There is no private key in"), (["--tokens-public-keys", str(empty), *here], "is no public key"),
        (["--apps-acme-tokens-public-keys", str(empty), *here], "is no public key"), (["--data", str(file)], "must be a folder"),
        (["--data", str(file / "below")], "cannot be looked at"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for options, says in cases:
        checked = martlet("config", "check", *options)
        assert (checked.returncode, checked.stdout) == (1, ""), options
        problems = [line for line in checked.stderr.splitlines() if "warning: " not in line]
        assert len(problems) == 1 and says in problems[0], checked.stderr
        assert martlet("serve", "--listen", "127.0.0.1:0", *options).returncode == 1
    result = martlet("config", "check", *tls_options(good), "--data", str(tmp_path / "never" / "made"))
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "never").exists() and set(before) <= set(tmp_path.rglob("*"))


def test_check_says_every_bad_entry_of_a_list(tmp_path):
    path = config(tmp_path, "origins: [https://ok.example, 'http://*.example.com', https://a/b]\ntrustedProxies: [10.0.0.0/33, nonsense]\n")
    result = martlet("config", "check", path)
    assert result.returncode == 1
    for entry in ("http://*.example.com", "https://a/b", "10.0.0.0/33", "nonsense"):
        assert f'"{entry}" is none' in result.stderr
    assert len(result.stderr.splitlines()) == 4 and "ok.example" not in result.stderr


def test_print_says_where_each_value_comes_from(tmp_path):
    path = config(tmp_path, "limits:\n  nameBytes: 64\n")
    arguments = ["--config", path, "--drain-seconds", "3"]
    text = martlet("config", "print", *arguments, MARTLET_LOG_LEVEL="debug").stdout
    assert re.search(rf"^limits.nameBytes: 64 +# {path}:2$", text, re.M)
    assert re.search(r"^drainSeconds: 3s +# --drain-seconds$", text, re.M)
    assert re.search(r"^log.level: debug +# MARTLET_LOG_LEVEL$", text, re.M)
    assert re.search(r"^listen: 127.0.0.1:8080 +# default$", text, re.M)
    values = json.loads(martlet("config", "print", "--json", *arguments, MARTLET_LOG_LEVEL="debug").stdout)
    assert values["limits.nameBytes"] == {"value": 64, "source": f"{path}:2"}
    assert values["tls.key"] == {"value": None, "source": "default"}
    assert values["origins"]["value"] == []


def test_a_secret_is_printed_nowhere(tmp_path):
    secret = "s3cr3t" * 8
    file = tmp_path / "secret"
    file.write_text(secret + "\n")
    file.chmod(0o644)
    for arguments in (["config", "print"], ["config", "print", "--json"], ["config", "check"]):
        for variables in ({"MARTLET_TOKENS_SECRET": secret}, {"MARTLET_TOKENS_SECRET_FILE": str(file)}):
            result = martlet(*arguments, **variables)
            assert result.returncode == 0, result.stderr
            assert secret not in result.stdout + result.stderr
    result = martlet("config", "check", MARTLET_TOKENS_SECRET_FILE=str(file))
    assert f"chmod o-r {file}" in result.stderr


def test_serve_refuses_what_check_refuses(tmp_path):
    path = config(tmp_path, "limits:\n  batchBytes: 300\n")
    result = martlet("serve", "--config", path)
    assert result.returncode == 1
    assert result.stderr == f"martlet: {path}:2: limits.messageBytes may not be larger than limits.batchBytes.\n"
    result = martlet("serve", "--dev", "--listen", "0.0.0.0:0")
    assert result.returncode == 1
    assert "--listen: dev mode protects nothing" in result.stderr


def test_the_sample_is_accepted(tmp_path):
    path = config(tmp_path, martlet("config", "default").stdout)
    assert martlet("config", "check", path).returncode == 0


def test_the_reference_is_current():
    assert martlet("config", "doc").stdout == (ROOT / "docs" / "configuration.md").read_text()


def test_help_lists_every_option():
    text = martlet("serve", "--help").stdout
    values = json.loads(martlet("config", "print", "--json").stdout)
    assert len(values) > 50
    for key in values:
        if not key.startswith("apps.") and key != "tokens.secret":
            flag = "--" + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", key).replace(".", "-").lower()
            assert re.search(rf"^ +{flag}( |$)", text, re.M), flag
    for other in (["help", "serve"], ["serve", "-h"]):
        assert martlet(*other).stdout == text
    # A line that is too long is broken by force, and its rest begins at the margin.
    assert max(map(len, text.splitlines())) < 80
    assert not [line for line in text.partition("\nOPTIONS")[2].partition("USAGE:")[0].splitlines() if re.match(r"[a-z0-9]", line)]


def test_limits_of_a_file_are_enforced(tmp_path):
    path = config(tmp_path, "limits:\n  messageBytes: 300\n  ttlMaxSeconds: 1h\n  jsonDepth: 4\n")
    server = Server(tmp_path / "data", "--config", path).start()
    try:
        answer = server.post({"to": {"user": "alice"}, "data": "x" * 300})
        assert answer.status_code == 413
        assert answer.json()["error"]["limit"] == 300
        answer = server.post({"to": {"user": "alice"}, "ttl": 3601, "data": 1})
        assert answer.status_code == 400
        assert answer.json()["error"]["limit"] == 3600
        server.publish(unique("user"), data=1)
    finally:
        server.stop()


def test_without_dev_nothing_is_open(tmp_path):
    """A server without keys starts, says so, and lets nobody in."""
    process = subprocess.Popen(
        [binary(), "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--config", os.devnull],
        stdout=subprocess.PIPE, stderr=open(tmp_path / "log", "wb"), text=True, env=clean_environment())
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), (tmp_path / "log").read_text()
        url = line.removeprefix("listening on ").strip()
        assert httpx.get(url + "/healthz", trust_env=False).status_code == 200
        answer = httpx.post(url + "/v1/messages", json={"to": {"user": "a"}, "data": 1}, trust_env=False)
        assert answer.status_code == 401
        assert httpx.get(url + "/v1/poll", params={"user": "a", "device": "d"}, trust_env=False).status_code == 401
        assert "martlet key create" in (tmp_path / "log").read_text()
    finally:
        process.terminate()
        assert process.wait(15) == 0
