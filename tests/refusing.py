"What every refusal must look like, for the tests of all chapters that read files."
import pytest

from cancer_dl.core import InputError


def refused(call, *parts, limit=900):
    "The call must raise an InputError of one paragraph that holds all the parts; its message is given back."
    with pytest.raises(InputError) as found: call()
    message = str(found.value)
    assert "\n" not in message and len(message) < limit, message
    for part in parts: assert str(part) in message, message
    return message
