"""The gateway that is loaded when it is first needed: once, beside the event loop, whoever asks and gives up."""

import asyncio
import threading
import time

from bot.clock import SystemClock
from bot.payments.on_demand import GatewayOnDemand
from bot.payments.stripe_gateway import StripeGateway
from bot.sandbox.stripe import StripeAccount
from bot.web.server import Server


class Loading:
    """Makes a real gateway, and takes its time, as the import does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.threads: list[threading.Thread] = []

    def __call__(self) -> StripeGateway:
        self.threads.append(threading.current_thread())
        time.sleep(0.05)
        return StripeGateway(
            api_key="rk_test_1",
            api_url=self.url,
            webhook_secrets=[],
            done_url="https://example.com/done",
            cancelled_url="https://example.com/cancelled",
        )


async def test_it_is_loaded_once_in_a_thread_while_everything_else_goes_on() -> None:
    stripe = StripeAccount(SystemClock())
    server = Server(stripe.app)
    await server.start()
    stripe.base_url = server.url
    loading = Loading(server.url)
    gateway = GatewayOnDemand(loading)
    assert loading.threads == []

    impatient = asyncio.create_task(gateway.probe())
    asking = [asyncio.create_task(gateway.new_customer("acme", "Acme Labs", "T1")) for _ in range(5)]
    await asyncio.sleep(0)
    impatient.cancel()
    customers = await asyncio.gather(*asking)

    assert len(loading.threads) == 1
    assert loading.threads[0] is not threading.main_thread()
    assert len(set(customers)) == 1
    await gateway.aclose()
    await server.stop()
    await stripe.close()


async def test_one_that_nobody_needed_is_never_loaded() -> None:
    loading = Loading("http://127.0.0.1:9")
    await GatewayOnDemand(loading).aclose()
    assert loading.threads == []
