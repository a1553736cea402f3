"""HTTPS: a certificate that the test makes, a real request, and what cannot be served with."""

import json
import logging
import os
import signal
import socket
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from storelab.experiments.serving import logs


def write_key(path, key, password: bytes = b""):
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    path.write_bytes(pem)
    return str(path)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Files: a certificate of 127.0.0.1 that signs itself, its key, the same with a password, another key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "storelab test")])
    now, hosts = datetime.now(UTC), x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).add_extension(hosts, critical=False)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    certificate = folder / "certificate.pem"
    certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    other = write_key(folder / "other.pem", ec.generate_private_key(ec.SECP256R1()))
    return str(certificate), write_key(folder / "key.pem", key), write_key(folder / "locked.pem", key, b"secret"), other


def test_a_request_over_tls(pair, start, storelab, runs, tmp_path):
    """With the process per model: an answer to who trusts the certificate, none to others, none without TLS."""
    certificate, key_file, *_ = pair
    key = storelab(tmp_path, "serve", "--keys", "keys.json", "--add-key", "shop", "--rights", "restock").out.strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tls = ("--tls-certificate", certificate, "--tls-key", key_file)
    process = start(tmp_path, "serve", str(runs / "ppo"), "--keys", "keys.json", "--port", str(port), *tls)
    trusting = ssl.create_default_context(cafile=certificate)

    def answers() -> bool:
        try:
            return urlopen(f"https://127.0.0.1:{port}/health", timeout=5, context=trusting).status == 200
        except URLError:
            return False

    process.until(answers)
    body = json.dumps({"observations": [[3, 1, 0, 2]]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = Request(f"https://127.0.0.1:{port}/restock", body, headers)
    with urlopen(request, timeout=30, context=trusting) as answer:
        assert json.load(answer)["policy"] == "PPO"
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        assert wrapped.version() in ("TLSv1.2", "TLSv1.3")
    with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urlopen(request, timeout=30, context=ssl.create_default_context())
    with pytest.raises((URLError, OSError)):
        urlopen(f"http://127.0.0.1:{port}/health", timeout=30)
    os.kill(process.pid, signal.SIGTERM)
    process.wait(60)
    assert "/restock shop 200" in process.err
    assert key not in process.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("certificate", "key", "line"),
    [
        (0, None, "--tls-certificate, --tls-key: one without the other"),
        (None, 1, "--tls-certificate, --tls-key: one without the other"),
        ("none.pem", 1, "--tls-certificate: 'none.pem' is not allowed, expected a PEM file: No such file"),
        (0, "none.pem", "--tls-key: 'none.pem' is not allowed, expected a PEM file: No such file"),
        (1, 1, "--tls-certificate: "),
        (0, 0, "--tls-certificate: "),
        (0, 2, "--tls-key: "),
        (0, 3, "--tls-certificate: "),
    ],
    ids=[
        "no key",
        "no certificate",
        "none there",
        "no key there",
        "a key alone",
        "no private key",
        "locked",
        "another",
    ],
)
def test_what_cannot_be_served_with(certificate, key, line, pair, storelab, tmp_path):
    given = {"--tls-certificate": certificate, "--tls-key": key}
    words = [(name, pair[it] if isinstance(it, int) else it) for name, it in given.items() if it is not None]
    ended = storelab(tmp_path, "serve", "--keys", "keys.json", "nowhere", *(word for pair in words for word in pair))
    assert (ended.status, ended.err.count("\n"), ended.out) == (2, 1, "")
    assert ended.err.startswith(line), ended.err


def test_logs_are_masked(capsys):
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    try:
        logs.begin()
        logging.getLogger("any.library").error("no mail to %s, call 212-555-0187", "ann@shop.com")
        try:
            raise KeyError("4111 1111 1111 1111")
        except KeyError:
            logging.getLogger("uvicorn.error").exception("failed")
        warnings.warn("身份证11010519491231002X", stacklevel=1)
        logging.getLogger("storelab.serve").info("/restock shop 200 12.3 ms, http://127.0.0.1:43210")
    finally:
        logging.captureWarnings(False)
        root.handlers[:], level = kept
        root.setLevel(level)
    said = capsys.readouterr().err
    assert "no mail to [email], call [phone]" in said
    assert "KeyError: '[card]'" in said
    assert "身份证[id]" in said
    assert "/restock shop 200 12.3 ms, http://127.0.0.1:43210" in said
