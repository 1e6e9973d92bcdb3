"""Buyers for locust: each has a token of its own, buys, and some pay.

    seckill mint --users 10000 > tokens.jsonl
    TOKENS=tokens.jsonl ITEM=<item id> locust -f load/locust/locustfile.py --headless \
        --host http://127.0.0.1:8080 --users 200 --spawn-rate 50 --run-time 20s
"""

import itertools
import json
import os
import random
import uuid

from locust import HttpUser, between, task

ITEM = os.environ["ITEM"]
PAY_SHARE = 0.7

with open(os.environ.get("TOKENS", "tokens.jsonl"), encoding="utf-8") as minted:
    TOKENS = itertools.cycle([json.loads(line)["token"] for line in minted if line.strip()])


class Buyer(HttpUser):
    """Comes, buys one unit, perhaps pays, and is another person the next time."""

    wait_time = between(0.1, 1.0)

    @task
    def buy(self):
        headers = {"Authorization": f"Bearer {next(TOKENS)}"}
        path = f"/api/v1/items/{ITEM}/buy"
        key = {"Idempotency-Key": str(uuid.uuid4())}
        with self.client.post(
            path, json={"quantity": 1}, headers=headers | key, name="buy", catch_response=True
        ) as answer:
            if answer.status_code == 409:
                answer.success()  # sold out or limit reached: an answer, not a failure
                return
            if answer.status_code not in (200, 201):
                return
            order = answer.json()["order_id"]
        if random.random() < PAY_SHARE:
            self.client.post(f"/api/v1/orders/{order}/pay", headers=headers, name="pay")
