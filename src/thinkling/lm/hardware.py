"""Machines that a plan is priced on: what their makers say, what part of it training reaches, what an hour costs.

Everything here is an assumption that a plan prints beside its numbers, with where it is from and of what date. Prices
move most; `thinkling lm plan --price` and `--utilisation` replace them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from thinkling.errors import InputError, nearest

GB = 1_000_000_000
GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """One machine that can be rented or bought."""

    name: str
    """What it is called on the command line."""
    title: str
    """What it is."""
    peak_bf16: float
    """Dense matrix operations a second in bf16 with sums in fp32, all chips together; in fp32 where it has no bf16."""
    memory_bytes: int
    """Memory of all its chips together."""
    chips: int = 1
    """Chips over which weights, gradients and moments are divided (FSDP)."""
    bandwidth: float
    """Bytes a second between this memory and the arithmetic, all chips together."""
    utilisation: float
    """Share of the peak that training reaches (the "model FLOPs utilisation" of PaLM, arXiv 2204.02311, appendix B)."""
    price: float
    """US dollars an hour."""
    bf16: bool = True
    """Whether it multiplies bf16; otherwise fp32 is planned."""
    source: str
    """Where peak, memory and bandwidth are from."""
    price_source: str
    """Where the price is from, with its date."""


HARDWARE: Mapping[str, Hardware] = {
    machine.name: machine
    for machine in (
        Hardware(
            name="rtx5090",
            title="GeForce RTX 5090",
            peak_bf16=209.5e12,
            memory_bytes=32 * GIB,
            bandwidth=1792 * GB,
            utilisation=0.45,
            price=0.76,
            source="NVIDIA: bf16 tensor cores with fp32 sums, dense (a quarter of 838 sparse fp16); 32 GB, 1,792 GB/s",
            price_source="rented, Spheron's list of March 2026",
        ),
        Hardware(
            name="h100",
            title="H100 SXM",
            peak_bf16=989.4e12,
            memory_bytes=80 * GB,
            bandwidth=3350 * GB,
            utilisation=0.40,
            price=2.95,
            source="NVIDIA's H100 data sheet: 989 TFLOPS dense bf16, 80 GB, 3.35 TB/s",
            price_source="rented, median of 37 providers, AIMultiple's index of May 2026",
        ),
        Hardware(
            name="h200",
            title="H200 SXM",
            peak_bf16=989.4e12,
            memory_bytes=141 * GB,
            bandwidth=4800 * GB,
            utilisation=0.42,
            price=4.00,
            source="NVIDIA's H200 data sheet: 989 TFLOPS dense bf16, 141 GB, 4.8 TB/s",
            price_source="rented, middle of 3.50–4.50 at specialised providers, Mercatus, May 2026",
        ),
        Hardware(
            name="trn2.48xlarge",
            title="Trainium2 trn2.48xlarge, 16 chips",
            peak_bf16=10.7e15,
            memory_bytes=1536 * GIB,
            chips=16,
            bandwidth=46e12,
            utilisation=0.30,
            price=35.76,
            source="AWS Neuron documentation, Trn2 architecture: 10.7 PFLOPS dense bf16, 1,536 GiB, 46 TB/s",
            price_source="an assumption: 2.235 a chip as a Capacity Block of 2025; AWS changes it quarterly",
        ),
        Hardware(
            name="graviton4",
            title="Graviton4 c8g.24xlarge, 96 cores",
            peak_bf16=96 * 2.8e9 * 4 * 32,
            memory_bytes=192 * GIB,
            bandwidth=538 * GB,
            utilisation=0.25,
            price=3.83,
            source="Neoverse V2 at 2.8 GHz: four 128-bit pipes, 32 operations a BFMMLA; 12 channels of DDR5-5600",
            price_source="on demand, us-east-1, AWS's list of 2025",
        ),
        Hardware(
            name="pi5",
            title="Raspberry Pi 5, 16 GB, 4 cores",
            peak_bf16=4 * 2.4e9 * 2 * 8,
            memory_bytes=16 * GIB,
            bandwidth=17 * GB,
            utilisation=0.30,
            price=0.004,
            bf16=False,
            source="Cortex-A76 at 2.4 GHz: two 128-bit pipes, 8 operations an FMLA, no bf16; LPDDR4X-4267 x 32",
            price_source="electricity only: 12 W at 0.30 a kWh",
        ),
    )
}
"""Named machines."""

ALIASES: Mapping[str, str] = {
    "rtx 5090": "rtx5090",
    "5090": "rtx5090",
    "trainium2": "trn2.48xlarge",
    "trn2": "trn2.48xlarge",
    "c8g.24xlarge": "graviton4",
    "raspberry pi 5": "pi5",
    "raspberry-pi-5": "pi5",
}
"""Other words for them."""


def machine(name: str) -> Hardware:
    """A machine by its name, in any case.

    Raises:
        InputError: an unknown name.
    """
    word = ALIASES.get(name.lower(), name.lower())
    if word not in HARDWARE:
        raise InputError(f"hardware {name!r}", ", ".join(HARDWARE), nearest(word, HARDWARE))
    return HARDWARE[word]


def chosen(
    names: tuple[str, ...], prices: tuple[str, ...] = (), utilisation: float | None = None
) -> list[Hardware]:
    """Machines by name, with the user's own prices and utilisation.

    Args:
        names: which; none: all of them.
        prices: `NAME=DOLLARS` an hour, each for one machine.
        utilisation: share of the peak, for all of them; None: each machine's own.

    Raises:
        InputError: an unknown name, a price or a share that cannot be.
    """
    found = {item.name: item for item in ([machine(name) for name in names] or HARDWARE.values())}
    for text in prices:
        name, _, number = text.rpartition("=")
        price = _number(number)
        if not name or price is None or price < 0:
            raise InputError(f"--price {text!r}", "NAME=DOLLARS, such as h100=2.50", "give both")
        named = machine(name).name
        if named in found:
            found[named] = replace(found[named], price=price, price_source="as given with --price")
    if utilisation is not None:
        if not 0 < utilisation <= 1:
            raise InputError(f"--utilisation {utilisation}", "above 0, up to 1", "give the share of the peak")
        found = {name: replace(item, utilisation=utilisation) for name, item in found.items()}
    return list(found.values())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number and number != float("inf") else None
