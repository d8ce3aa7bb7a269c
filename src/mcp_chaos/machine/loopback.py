"""Which names and addresses are of this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its address or by its name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
