"""gRPC with grpcio: calls of back ends, access, health, reflection, TLS."""

import threading
import time

import grpc
import pytest
from google.protobuf import descriptor_pb2

from access import Guarded, token
from grpc_push import (
    Ask, OPTIONS, Session, bearer, channel, grpc_port, health, health_rpc, pb, reflection, reflection_rpc, rpc, trailers)
from server import Server, unique
from tls import make_pair, tls_options


@pytest.fixture
def wire(hub):
    with channel(hub) as channel_:
        yield channel_


@pytest.fixture
def guarded(tmp_path):
    server = Guarded(tmp_path / "data", "--grpc-listen", "127.0.0.1:0").start()
    yield server
    server.stop()


def publish(wire, metadata=(), **draft):
    return rpc.PushStub(wire).Publish(pb.PublishRequest(message=pb.Draft(**draft)), timeout=10, metadata=metadata)


def refusal(call) -> tuple:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), trailers(caught.value).get("martlet-error-code")


# ------------------------------------------------------------ publishing


def test_a_repeat_is_harmless(wire, user):
    key = unique("key")
    first = publish(wire, user=user, json="1", idempotency_key=key)
    again = publish(wire, user=user, json="1", idempotency_key=key)
    assert (first.replayed, again.replayed, again.id) == (False, True, first.id)
    assert refusal(lambda: publish(wire, user=user, json="2", idempotency_key=key)) == (
        grpc.StatusCode.ALREADY_EXISTS, "idempotency_conflict")


@pytest.mark.parametrize("draft, code", [
    ({}, "bad_request"), ({"user": ""}, "bad_request"), ({"topic": "a/#", "json": "1"}, "bad_request"),
    ({"user": "a", "json": "{"}, "invalid_json"), ({"user": "a", "notification_json": "[]"}, "bad_request"),
    ({"user": "a", "json": '1,"priority":"high"'}, "invalid_json"), ({"user": "a", "ttl_seconds": 2_592_001}, "bad_request"),
    ({"topic": "a", "priority": pb.PRIORITY_HIGH}, "bad_request"), ({"user": "a", "priority": 9}, "bad_request"),
    ({"user": "a", "content_type": "a/b"}, "bad_request"), ({"user": "a", "all": False}, "bad_request"),
])
def test_what_cannot_be_published(wire, draft, code):
    assert refusal(lambda: publish(wire, **draft)) == (grpc.StatusCode.INVALID_ARGUMENT, code)


def test_an_oversized_message(wire, user):
    assert refusal(lambda: publish(wire, user=user, text="x" * 70_000)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "message_too_large")
    # So large that it is refused by its length alone.
    with pytest.raises(grpc.RpcError) as caught:
        publish(wire, user=user, text="x" * 500_000)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(trailers(caught.value)["martlet-error-limit"]) == 65_536 * 2
    # The connection goes on.
    publish(wire, user=user, text="short")


def test_a_bomb_stops_at_the_limit(hub, wire, user):
    before = hub.rss_kb()
    with pytest.raises(grpc.RpcError) as caught:
        rpc.PushStub(wire).Publish(
            pb.PublishRequest(message=pb.Draft(user=user, text="x" * 3_000_000)), compression=grpc.Compression.Gzip, timeout=10)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert hub.rss_kb() - before < 20_000


def test_a_batch(wire, user):
    drafts = [pb.Draft(user=user, json=str(n)) for n in range(50)] + [pb.Draft(user=user, json="x")]
    answer = rpc.PushStub(wire).PublishBatch(pb.PublishBatchRequest(messages=drafts), timeout=10)
    ids = [one.published.id for one in answer.outcomes[:50]]
    assert ids == sorted(ids) and len(set(ids)) == 50
    assert answer.outcomes[50].error.code == "invalid_json"
    too_many = pb.PublishBatchRequest(messages=[pb.Draft(user=user)] * 10_001)
    assert refusal(lambda: rpc.PushStub(wire).PublishBatch(too_many, timeout=10)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED, "batch_too_large")


def test_what_became_of_a_message(hub, wire, user):
    stub = rpc.PushStub(wire)
    sent = publish(wire, user=user, json="1")
    with Session(wire, Ask.Hello(user=user, device=f"{user}-d1")) as session:
        session.expect("welcome")
        message = session.message()
        before = stub.GetMessage(pb.GetMessageRequest(id=sent.id))
        assert [device.state for device in before.devices] == ["sent"]
        # Held until something changes.
        waiting = stub.GetMessage.future(pb.GetMessageRequest(id=sent.id, wait_ms=10_000, etag=before.etag), timeout=20)
        with pytest.raises(grpc.FutureTimeoutError):
            waiting.result(timeout=0.3)
        session.ack(message.seq)
        after = waiting.result(timeout=5)
    (device,) = after.devices
    assert (device.state, device.device, device.user) == ("delivered", f"{user}-d1", user)
    assert after.at_ms <= device.sent_at_ms <= device.delivered_at_ms
    assert after.counts == {"delivered": 1} and after.etag != before.etag
    # A tag that is known and stays: the same answer when the time is over, which is no longer than the call's.
    start = time.monotonic()
    assert stub.GetMessage(pb.GetMessageRequest(id=sent.id, wait_ms=10_000, etag=after.etag), timeout=1).etag == after.etag
    assert 0.5 < time.monotonic() - start < 1.5
    assert refusal(lambda: stub.GetMessage(pb.GetMessageRequest(id="x"))) == (grpc.StatusCode.NOT_FOUND, "not_found")


