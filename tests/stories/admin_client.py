"""A client of the admin service that knows nothing but its proto file.

Messages are put together by hand, field by field, so that no generated code can
share a mistake with the node. Arguments: address, token, and what a stranger
brings in its place; nothing if that is empty.
"""

import sys

import grpc


def varint(number):
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def text(field, value):
    data = value.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def flag(field, value):
    return varint(field << 3) + varint(int(value))


def read(data):
    """Field numbers and their values: numbers, or bytes."""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            fields[key >> 3] = number()
        else:
            assert key & 7 == 2, key
            length = number()
            fields[key >> 3] = data[at : at + length]
            at += length
    return fields


def main(address, token, strangers):
    channel = grpc.insecure_channel(address)

    def call(method, message=b"", bearer=token):
        stub = channel.unary_unary(f"/mostro.admin.v1.AdminService/{method}")
        metadata = [("authorization", f"Bearer {bearer}")] if bearer else []
        return read(stub(message, metadata=metadata, timeout=20))

    def refusal(method, message=b"", bearer=strangers):
        try:
            call(method, message, bearer)
        except grpc.RpcError as error:
            return error.code()
        return None

    denied = grpc.StatusCode.PERMISSION_DENIED
    unknown = "00000000-0000-4000-8000-000000000000"
    begin = flag(1, True) + text(2, "by hand")

    # Harmless methods answer everybody.
    assert call("GetVersion", bearer=strangers)[1].startswith(b"0.20.2+mostro-relay.")
    assert 1 not in call("GetMaintenanceStatus", bearer=strangers)

    # All others ask for the token.
    for method, message, why in [
        ("CancelOrder", text(1, unknown), b"not_found"),
        ("CancelOrder", text(1, "an order"), b"the id is no UUID"),
        ("SettleOrder", text(1, unknown), b"not_found"),
        ("TakeDispute", text(1, unknown), b"not_found"),
        ("AddSolver", text(1, "nobody"), b"invalid_text_message"),
        ("RevokeReputationImports", text(1, "k"), b"not supported by this node"),
        ("RebindReputationExport", text(1, "i"), b"not supported by this node"),
        ("SetMaintenanceMode", flag(1, True) + text(2, "lnd_unsynced"), b"invalid_parameters"),
    ]:
        assert refusal(method, message) == denied, method
        answer = call(method, message)
        assert answer.get(1, 0) == 0 and answer[2] == why, (method, answer)
    assert refusal("SetMaintenanceMode", begin) == denied
    assert 1 not in call("GetMaintenanceStatus", bearer=strangers)

    assert call("SetMaintenanceMode", begin) == {1: 1}
    status = call("GetMaintenanceStatus", bearer=strangers)
    assert status[1] == 1 and status[2] == b"by hand" and status[3] > 1_600_000_000
    assert read(status[4]) == {} and status[5] == 1 and len(status[6]) == 66, status
    assert call("SetMaintenanceMode", flag(1, False)) == {1: 1}
    status = call("GetMaintenanceStatus", bearer=strangers)
    assert 1 not in status and 2 not in status and 3 not in status, status

    described = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    )
    listed = b"".join(described(iter([text(7, "")]), timeout=20))
    assert b"mostro.admin.v1.AdminService" in listed

    # Nine tokens were wrong, a password is the tenth guess: now even the right token
    # has to wait, and harmless methods have not.
    assert call("ValidateDbPassword", text(1, "any"), strangers) == {1: 1}
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal("ValidateDbPassword", text(1, "any")) == exhausted
    assert refusal("SetMaintenanceMode", begin) == exhausted
    assert refusal("SetMaintenanceMode", begin, token) == exhausted
    assert call("GetVersion", bearer=strangers)[1].startswith(b"0.20.2+mostro-relay.")
    assert 1 not in call("GetMaintenanceStatus", bearer=strangers)

    print("all is well")


main(*sys.argv[1:])
