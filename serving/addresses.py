"""Which IP addresses the platform itself may connect to for others: those of the public internet."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IpAddress = IPv4Address | IPv6Address

_MAPPED = ip_network("::ffff:0:0/96")
_NAT64 = ip_network("64:ff9b::/96")
_UNICAST = ip_network("2000::/3")

# `is_global` is true for these (for some only in older releases of Python), but no receiver is there.
_NOT_PUBLIC = [
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; one cloud keeps its metadata there
        "192.88.99.0/24",  # relays to 6to4
        "168.63.129.16/32",  # Azure's host, as seen from its virtual machines
        "224.0.0.0/4",  # multicast
        "2001::/23",  # Teredo and other protocols that carry addresses of their own
        "2002::/16",  # 6to4: embeds any IPv4 address
        "3fff::/20",  # documentation
    )
]


def is_public(address: IpAddress) -> bool:
    """Return whether an address is one of the public internet, also where IPv6 embeds it."""
    if isinstance(address, IPv6Address):
        if address in _MAPPED or address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _UNICAST:
            return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def literal(host: str) -> IpAddress | None:
    """Return the address if the host is one, in any form that a resolver accepts (`0x7f.1`), else None."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
