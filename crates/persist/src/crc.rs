//! Owns the CRC-64 (Jones) that ends an RDB file and a DUMP payload; knows nothing of either.
//!
//! Two speeds, one function: short inputs go through the tables of the `crc64` crate, long ones
//! through carry-less multiplication where the processor has it. Both are held equal by a test.

/// Folds `bytes` into `crc`. Start with 0; the result is what Redis stores, without a final xor.
pub fn crc64(crc: u64, bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= fold::MIN_LEN
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("sse4.1")
    {
        // SAFETY: both processor features were just detected, and the length is at least MIN_LEN.
        return unsafe { fold::crc64(crc, bytes) };
    }
    crc64::crc64(crc, bytes)
}

#[cfg(target_arch = "x86_64")]
mod fold {
    //! Folding in GF(2), bit-reflected: 64 bytes are kept as four 128-bit remainders, each
    //! multiplied by x^(distance) mod P to move it on over the next 64 bytes. What is left at the
    //! end is congruent to everything before it, so the tables can finish the job.

    use std::arch::x86_64::*;

    /// Below this the tables are as quick.
    pub const MIN_LEN: usize = 128;

    /// The polynomial x^64 + 0xad93d23594c935a9, bits reversed.
    const POLY_REFLECTED: u64 = 0x95ac_9329_ac4b_c9b5;

    /// x^n mod P, reflected (the highest bit is x^0).
    const fn x_pow(n: u32) -> u64 {
        let mut r = 1u64 << 63;
        let mut i = 0;
        while i < n {
            r = if r & 1 == 1 { (r >> 1) ^ POLY_REFLECTED } else { r >> 1 };
            i += 1;
        }
        r
    }

    /// A reflected product of two 64-bit values comes out one bit short of 128, hence the `- 1`.
    /// The low half of a block holds its earlier 64 bits, which have 64 bits further to travel.
    const fn keys(distance_bits: u32) -> (i64, i64) {
        (x_pow(distance_bits + 64 - 1) as i64, x_pow(distance_bits - 1) as i64)
    }

    const BY_64: (i64, i64) = keys(512);
    const BY_16: (i64, i64) = keys(128);

    /// # Safety
    /// The processor must have pclmulqdq and sse4.1.
    #[target_feature(enable = "pclmulqdq,sse4.1")]
    pub unsafe fn crc64(crc: u64, bytes: &[u8]) -> u64 {
        debug_assert!(bytes.len() >= MIN_LEN);
        let (blocks, tail) = bytes.split_at(bytes.len() & !63);
        let by_64 = _mm_set_epi64x(BY_64.1, BY_64.0);
        let by_16 = _mm_set_epi64x(BY_16.1, BY_16.0);
        let mut chunks = blocks.chunks_exact(64);
        let Some(first) = chunks.next() else { return crc64::crc64(crc, bytes) };
        let mut x = load4(first);
        x[0] = _mm_xor_si128(x[0], _mm_set_epi64x(0, crc as i64));
        for chunk in chunks {
            let next = load4(chunk);
            for (lane, next) in x.iter_mut().zip(next) {
                *lane = fold_into(*lane, next, by_64);
            }
        }
        let mut acc = x[0];
        for lane in &x[1..] {
            acc = fold_into(acc, *lane, by_16);
        }
        let mut rest = [0u8; 16];
        // SAFETY: `rest` is 16 bytes, and the store is an unaligned one.
        unsafe { _mm_storeu_si128(rest.as_mut_ptr().cast(), acc) };
        crc64::crc64(crc64::crc64(0, &rest), tail)
    }

    #[target_feature(enable = "pclmulqdq,sse4.1")]
    fn fold_into(acc: __m128i, next: __m128i, keys: __m128i) -> __m128i {
        let early = _mm_clmulepi64_si128::<0x00>(acc, keys);
        let late = _mm_clmulepi64_si128::<0x11>(acc, keys);
        _mm_xor_si128(next, _mm_xor_si128(early, late))
    }

    #[target_feature(enable = "pclmulqdq,sse4.1")]
    fn load4(chunk: &[u8]) -> [__m128i; 4] {
        assert!(chunk.len() == 64);
        let at = chunk.as_ptr();
        // SAFETY: the chunk is 64 bytes long (asserted above) and the loads are unaligned ones.
        unsafe {
            [
                _mm_loadu_si128(at.cast()),
                _mm_loadu_si128(at.add(16).cast()),
                _mm_loadu_si128(at.add(32).cast()),
                _mm_loadu_si128(at.add(48).cast()),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_jones_variant() {
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn folding_and_tables_agree_at_every_length_and_split() {
        let bytes: Vec<u8> =
            (0..5000u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
        for len in (0..700).chain([1023, 1024, 1025, 4096, 5000]) {
            assert_eq!(crc64(7, &bytes[..len]), ::crc64::crc64(7, &bytes[..len]), "length {len}");
        }
        for split in [0, 1, 63, 128, 1000, 4999] {
            let halves = crc64(crc64(0, &bytes[..split]), &bytes[split..]);
            assert_eq!(halves, ::crc64::crc64(0, &bytes), "split {split}");
        }
    }
}