def test_a_watch_that_is_cancelled_is_forgotten(hub, wire, user):
    sent = publish(wire, user=user, json="1")
    stub = rpc.PushStub(wire)
    calls = [stub.GetMessage.future(pb.GetMessageRequest(id=sent.id, wait_ms=60_000)) for _ in range(50)]
    time.sleep(0.3)  # they wait by then; nothing says so
    for call in calls:
        call.cancel()
    assert [device.state for device in stub.GetMessage(pb.GetMessageRequest(id=sent.id)).devices] == []


def test_devices_come_by_pages(hub, wire, user):
    for n in range(5):
        with Session(wire, Ask.Hello(user=user, device=f"{user}-{n}")) as session:
            session.expect("welcome")
    sent = publish(wire, user=user, json="1")
    seen, place = [], ""
    while True:
        page = rpc.PushStub(wire).GetMessage(pb.GetMessageRequest(id=sent.id, page_size=2, page_token=place))
        seen += [device.device for device in page.devices]
        if not (place := page.next_page_token):
            break
    assert seen == [f"{user}-{n}" for n in range(5)]


# ------------------------------------------------------------ access


def test_keys_and_tokens(guarded):
    key = guarded.key()
    reader = guarded.key("--scope", "read")
    with channel(guarded) as wire:
        assert refusal(lambda: publish(wire, user="alice")) == (grpc.StatusCode.UNAUTHENTICATED, "unauthorized")
        assert refusal(lambda: publish(wire, bearer("mk_x_y"), user="alice")) == (grpc.StatusCode.UNAUTHENTICATED, "unauthorized")
        assert refusal(lambda: publish(wire, [("authorization", "Basic eDp5")], user="alice"))[0] == grpc.StatusCode.UNAUTHENTICATED
        assert refusal(lambda: publish(wire, bearer(reader), user="alice")) == (grpc.StatusCode.PERMISSION_DENIED, "forbidden")
        sent = publish(wire, bearer(key), user="alice", json="1")
        assert publish(wire, [("x-api-key", key)], user="alice", json="2").id > sent.id
        stub = rpc.PushStub(wire)
        assert stub.GetMessage(pb.GetMessageRequest(id=sent.id), metadata=bearer(reader)).id == sent.id

        shown = token("alice", device="a1")
        for hello, metadata in ((Ask.Hello(), bearer(shown)), (Ask.Hello(token=shown), [])):
            with Session(wire, hello, metadata) as session:
                welcome = session.expect("welcome")
                assert (welcome.user, welcome.device) == ("alice", "a1")
                assert session.message().json == "1"


@pytest.mark.parametrize("hello, metadata, code, close", [
    (Ask.Hello(), [], "unauthorized", "4501"), (Ask.Hello(user="alice"), [], "unauthorized", "4501"),
    (Ask.Hello(token="x.y.z"), [], "unauthorized", "4501"), (Ask.Hello(), bearer("x"), "unauthorized", "4501"),
])
def test_a_wrong_token(guarded, hello, metadata, code, close):
    with channel(guarded) as wire, Session(wire, hello, metadata) as session:
        error = session.end()
    assert (error.code(), trailers(error)["martlet-error-code"], trailers(error)["martlet-close-code"]) == (
        grpc.StatusCode.UNAUTHENTICATED, code, close)


def test_a_token_of_another_user_or_device(guarded):
    with channel(guarded) as wire:
        for hello in (Ask.Hello(user="bob"), Ask.Hello(device="a2")):
            with Session(wire, hello, bearer(token("alice", device="a1"))) as session:
                error = session.end()
            assert (error.code(), trailers(error)["martlet-close-code"]) == (grpc.StatusCode.PERMISSION_DENIED, "4501")


def test_a_session_ends_with_its_token_unless_it_is_renewed(guarded):
    with channel(guarded) as wire:
        with Session(wire, Ask.Hello(device="a1"), bearer(token("alice", exp=int(time.time()) + 2))) as session:
            assert session.expect("welcome").expires_at_ms > 0
            session.send(renew=Ask.Renew(token=token("alice", exp=int(time.time()) + 3600)))
            assert session.expect("result").renewed.expires_at_ms > time.time() * 1000 + 3_000_000
            time.sleep(2.5)  # past the first token's end
            session.settle()
        with Session(wire, Ask.Hello(device="a1"), bearer(token("alice", exp=int(time.time()) + 2))) as session:
            session.expect("welcome")
            assert session.expect("error").code == "token_expired"
            error = session.end()
        assert (error.code(), trailers(error)["martlet-close-code"]) == (grpc.StatusCode.UNAUTHENTICATED, "4002")


