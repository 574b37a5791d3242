"""All objects of a directory, packed small: changes are applied to them, and then entries are made of all anew.

All, since an object may be named in the lists of senders of others, and two may share an address. What is kept is what
entries are made of and nothing else, as octets: some half a kilobyte an object, where Python's own objects take more
than twice as much.
"""

from collections.abc import Iterable, Iterator, Sequence

import orjson

from smtproxy.lookups.recipients.exchange import MOST_LISTED, Item, dn_key, smtp_address

_GUID = "objectguid"


class Objects:
    """The objects, each by its objectGUID, which outlives a change of its name; by its name where it has none."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._packed = {_key(item): _pack(item) for item in items}

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[Item]:
        for octets in self._packed.values():
            dn, attributes = orjson.loads(octets)
            yield Item(dn, attributes)

    def apply(self, items: Iterable[Item], touched: Iterable[Item]) -> bool:
        """Take objects as they are now, and drop those that were touched and are not among them.

        Tell whether anything has changed by that: most changes of a directory are about something else, as logons are.
        """
        news, here = False, set[bytes]()
        for item in items:
            key, packed = _key(item), _pack(item)
            here.add(key)
            if self._packed.get(key) != packed:
                self._packed[key] = packed
                news = True
        for item in touched:
            key = _key(item)
            if key not in here and self._packed.pop(key, None) is not None:
                news = True
        return news


def _key(item: Item) -> bytes:
    guid = item.attributes.get(_GUID, ())
    return bytes.fromhex(guid[0]) if guid else dn_key(item.dn).encode()


def _pack(item: Item) -> bytes:
    kept: dict[str, Sequence[str]] = {}
    for name, values in item.attributes.items():
        if name == "proxyaddresses":
            kept[name] = sorted(value for value in values if smtp_address(value) is not None)
        elif name == "member" and len(values) > MOST_LISTED:
            kept[f"{name};range=0-*"] = []  # too long for any list of senders: as one of which only a part was given
        elif name != _GUID:
            kept[name] = sorted(values)
    # Copied: what orjson returns lies in a buffer of its own that is several times as large.
    return bytes(memoryview(orjson.dumps([item.dn, kept], option=orjson.OPT_SORT_KEYS)))
