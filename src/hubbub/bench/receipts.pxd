# cython: language_level=3
"""A protocol's receipts, as `answers.Receipt` describes them: reading and writing one."""

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

cdef enum:
    FIXED_BYTES = 16  # at most, on either side of the identifier
    PACKET_IDENTIFIER_BYTES = 2  # of a message that is published with one
    DELIVERY_TAG_BYTES = 8  # of one that is counted

cdef struct ReceiptForm:
    char[FIXED_BYTES] before
    char[FIXED_BYTES] after
    Py_ssize_t before_size
    Py_ssize_t after_size
    Py_ssize_t identifier_size
    bint cumulative
    Py_ssize_t size  # of a receipt; 0: a protocol of lines


cdef inline int form_of(object receipt, ReceiptForm* form) except -1:
    """What an `answers.Receipt` says. Raises ValueError."""
    cdef bytes before = receipt.before, after = receipt.after
    if not 0 < len(before) <= FIXED_BYTES or len(after) > FIXED_BYTES:
        raise ValueError("a receipt begins with some bytes, and has at most 16 on either side")
    if receipt.identifier_bytes not in (PACKET_IDENTIFIER_BYTES, DELIVERY_TAG_BYTES):
        raise ValueError("an identifier has two bytes or eight")
    memcpy(form.before, <const char*>before, len(before))
    memcpy(form.after, <const char*>after, len(after))
    form.before_size, form.after_size = len(before), len(after)
    form.identifier_size = receipt.identifier_bytes
    form.cumulative = receipt.cumulative
    form.size = form.before_size + form.identifier_size + form.cumulative + form.after_size
    return 0


cdef inline int64_t read_receipt(const ReceiptForm* form, const char* at,
                                 bint* all_up_to) noexcept nogil:
    """The identifier; -1: it is no receipt."""
    cdef int64_t identifier = 0
    cdef Py_ssize_t number
    if memcmp(at, form.before, form.before_size) != 0:
        return -1
    at += form.before_size
    for number in range(form.identifier_size):
        identifier = identifier << 8 | <unsigned char>at[number]
    at += form.identifier_size
    all_up_to[0] = form.cumulative and at[0] == 1
    if memcmp(at + form.cumulative, form.after, form.after_size) != 0:
        return -1
    return identifier


cdef inline void write_receipt(const ReceiptForm* form, char* at, const char* identifier,
                               bint all_up_to) noexcept nogil:
    """For the message that came with ``identifier``, whose bytes are taken as they are."""
    memcpy(at, form.before, form.before_size)
    at += form.before_size
    memcpy(at, identifier, form.identifier_size)
    at += form.identifier_size
    if form.cumulative:
        at[0] = all_up_to
    memcpy(at + form.cumulative, form.after, form.after_size)