def test_the_back_end_ends_a_session(guarded):
    key = guarded.key("--scope", "admin")
    with channel(guarded) as wire, Session(wire, Ask.Hello(device="a1"), bearer(token("alice"))) as session:
        session.expect("welcome")
        assert guarded.request("POST", "/v1/users/alice/disconnect", key).status_code == 200
        error = session.end()
    assert (error.code(), trailers(error)["martlet-close-code"]) == (grpc.StatusCode.PERMISSION_DENIED, "4502")


def test_topics_that_a_token_does_not_allow(guarded):
    with channel(guarded) as wire:
        with Session(wire, Ask.Hello(topics=[pb.TopicWish(topic="secret/1")]), bearer(token("alice"))) as session:
            assert session.end().code() == grpc.StatusCode.PERMISSION_DENIED
        with Session(wire, Ask.Hello(), bearer(token("alice"))) as session:
            session.expect("welcome")
            session.send(subscribe=Ask.Subscribe(ref=1, topics=[pb.TopicWish(topic="secret/1")]))
            assert session.expect("result").error.code == "forbidden"
            session.send(publish=Ask.PublishToTopic(ref=2, message=pb.Draft(topic="secret/1", text="x")))
            assert session.expect("result").error.code == "forbidden"
            session.settle()


# ------------------------------------------------------------ health, reflection


def test_health(server):
    with channel(server) as wire:
        stub = health_rpc.HealthStub(wire)
        ask = health.HealthCheckRequest
        for name in ("", "martlet.v1.Push"):
            assert stub.Check(ask(service=name), timeout=5).status == health.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(ask(service="other"), timeout=5)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(ask(), timeout=20)
        assert next(watch).status == health.HealthCheckResponse.SERVING
        server.terminate()
        assert next(watch).status == health.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as caught:
            next(watch)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_reflection(wire):
    ask = reflection.ServerReflectionRequest
    asks = [ask(list_services=""), ask(file_containing_symbol="martlet.v1.Push"), ask(file_containing_symbol="martlet.v1.Draft.Names"),
            ask(file_by_filename="grpc/health/v1/health.proto"), ask(file_containing_symbol="no.Such")]
    for method in ("v1", "v1alpha"):
        call = wire.stream_stream(
            f"/grpc.reflection.{method}.ServerReflection/ServerReflectionInfo", ask.SerializeToString,
            reflection.ServerReflectionResponse.FromString)
        services, push, names, by_name, missing = call(iter(asks), timeout=5)
        assert [one.name for one in services.list_services_response.service] == [
            "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "martlet.v1.Push"]
        (descriptor,) = push.file_descriptor_response.file_descriptor_proto
        described = descriptor_pb2.FileDescriptorProto.FromString(descriptor)
        assert (described.name, [one.name for one in described.service]) == ("martlet/v1/push.proto", ["Push"])
        assert {one.name for one in described.message_type} == set(pb.DESCRIPTOR.message_types_by_name)
        assert names.file_descriptor_response == push.file_descriptor_response
        assert len(by_name.file_descriptor_response.file_descriptor_proto) == 1
        assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_an_unknown_method(wire):
    with pytest.raises(grpc.RpcError) as caught:
        wire.unary_unary("/martlet.v1.Push/Other")(b"", timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_encoding_that_is_not_spoken(wire):
    with pytest.raises(grpc.RpcError) as caught:
        rpc.PushStub(wire).Publish(pb.PublishRequest(message=pb.Draft(user="a", text="x" * 999)), compression=grpc.Compression.Deflate, timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


# ------------------------------------------------------------ TLS


def test_tls(tmp_path, user):
    pair = make_pair(tmp_path)
    server = Server(tmp_path / "data", "--grpc-tls-listen", "127.0.0.1:0", *tls_options(pair)).start()
    try:
        credentials = grpc.ssl_channel_credentials(pair[0].read_bytes())
        with grpc.secure_channel(f"localhost:{grpc_port(server)}", credentials, OPTIONS) as wire:
            with Session(wire, Ask.Hello(user=user, device="d1")) as session:
                session.expect("welcome")
                publish(wire, user=user, json="1")
                assert session.message().json == "1"
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port(server)}", OPTIONS) as plain:
            with pytest.raises(grpc.RpcError) as caught:
                publish(plain, user=user)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    finally:
        server.stop()


def test_calls_from_many_threads(wire):
    name = unique("crowd")
    failures = []

    def work(n: int) -> None:
        try:
            for k in range(50):
                publish(wire, user=f"{name}-{n}", json=str(k))
        except grpc.RpcError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
