"""Buys one unit over gRPC, and repeats the call until its outcome is known.

    pip install grpcio grpcio-reflection grpcio-status
    python grpc_buyer.py 127.0.0.1:8080 ITEM TOKEN

The shop describes its interface itself, so there is no code to generate: `grpc.enabled = true` and
`grpc.reflection = true` in its configuration are all it needs. TOKEN is a buyer's, from `seckill mint`
or from a log-in.
"""

import sys
import time
import uuid

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

ATTEMPTS_MAX = 8
# What may be repeated: nothing was done, or it is not known whether it was.
AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class Shop:
    """The calls of a shop, by the names that it gives them."""

    def __init__(self, address, token):
        self.channel = grpc.insecure_channel(address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.metadata = [("authorization", f"Bearer {token}")]

    def call(self, service, method, **fields):
        described = self.pool.FindServiceByName(f"seckill.v1.{service}").methods_by_name[method]
        request = GetMessageClass(described.input_type)(**fields)
        answer = GetMessageClass(described.output_type)
        shape = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        function = shape(
            f"/seckill.v1.{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        timeout = None if described.server_streaming else 5
        return function(request, metadata=self.metadata, timeout=timeout)


def reason_and_pause(error):
    """The shop's code for a refusal, and how long it asks to be left alone, in seconds."""
    reason, pause = error.code().name.lower(), 0.2
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            pause = retry.retry_delay.ToTimedelta().total_seconds()
    return reason, pause


def buy(shop, item_id):
    """Buys one unit. The key makes every repetition the same purchase."""
    key = str(uuid.uuid4())
    for _ in range(ATTEMPTS_MAX):
        try:
            return shop.call("Orders", "Buy", item_id=item_id, idempotency_key=key)
        except grpc.RpcError as error:
            reason, pause = reason_and_pause(error)
            if error.code() not in AGAIN:
                raise SystemExit(f"refused: {reason}")
            print(f"again after {pause} s: {reason}", file=sys.stderr)
            time.sleep(pause)
    raise SystemExit("the outcome is not known: look at the buyer's orders")


def main():
    address, item, token = sys.argv[1:]
    shop = Shop(address, token)
    bought = buy(shop, int(item))
    order = bought.order
    print(f"order {order.order_id}: {order.amount} {order.currency}, replayed: {bought.replayed}")
    changes = shop.call("Orders", "WatchOrder", order_id=order.order_id)
    next(changes)
    shop.call("Orders", "Pay", order_id=order.order_id)
    status = type(order).DESCRIPTOR.fields_by_name["status"].enum_type
    for change in changes:
        print(f"order {change.order_id}: {status.values_by_number[change.status].name}")


if __name__ == "__main__":
    main()
