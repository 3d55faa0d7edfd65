"""Faults 20 and 21: credentials that expire, and settings that do not fit the server."""

import datetime
import ipaddress
import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fault_proxy import FaultProxy
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.errors import InfrastructureError, ParameterError
from rfdetr_train.storage import TransientError, open_store, parse_location
from rfdetr_train.storage.s3 import S3Store
from rfdetr_train.storage.s3_client import Limits
from rfdetr_train.storage.s3_errors import AccessRefused

QUICK = Limits(parts=2, silence=2.0, retries=0, retry_seconds=0.5, file_seconds=3)


@pytest.fixture
def proxy(s3_bucket, monkeypatch):  # noqa: F811
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def store(proxy, s3_bucket):  # noqa: F811
    return S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK)


@pytest.fixture
def credentials_file(tmp_path, monkeypatch, s3_bucket):  # noqa: F811
    """A mounted secret; the function writes it, with the right key unless another is given."""
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    path = tmp_path / "credentials"

    def write(key=key):
        path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return write


def with_key(key):
    return lambda request: f"Credential={key}/" in request.headers.get("authorization", "")


@pytest.mark.parametrize(("status", "code"), [(403, "InvalidAccessKeyId"), (400, "ExpiredToken")])
def test_fault_20_expired_credentials_are_read_again_once(credentials_file, proxy, s3_bucket, status, code):  # noqa: F811
    credentials_file("expired-key")
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK)
    proxy.fail(10**6, status=status, code=code, when=with_key("expired-key"))
    credentials_file()
    store.write("x", b"content")
    assert proxy.count("PUT") == 2
    assert store.read("x") == b"content"
    assert proxy.count("GET") == 1


def test_fault_20_expired_credentials_in_mid_upload_do_not_fail_it(credentials_file, proxy, s3_bucket, tmp_path):  # noqa: F811
    credentials_file()
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK)
    (tmp_path / "x").write_bytes(os.urandom(1 << 20) * 11)

    def expire(handler, _):
        credentials_file()
        handler.answer(403, [], b"<Error><Code>ExpiredToken</Code></Error>")

    proxy.add(1, expire, lambda request: "partNumber=2" in request.path)
    store.put_file("x", tmp_path / "x")
    assert store.read("x") == (tmp_path / "x").read_bytes()


def test_fault_20_refused_access_names_the_file_and_no_value(credentials_file, proxy, s3_bucket, tmp_path):  # noqa: F811
    credentials_file("expired-key")
    proxy.fail(10**6, status=403, code="ExpiredToken", when=with_key("expired-key"))
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK)
    with pytest.raises(AccessRefused, match=r"ExpiredToken.*AWS_SHARED_CREDENTIALS_FILE") as caught:
        store.read("x")
    assert str(tmp_path / "credentials") in str(caught.value)
    assert proxy.count("GET") == 2
    for secret in ("expired-key", "very-secret-value", "canary-of-the-answer"):
        assert secret not in str(caught.value)


def test_fault_20_refused_access_is_not_tried_for_minutes_and_names_the_environment(proxy, store, tmp_path, caplog):
    (tmp_path / "x").write_bytes(b"1")
    proxy.fail(10**6, status=403, code="AccessDenied", when=lambda request: request.method == "PUT")
    with pytest.raises(AccessRefused, match=r"AccessDenied.*the environment \(AWS_ACCESS_KEY_ID") as caught:
        store.put_file("x", tmp_path / "x")
    assert proxy.count("PUT") == 2
    for secret in ("test-key", "very-secret-value", "canary-of-the-answer"):
        assert secret not in f"{caught.value}{caplog.text}"


def answer_with(status, body):
    return lambda handler, _: handler.answer(status, [], body.encode())


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>", "eu-west-1"),
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting 'eu-west-1'</Message>", "eu-west-1"),
        (301, "<Error><Code>PermanentRedirect</Code></Error>", "the region of the bucket"),
    ],
)
def test_fault_21_wrong_region_names_the_setting_and_the_region(proxy, store, status, body, named):
    proxy.add(10, answer_with(status, body), lambda request: request.method == "GET")
    with pytest.raises(InfrastructureError, match=rf"AWS_REGION is us-east-1\. Set AWS_REGION to {named}") as caught:
        store.read("x")
    assert not isinstance(caught.value, TransientError)


def test_fault_21_bucket_in_the_host_name_is_put_there_and_named_when_it_does_not_resolve(
    proxy,
    s3_bucket,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid:9000")
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK)
    assert store._requests.client.config["endpoint"] == f"http://{s3_bucket}.store.invalid:9000"
    with pytest.raises(TransientError, match="AWS_VIRTUAL_HOSTED_STYLE_REQUEST"):
        store.read("x")


def test_fault_21_missing_bucket_names_the_style_of_the_address(s3_bucket):  # noqa: F811
    with pytest.raises(Exception, match="AWS_VIRTUAL_HOSTED_STYLE_REQUEST=true"):
        open_store("s3://no-such-bucket/x").read("a")


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for the loopback address, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "in-house CA")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    end = now + datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, end)
    made = made.add_extension(names, critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "ca.pem").write_bytes(pem)
    (tmp_path / "server.pem").write_bytes(pem + key.private_bytes(*private))
    return tmp_path / "ca.pem", tmp_path / "server.pem"


@pytest.fixture
def tls_proxy(s3_bucket, certificate, monkeypatch):  # noqa: F811
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1])
    for variable in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(variable, raising=False)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"], tls=context) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def test_fault_21_self_signed_certificate_names_the_setting(tls_proxy, s3_bucket):  # noqa: F811
    with pytest.raises(InfrastructureError, match=r"does not trust the server's certificate.*AWS_CA_BUNDLE") as caught:
        S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK).write("x", b"1")
    assert not isinstance(caught.value, TransientError)
    assert tls_proxy.requests == []


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_fault_21_certificate_of_the_named_file_is_trusted(tls_proxy, s3_bucket, certificate, monkeypatch, variable):  # noqa: F811
    monkeypatch.setenv(variable, str(certificate[0]))
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK)
    store.write("x", b"1")
    assert store.read("x") == b"1"
    assert store.abort_uploads() == 0


def test_fault_21_certificate_file_that_is_missing_is_named(tls_proxy, s3_bucket, monkeypatch):  # noqa: F811
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/ca.pem")
    with pytest.raises(ParameterError, match=r"AWS_CA_BUNDLE.*/no/such/ca\.pem"):
        open_store(f"s3://{s3_bucket}/run")
