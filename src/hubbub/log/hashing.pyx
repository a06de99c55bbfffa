# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The hashes of Kafka's formats: CRC32C (RFC 3720, B.4) and murmur2 (default partitioner)."""


cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>
    #define CRC_STEP __attribute__((target("sse4.2")))
    #define CRC_8(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
    #define CRC_1(crc, byte) _mm_crc32_u8((crc), (byte))
    static int crc_instruction_here(void) { return __builtin_cpu_supports("sse4.2"); }
    #elif defined(__ARM_FEATURE_CRC32)
    #include <arm_acle.h>
    #define CRC_STEP
    #define CRC_8(crc, word) __crc32cd((crc), (word))
    #define CRC_1(crc, byte) __crc32cb((crc), (byte))
    static int crc_instruction_here(void) { return 1; }
    #elif defined(__aarch64__) && defined(__linux__) && defined(__GNUC__)
    #include <sys/auxv.h>
    #define CRC_STEP __attribute__((target("arch=armv8-a+crc")))
    #define CRC_8(crc, word) __builtin_aarch64_crc32cx((crc), (word))
    #define CRC_1(crc, byte) __builtin_aarch64_crc32cb((crc), (byte))
    #define ARM_HWCAP_CRC32 (1 << 7)
    static int crc_instruction_here(void) { return (getauxval(AT_HWCAP) & ARM_HWCAP_CRC32) != 0; }
    #endif

    #define CASTAGNOLI 0x82F63B78u  /* the polynomial, bits reversed */

    static uint32_t crc_tables[8][256];

    static void crc_fill_tables(void) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = byte;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? CASTAGNOLI : 0);
            crc_tables[0][byte] = crc;
        }
        for (uint32_t byte = 0; byte < 256; byte++)
            for (int slice = 1; slice < 8; slice++) {
                uint32_t before = crc_tables[slice - 1][byte];
                crc_tables[slice][byte] = (before >> 8) ^ crc_tables[0][before & 0xFF];
            }
    }

    /* Slicing by eight: eight table look-ups advance eight bytes. */
    static uint32_t crc_by_table(uint32_t crc, const uint8_t *data, size_t size) {
        for (; size >= 8; data += 8, size -= 8) {
            crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16
                 | (uint32_t)data[3] << 24;
            crc = crc_tables[7][crc & 0xFF] ^ crc_tables[6][(crc >> 8) & 0xFF]
                ^ crc_tables[5][(crc >> 16) & 0xFF] ^ crc_tables[4][crc >> 24]
                ^ crc_tables[3][data[4]] ^ crc_tables[2][data[5]]
                ^ crc_tables[1][data[6]] ^ crc_tables[0][data[7]];
        }
        for (; size; data++, size--) crc = (crc >> 8) ^ crc_tables[0][(crc ^ *data) & 0xFF];
        return crc;
    }

    typedef uint32_t (*crc_function)(uint32_t, const uint8_t *, size_t);

    #ifdef CRC_STEP
    CRC_STEP static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *data, size_t size) {
        for (; size >= 8; data += 8, size -= 8) {
            uint64_t word;
            memcpy(&word, data, 8);
            crc = CRC_8(crc, word);
        }
        for (; size; data++, size--) crc = CRC_1(crc, *data);
        return crc;
    }
    static crc_function crc_chosen(void) {
        return crc_instruction_here() ? crc_by_instruction : crc_by_table;
    }
    #else
    static crc_function crc_chosen(void) { return crc_by_table; }
    #endif
    """
    ctypedef uint32_t (*crc_function)(uint32_t, const uint8_t*, size_t) noexcept nogil
    void crc_fill_tables() noexcept nogil
    crc_function crc_chosen() noexcept nogil
    uint32_t crc_by_table(uint32_t crc, const uint8_t* data, size_t size) noexcept nogil


crc_fill_tables()
cdef crc_function chosen = crc_chosen()


cdef uint32_t crc32c_update(uint32_t value, const uint8_t* data, size_t size) noexcept nogil:
    """The checksum of what ``value`` covers followed by ``data``; ``value`` 0 covers nothing."""
    return ~chosen(~value, data, size)


def crc32c(const uint8_t[::1] data not None, uint32_t value=0):
    """The CRC32C of ``data``, or of what ``value`` is the CRC32C of, followed by ``data``."""
    cdef size_t size = <size_t>data.shape[0]
    return crc32c_update(value, &data[0], size) if size else value


def crc32c_by_table(const uint8_t[::1] data not None, uint32_t value=0):
    """As ``crc32c``, the way it is computed on processors without the instruction."""
    cdef size_t size = <size_t>data.shape[0]
    return ~crc_by_table(~value, &data[0], size) if size else value


cdef int32_t murmur2_of(const uint8_t* data, size_t size) noexcept nogil:
    """Murmur2 with Kafka's seed, as the signed number that Kafka's partitioners mask."""
    cdef uint32_t mix = 0x5BD1E995
    cdef uint32_t hash = 0x9747B28Cu ^ <uint32_t>size
    cdef uint32_t word
    while size >= 4:
        word = (data[0] | (<uint32_t>data[1] << 8) | (<uint32_t>data[2] << 16)
                | (<uint32_t>data[3] << 24))
        word *= mix
        word ^= word >> 24
        hash = (hash * mix) ^ (word * mix)
        data += 4
        size -= 4
    if size == 3:
        hash ^= <uint32_t>data[2] << 16
    if size >= 2:
        hash ^= <uint32_t>data[1] << 8
    if size >= 1:
        hash = (hash ^ data[0]) * mix
    hash = (hash ^ (hash >> 13)) * mix
    return <int32_t>(hash ^ (hash >> 15))


def murmur2(const uint8_t[::1] data not None):
    """Murmur2 as Kafka's default partitioner uses it: partition = (hash & 0x7fffffff) % count."""
    cdef size_t size = <size_t>data.shape[0]
    return murmur2_of(&data[0] if size else NULL, size)
